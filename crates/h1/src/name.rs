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
    /// What else speaks of the client or of the way, and is a proxy's to write: `X-Forwarded-*`, `X-Real-*`,
    /// `X-Original-*`, `X-Client-Cert*`, `X-SSL-*`, `Client-Cert` (RFC 9440), and what takes their place in
    /// common use. An underscore is a hyphen here, as it is for many applications.
    Forwarding,
    /// `Host`
    Host,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy`, which programs behind CGI take for the address of a proxy that they are to use.
    Proxy,
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

/// Names of [`FieldName::Forwarding`], whole.
const FORWARDING: [&[u8]; 11] = [
    b"client-cert",
    b"client-cert-chain",
    b"front-end-https",
    b"true-client-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-forwarded",
    b"x-host",
    b"x-remote-user",
    b"x-rewrite-url",
    b"x-scheme",
];
/// What others of them begin with.
const FORWARDING_PREFIXES: [&[u8]; 5] =
    [b"x-forwarded-", b"x-real-", b"x-original-", b"x-client-cert", b"x-ssl-"];

impl FieldName {
    /// The meaning of a name in any case.
    pub fn of(name: &[u8]) -> Self {
        let candidates: &[(&[u8], Self)] = match name.len() {
            2 => &[(b"te", Self::Te)],
            3 => &[(b"via", Self::Via)],
            5 => &[(b"proxy", Self::Proxy)],
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
        match found {
            Some((_, meaning)) => *meaning,
            None if is_forwarding(name) => Self::Forwarding,
            None => Self::Other,
        }
    }

    /// Whether it is about one connection only, so that it goes no further. (RFC 9110, 7.6.1; `TE` and
    /// `Trailer` are written anew where they apply.)
    pub fn is_hop_by_hop(self) -> bool {
        match self {
            Self::Connection | Self::KeepAlive | Self::ProxyConnection | Self::Upgrade => true,
            Self::Te | Self::Trailer | Self::TransferEncoding => true,
            Self::ContentLength | Self::Date | Self::Expect | Self::Host | Self::Via => false,
            Self::Forwarded | Self::XForwardedFor | Self::XForwardedHost | Self::XForwardedProto => false,
            Self::Forwarding | Self::Proxy | Self::XRealIp | Self::XRequestId | Self::Other => false,
        }
    }
}

fn is_forwarding(name: &[u8]) -> bool {
    // Most names begin with another letter.
    if !matches!(name.first(), Some(b'x' | b'X' | b'c' | b'C' | b'f' | b'F' | b't' | b'T')) {
        return false;
    }
    let is = |known: &[u8], name: &[u8]| {
        known
            .iter()
            .zip(name)
            .all(|(known, byte)| *known == byte.to_ascii_lowercase() || (*known == b'-' && *byte == b'_'))
    };
    FORWARDING_PREFIXES.iter().any(|prefix| name.len() >= prefix.len() && is(prefix, name))
        || FORWARDING.iter().any(|known| name.len() == known.len() && is(known, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_of_forwarding_is_known_by_its_pattern_in_any_case() {
        for name in [
            "X-Forwarded-Port",
            "x-forwarded-prefix",
            "X-FORWARDED-SSL",
            "X-Forwarded-User",
            "X-Forwarded-Client-Cert",
            "X-Forwarded",
            "X-Real-Port",
            "X-Original-URL",
            "X-Original-Forwarded-For",
            "X-Rewrite-URL",
            "X-Client-Cert",
            "x-client-certificate",
            "X-SSL-Client-Verify",
            "Client-Cert",
            "Client-Cert-Chain",
            "X-Client-IP",
            "True-Client-IP",
            "X_Forwarded_Port",
            "X_Forwarded_For",
            "X-Real_IP",
        ] {
            assert_eq!(FieldName::of(name.as_bytes()), FieldName::Forwarding, "{name}");
        }
        for name in
            ["X-Forward", "X-Client-Version", "X-Sslx", "X-Realm", "Client-Certs", "x", "Via2", "Traceparent"]
        {
            assert_eq!(FieldName::of(name.as_bytes()), FieldName::Other, "{name}");
        }
        assert_eq!(FieldName::of(b"PROXY"), FieldName::Proxy);
        assert_eq!(FieldName::of(b"X-Forwarded-For"), FieldName::XForwardedFor);
        assert_eq!(FieldName::of(b"X-Real-IP"), FieldName::XRealIp);
    }
}
