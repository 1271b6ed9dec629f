//! Where a request comes from, and how far that can be believed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use h1::{FieldName, RequestHead};
use ipnet::IpNet;

use crate::clients::certificate::ClientCertificate;

/// The other end of a client connection.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    text: Box<[u8]>,
    pub(crate) is_tls: bool,
    /// The certificate that it has shown, and that was found to be good.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// It is a proxy whose word the operator takes.
    pub(crate) is_trusted: bool,
}

/// What counts as one client where clients are counted: an address of IPv4, a network (/64) of IPv6, where
/// everybody has a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Household {
    V4(u32),
    V6(u64),
}

impl Household {
    pub(crate) fn of(client: IpAddr) -> Self {
        match client.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Origin {
    pub(crate) fn new(address: SocketAddr, is_tls: bool, is_trusted: bool) -> Self {
        let text = address.ip().to_canonical().to_string().into_bytes().into_boxed_slice();
        Self { address, text, is_tls, certificate: None, is_trusted }
    }

    /// The same with this certificate.
    pub(crate) fn with_certificate(self, certificate: Option<Arc<ClientCertificate>>) -> Self {
        Self { certificate, ..self }
    }

    /// The address without its port, as heads carry it.
    pub(crate) fn address_text(&self) -> &[u8] {
        &self.text
    }

    /// The address of the client behind all proxies that are trusted: the last in the list that is none
    /// of them.
    pub(crate) fn client(&self, head: &RequestHead, trusted: &[IpNet]) -> IpAddr {
        let own = self.address.ip().to_canonical();
        if !self.is_trusted {
            return own;
        }
        let named: Vec<&[u8]> = head.fields().elements(FieldName::XForwardedFor).collect();
        let mut client = own;
        for element in named.iter().rev() {
            let Some(address) = parse(element) else { break };
            client = address;
            if !is_trusted(address, trusted) {
                break;
            }
        }
        client
    }
}

/// Whether an address belongs to a proxy that the operator trusts.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

fn parse(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    text.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).into();
        let client = |peer: &str, list: &str| {
            let mut head = RequestHead::default();
            head.start(b"GET", b"/", None).unwrap();
            head.push(b"x-forwarded-for", list.as_bytes());
            let peer: SocketAddr = peer.parse().unwrap();
            let origin = Origin::new(peer, false, is_trusted(peer.ip(), &trusted));
            origin.client(&head, &trusted).to_string()
        };
        assert_eq!(client("192.0.2.1:9", "6.6.6.6"), "192.0.2.1");
        assert_eq!(client("10.0.0.1:9", "6.6.6.6, 192.0.2.7, 10.0.0.2"), "192.0.2.7");
        assert_eq!(client("10.0.0.1:9", "10.0.0.3, 10.0.0.2"), "10.0.0.3");
        assert_eq!(client("10.0.0.1:9", "6.6.6.6, unknown, 10.0.0.2"), "10.0.0.2");
        assert_eq!(client("[::1]:9", "[2001:db8::1]:4711"), "2001:db8::1");
    }
}
