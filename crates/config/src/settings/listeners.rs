//! Where clients are listened for, the keys of that, and which two addresses would be in each other's
//! way. Nothing is bound and no file is opened here.

use std::net::SocketAddr;
use std::path::PathBuf;

use proxy::{CertificateFiles, TlsSettings, TlsVersion};

use crate::form::{Choice, Flag, Maybe, Text};
use crate::keys::{Key, Keys, Level, Table, Told};
use crate::value;

/// An address that clients connect to, and how they speak there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where; port 0 is any that is free.
    pub address: SocketAddr,
    /// Whether every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// With TLS, by these files.
    pub tls: Option<TlsSettings>,
}

/// A TCP address that is listened on, and the key that it stands under in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) key: &'static str,
    pub(crate) address: SocketAddr,
}

/// Two places, by their indices, of which the later cannot have what the earlier has.
#[derive(Clone, Debug)]
pub(crate) struct Clash {
    pub(crate) earlier: usize,
    pub(crate) later: usize,
    /// What to say of it.
    pub(crate) what: String,
}

/// The places that are in each other's way.
pub(crate) fn clashes(places: &[Place]) -> Vec<Clash> {
    let clash = |later: usize| {
        let Place { key, address } = places[later];
        let earlier = places[..later].iter().position(|other| is_same(other.address, address))?;
        let Place { key: other_key, address: other } = places[earlier];
        let what = format!("`{other_key}`, \"{other}\", and `{key}`, \"{address}\", are the same");
        Some(Clash { earlier, later, what })
    };
    (1..places.len()).filter_map(clash).collect()
}

/// Port 0 means any that is free.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let is_everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || is_everywhere)
}

impl Level for ListenerSettings {
    fn blank() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), proxy_protocol: false, tls: None }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        let address = Text::of("address", value::socket_address);
        keys.key(
            Key::new("address", address, "where clients connect; port 0 takes any free port")
                .default(Told::Instead("required")),
            &mut self.address,
        );
        keys.key(
            Key::new(
                "proxy_protocol",
                Flag,
                "whether every connection begins with a PROXY protocol header, version 1 or 2; one that does not \
                 is closed",
            ),
            &mut self.proxy_protocol,
        );
        let tls = Table::new("tls", "[listener.tls]", "with it, clients speak TLS");
        keys.optional(tls.default("none"), &mut self.tls);
    }
}

impl Level for TlsSettings {
    fn blank() -> Self {
        Self {
            certificates: Vec::new(),
            client_authority: None,
            is_client_certificate_required: true,
            oldest_version: TlsVersion::Tls12,
            is_http2: true,
        }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        let certificates = Table::new(
            "certificates",
            "an entry of `certificates`",
            "each a file `certificate`, with the certificate and those that lead to one that clients know, and a \
             file `key`; both PEM",
        );
        keys.tables(
            certificates.kind("array of tables").default("required").limits("1–1000"),
            "for example certificates = [{ certificate = \"shop.pem\", key = \"shop.key\" }]",
            &mut self.certificates,
        );
        keys.key(
            Key::new(
                "client_authority",
                Maybe(file()),
                "certificates (PEM) of those who vouch for clients: clients are asked for a certificate of theirs",
            ),
            &mut self.client_authority,
        );
        keys.key(
            Key::new(
                "client_certificate",
                Choice::between(["required", "optional"], [true, false]),
                "whether a client without a certificate is refused; one with a wrong certificate always is",
            )
            .limits(Told::And("only with `client_authority`")),
            &mut self.is_client_certificate_required,
        );
        let versions = Choice::between(["1.2", "1.3"], [TlsVersion::Tls12, TlsVersion::Tls13]);
        keys.key(
            Key::new("oldest_version", versions.of_versions(), "the oldest version of TLS that is spoken"),
            &mut self.oldest_version,
        );
        keys.key(Key::new("http2", Flag, "whether clients are offered HTTP/2"), &mut self.is_http2);
    }
}

impl Level for CertificateFiles {
    fn blank() -> Self {
        Self { certificate: PathBuf::new(), key: PathBuf::new() }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        keys.key(Key::new("certificate", file(), ""), &mut self.certificate);
        keys.key(Key::new("key", file(), ""), &mut self.key);
    }
}

fn file() -> Text<PathBuf> {
    Text::path(value::file)
}
