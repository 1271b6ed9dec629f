//! What can be wrong with a head, and the status that says so to a client.

/// Why a head does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadHead {
    /// A line that ends without a carriage return.
    #[error("a line ends with a bare line feed")]
    BareLineFeed,
    /// A carriage return, a zero byte or another control character.
    #[error("a control character stands in the head")]
    ControlCharacter,
    /// Not `METHOD target HTTP/1.1`.
    #[error("the request line is malformed")]
    RequestLine,
    /// Not `HTTP/1.1 200 reason`.
    #[error("the status line is malformed")]
    StatusLine,
    /// A protocol version other than HTTP/1.0 and HTTP/1.1.
    #[error("this version of HTTP is not spoken here")]
    Version,
    /// The request line is longer than its limit.
    #[error("the request line is too long")]
    RequestLineTooLong,
    /// The head is larger than its limit.
    #[error("the head is too large")]
    TooLarge,
    /// There are more fields than their limit.
    #[error("there are too many header fields")]
    TooManyFields,
    /// A line begins with white space, as if it went on with the line before.
    #[error("a header field is folded over several lines")]
    Folded,
    /// A line without a colon, an empty name, or one that is no token.
    #[error("a header field has no valid name")]
    FieldName,
    /// A name with an underscore, where those are rejected.
    #[error("the name of a header field has an underscore")]
    Underscore,
    /// None where there must be one, several, or one that names no host.
    #[error("HTTP/1.1 needs exactly one valid Host header field")]
    Host,
    /// `Host` and the request target name different hosts.
    #[error("the Host header field and the request target disagree")]
    HostDisagrees,
    /// The target holds a byte that it must not, or has none of the forms.
    #[error("the request target is malformed")]
    Target,
    /// Not one decimal number that fits.
    #[error("the Content-Length is repeated or not a number")]
    ContentLength,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("both Content-Length and Transfer-Encoding are given")]
    TwoLengths,
    /// `Transfer-Encoding` in an HTTP/1.0 message.
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    TransferEncodingInHttp10,
    /// `chunked` among the transfer codings, but not as the last one, or more than once.
    #[error("chunked is not the last transfer coding")]
    ChunkedNotLast,
    /// A transfer coding other than `chunked`, or more than one.
    #[error("only the transfer coding chunked is known here")]
    TransferEncoding,
    /// In HTTP/2, one that is missing, repeated, unknown, empty, or stands behind a header field.
    #[error("the pseudo-header fields are not those of a request")]
    PseudoFields,
    /// In HTTP/2, one that HTTP/1 has for its connections.
    #[error("a header field is about a connection, which HTTP/2 has other words for")]
    ConnectionField,
    /// An expectation other than `100-continue`.
    #[error("only the expectation 100-continue is known here")]
    Expectation,
}

impl BadHead {
    /// The status of the response to a request with such a head.
    pub fn status(self) -> u16 {
        match self {
            Self::BareLineFeed | Self::ControlCharacter | Self::RequestLine | Self::StatusLine => 400,
            Self::Folded | Self::FieldName | Self::Underscore => 400,
            Self::Host | Self::HostDisagrees | Self::Target => 400,
            Self::PseudoFields | Self::ConnectionField => 400,
            Self::ContentLength | Self::TwoLengths | Self::TransferEncodingInHttp10 => 400,
            Self::ChunkedNotLast => 400,
            Self::RequestLineTooLong => 414,
            Self::Expectation => 417,
            Self::TooLarge | Self::TooManyFields => 431,
            Self::TransferEncoding => 501,
            Self::Version => 505,
        }
    }
}
