//! The codings that responses are written in.

/// How a body is written in fewer bytes: RFC 9110, 8.4.1, and RFC 7932.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `br`
    Brotli,
    /// `gzip`
    Gzip,
}

impl Coding {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// As `Content-Encoding` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What stands behind the name of a file that is kept in it.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}
