//! Why there is no file for a request: what its client and the log are told.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFault {
    /// There is none, or none that is for clients.
    Missing,
    /// The system does not let us read it.
    Forbidden,
    /// It could not be read.
    Unreadable,
    /// It was not there in time.
    Late,
    /// Files are read, and nothing else is done with them.
    Method,
}

impl FileFault {
    /// What the client gets.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Missing => 404,
            Self::Forbidden => 403,
            Self::Unreadable => 500,
            Self::Late => 504,
            Self::Method => 405,
        }
    }

    /// What it is told.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Missing => "there is no such file",
            Self::Forbidden => "this file is not to be read",
            Self::Unreadable => "the file could not be read",
            Self::Late => "the file could not be read in time",
            Self::Method => "a file can only be read",
        }
    }

    /// The name of the error in RFC 9209, 2.3.
    pub(crate) fn proxy_status(self) -> &'static str {
        match self {
            Self::Missing => "destination_not_found",
            Self::Forbidden | Self::Method => "http_request_denied",
            Self::Unreadable => "proxy_internal_error",
            Self::Late => "http_response_timeout",
        }
    }

    /// Whether a client could have been served, and was not: of a file that is not there that cannot be said.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Unreadable | Self::Late)
    }
}
