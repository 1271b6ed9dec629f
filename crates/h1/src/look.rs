//! What a reader of a body finds in the bytes at hand, or why it goes no further.

/// What is at hand of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// How many bytes of framing come first; they are done with.
    pub skip: usize,
    /// How many bytes of the body follow.
    pub data: usize,
    /// The body ends behind the skipped bytes.
    pub is_end: bool,
}

/// Why a body does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// A chunk or a trailer is not what it should be.
    #[error("the body is not framed as its head says")]
    Malformed,
    /// A line of framing, or all of them, are longer than anybody needs.
    #[error("the framing of the body is too long")]
    TooLong,
}
