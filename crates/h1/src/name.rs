//! The names of header fields that a proxy must know.

/// What a header field is, if its name means something on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldName {
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Date`
    Date,
    /// `Expect`
    Expect,
    /// `Forwarded`
    Forwarded,
    /// `Host`
    Host,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `Via`
    Via,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-Id`
    XRequestId,
    /// Any other.
    Other,
}

impl FieldName {
    /// The meaning of a name in any case.
    pub fn of(name: &[u8]) -> Self {
        let candidates: &[(&[u8], Self)] = match name.len() {
            2 => &[(b"te", Self::Te)],
            3 => &[(b"via", Self::Via)],
            4 => &[(b"host", Self::Host), (b"date", Self::Date)],
            6 => &[(b"expect", Self::Expect)],
            7 => &[(b"upgrade", Self::Upgrade), (b"trailer", Self::Trailer)],
            9 => &[(b"forwarded", Self::Forwarded), (b"x-real-ip", Self::XRealIp)],
            10 => &[(b"connection", Self::Connection), (b"keep-alive", Self::KeepAlive)],
            12 => &[(b"x-request-id", Self::XRequestId)],
            14 => &[(b"content-length", Self::ContentLength)],
            15 => &[(b"x-forwarded-for", Self::XForwardedFor)],
            16 => {
                &[(b"x-forwarded-host", Self::XForwardedHost), (b"proxy-connection", Self::ProxyConnection)]
            }
            17 => &[
                (b"transfer-encoding", Self::TransferEncoding),
                (b"x-forwarded-proto", Self::XForwardedProto),
            ],
            _ => &[],
        };
        // Most names are none of these, which their first letter shows.
        let first = name.first().map(u8::to_ascii_lowercase);
        let found = candidates
            .iter()
            .find(|(known, _)| known.first().copied() == first && name.eq_ignore_ascii_case(known));
        found.map_or(Self::Other, |(_, meaning)| *meaning)
    }

    /// Whether it is about one connection only, so that it goes no further. (RFC 9110, 7.6.1; `TE` and
    /// `Trailer` are written anew where they apply.)
    pub fn is_hop_by_hop(self) -> bool {
        match self {
            Self::Connection | Self::KeepAlive | Self::ProxyConnection | Self::Upgrade => true,
            Self::Te | Self::Trailer | Self::TransferEncoding => true,
            Self::ContentLength | Self::Date | Self::Expect | Self::Host | Self::Via => false,
            Self::Forwarded | Self::XForwardedFor | Self::XForwardedHost | Self::XForwardedProto => false,
            Self::XRealIp | Self::XRequestId | Self::Other => false,
        }
    }
}
