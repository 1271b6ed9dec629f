//! Who asks, as far as a request's head tells: by which name, from which page of a browser, and with what
//! in its hand. A browser does what any page in it wants; a page is no caller of ours.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::uri::Authority;
use ipnet::IpNet;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Proxies that write no address that we read.
const OTHER_PROXIES: [HeaderName; 2] = [HeaderName::from_static("forwarded"), HeaderName::from_static("via")];

/// The one host that a request says it is for, without its port; nothing if it says none, or several.
pub(crate) fn host(headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, None) = (hosts.next()?, hosts.next()) else { return None };
    host_of(host.to_str().ok()?)
}

/// The host in a text that is a host, and a port if there is one.
pub(crate) fn host_of(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok().filter(|_| !text.contains('@'))?;
    Some(authority.host().to_ascii_lowercase())
}

/// Whether nobody but us can have this name: who owns a name on the Internet may make it lead here, and a
/// page of that name is then of the same origin as we. An address cannot be made to lead elsewhere.
pub(crate) fn is_ours_alone(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<IpAddr>().is_ok()
}

/// Whether a page in a browser asks that is not of the host that it asks.
pub(crate) fn is_of_another_page(headers: &HeaderMap) -> bool {
    let is_foreign_site = |site: &[u8]| !matches!(site, b"same-origin" | b"none");
    if headers.get_all(SEC_FETCH_SITE).iter().any(|site| is_foreign_site(site.as_bytes())) {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_same = |origin: &str| {
        let place = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        place.is_some_and(|place| place.eq_ignore_ascii_case(host))
    };
    headers.get_all(ORIGIN).iter().any(|origin| !origin.to_str().is_ok_and(is_same))
}

/// Whether any page asks; programs say nothing of this kind.
pub(crate) fn is_of_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

/// Whether a request comes from these networks, and from nowhere else on its way. What proxies say of it is
/// believed as far as it makes the request less welcome, and never more.
pub(crate) fn comes_from(networks: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> bool {
    let is_within = |address: IpAddr| {
        let address = address.to_canonical();
        networks.iter().any(|network| network.contains(&address))
    };
    if !is_within(peer) {
        return false;
    }
    let mut said = headers.get_all(X_FORWARDED_FOR).iter().chain(headers.get_all(X_REAL_IP)).peekable();
    if said.peek().is_none() {
        return !OTHER_PROXIES.iter().any(|name| headers.contains_key(name));
    }
    said.all(|field| {
        let elements = field.to_str().unwrap_or_default().split(',').map(str::trim);
        elements.map(address_in).all(|address| address.is_some_and(is_within))
    })
}

fn address_in(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_host_is_one_host_without_its_port() {
        for (text, expected) in [
            ("127.0.0.1:5001", Some("127.0.0.1")),
            ("[::1]:5001", Some("[::1]")),
            ("LocalHost", Some("localhost")),
            ("evil.example:5001", Some("evil.example")),
            ("user@127.0.0.1", None),
            ("", None),
            ("a b", None),
        ] {
            assert_eq!(host(&headers(&[("host", text)])).as_deref(), expected, "{text}");
        }
        assert_eq!(host(&headers(&[])), None);
        assert_eq!(host(&headers(&[("host", "127.0.0.1"), ("host", "127.0.0.1")])), None);
    }

    #[test]
    fn a_name_that_others_can_own_is_not_ours_alone() {
        for ours in ["127.0.0.1", "10.1.2.3", "[::1]", "localhost"] {
            assert!(is_ours_alone(ours), "{ours}");
        }
        for theirs in
            ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "127.1", "2130706433", ""]
        {
            assert!(!is_ours_alone(theirs), "{theirs}");
        }
    }

    #[test]
    fn pages_of_others_are_told_from_our_own_and_from_programs() {
        for (fields, is_foreign) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], true),
            (&[("origin", "http://127.0.0.1:5001")], false),
            (&[("origin", "http://127.0.0.1:5000")], true),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "null")], true),
            (&[("origin", "")], true),
            (&[("origin", "file://")], true),
        ] {
            let mut all = vec![("host", "127.0.0.1:5001")];
            all.extend_from_slice(fields);
            assert_eq!(is_of_another_page(&headers(&all)), is_foreign, "{fields:?}");
        }
    }

    #[test]
    fn what_a_proxy_says_closes_and_never_opens() {
        let networks: Vec<IpNet> = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).into();
        let comes = |peer: &str, fields: &[(&str, &str)]| {
            comes_from(&networks, peer.parse().unwrap(), &headers(fields))
        };
        assert!(comes("127.0.0.1", &[]) && comes("::1", &[]) && comes("::ffff:127.0.0.1", &[]));
        assert!(comes("127.0.0.1", &[("x-forwarded-for", "127.0.0.1, [::1]:99")]));
        assert!(!comes("172.17.0.3", &[]));
        for fields in [
            &[("x-forwarded-for", "127.0.0.1")][..],
            &[("x-real-ip", "127.0.0.1")],
            &[("forwarded", "for=127.0.0.1")],
        ] {
            assert!(!comes("172.17.0.3", fields), "no word opens: {fields:?}");
        }
        for fields in [
            &[("x-forwarded-for", "192.0.2.1")][..],
            &[("x-forwarded-for", "127.0.0.1, 192.0.2.1")],
            &[("x-forwarded-for", "unknown")],
            &[("x-forwarded-for", "")],
            &[("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "192.0.2.1")],
            &[("via", "1.1 nginx")],
            &[("forwarded", "for=192.0.2.1")],
        ] {
            assert!(!comes("127.0.0.1", fields), "a proxy speaks for somebody: {fields:?}");
        }
    }
}
