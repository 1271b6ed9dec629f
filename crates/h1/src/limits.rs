//! The limits of a head.

/// How large a head may be, and which names it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The longest request line, in bytes, its line end not counted. 16 KiB by default.
    pub request_line_max: usize,
    /// The largest head, in bytes, with everything from its first byte to the empty line. 64 KiB by
    /// default.
    pub head_max: usize,
    /// The most header fields. 100 by default.
    pub fields_max: usize,
    /// What becomes of names with an underscore in requests.
    pub underscores: Underscores,
}

/// What becomes of a header field whose name has an underscore. Many applications cannot tell it from
/// one with a hyphen, which a proxy may have checked or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underscores {
    /// The field is left out.
    Drop,
    /// The field passes.
    Keep,
    /// The request is refused.
    Reject,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            request_line_max: 16 << 10,
            head_max: 64 << 10,
            fields_max: 100,
            underscores: Underscores::Drop,
        }
    }
}
