//! Where clients are listened for, the keys of that, and which two addresses would be in each other's
//! way. Nothing is bound and no file is opened here.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use proxy::{
    CertificateFiles, Direction, ErrorPages, FieldEdits, HttpsRedirect, TlsSettings, TlsVersion, Unmatched,
};

use super::{error_pages, headers};
use crate::fields::Status;
use crate::form::{Choice, Flag, List, Maybe, Text, Whole};
use crate::keys::{Key, Keys, Level, Table, Told};
use crate::{value, web};

const PROXY_PROTOCOL_FROM_MAX: usize = 1000;
/// Those that send everybody to HTTPS, the default first.
const REDIRECT_STATUSES: &[u16] = &[308, 301];

/// An address that clients connect to, and how they speak there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where; port 0 is any that is free.
    pub address: SocketAddr,
    /// What services call it by; empty if they cannot.
    pub name: String,
    /// Whether every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Whose headers are believed; the others' connections are closed. Not empty with `proxy_protocol`.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Whether HTTP/2 is spoken here.
    pub is_http2: bool,
    /// With TLS, by these files.
    pub tls: Option<TlsSettings>,
    /// Whether requests are sent to the same place by HTTPS.
    pub is_redirecting: bool,
    /// How that is done.
    pub redirect: HttpsRedirect,
    /// What a request gets that nobody is for.
    pub unmatched: Unmatched,
    /// What becomes of the fields of all responses here.
    pub response_headers: Option<FieldEdits>,
    /// The pages that stand for errors of ours here, after those of their services.
    pub error_pages: Option<ErrorPages>,
}

impl ListenerSettings {
    /// The name of the first listener, that of the key `listen`.
    pub const LISTEN: &str = "listen";
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
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            proxy_protocol: false,
            proxy_protocol_from: Vec::new(),
            is_http2: true,
            tls: None,
            name: String::new(),
            is_redirecting: false,
            redirect: HttpsRedirect { status: REDIRECT_STATUSES[0], port: 443 },
            unmatched: Unmatched::default(),
            response_headers: None,
            error_pages: None,
        }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        let address = Text::of("address", value::socket_address);
        keys.key(
            Key::new("address", address, "where clients connect; port 0 takes any free port")
                .default(Told::Instead("required")),
            &mut self.address,
        );
        let name = Text::of("string", web::listener_name);
        keys.key(
            Key::new("name", name, "what `listeners` of a service or a redirect call it by")
                .default(Told::Instead("none"))
                .limits(Told::Instead(
                    "1–32 characters of `A-Z a-z 0-9 _ -`; unique; `listen` is that of `listen`",
                )),
            &mut self.name,
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
        let example = "proxy_protocol_from = [\"10.0.0.0/8\"]";
        let each = Text::of("string", value::address_range);
        keys.key(
            Key::new(
                "proxy_protocol_from",
                List { each, example, most: Some(PROXY_PROTOCOL_FROM_MAX) },
                "IP addresses, and ranges of them, of the load balancers whose PROXY headers are believed; \
                 connections from others are closed",
            )
            .default(Told::Instead("loopback on a loopback address, else required with `proxy_protocol`")),
            &mut self.proxy_protocol_from,
        );
        keys.key(
            Key::new(
                "http2",
                Flag,
                "whether HTTP/2 is spoken here: with TLS, with clients that choose it in the handshake and no others; \
                 without, with those that begin with its preface",
            ),
            &mut self.is_http2,
        );
        self.walk_policies(keys);
        let tls = Table::new("tls", "[listener.tls]", "with it, clients speak TLS");
        keys.optional(tls.default("none"), &mut self.tls);
    }
}

impl ListenerSettings {
    fn walk_policies(&mut self, keys: &mut impl Keys) {
        keys.key(
            Key::new(
                "redirect",
                Choice::between(["https"], [true]),
                "with it, every request is sent to the same place by HTTPS, but for those below \
                 `/.well-known/acme-challenge/`, see [below](#redirect)",
            )
            .default(Told::Instead("none")),
            &mut self.is_redirecting,
        );
        keys.key(
            Key::new(
                "redirect_status",
                Status(REDIRECT_STATUSES),
                "308 keeps the method, 301 is for old clients",
            ),
            &mut self.redirect.status,
        );
        let says = "the port that clients find HTTPS at; another one than 443 is named";
        keys.key(Key::new("redirect_port", Whole(1..=65_535), says), &mut self.redirect.port);
        keys.key(
            Key::new(
                "unmatched",
                Choice::between(["404", "close"], [Unmatched::NotFound, Unmatched::Close]),
                "what a request gets that no service and no redirect is for: 404, or no answer: its connection is \
                 closed (over HTTP/2, its stream reset)",
            ),
            &mut self.unmatched,
        );
        let table = Table::new(
            "response_headers",
            "[listener.response_headers]",
            "headers that all answers here get, or do not",
        );
        headers::edits(keys, table, Direction::Response, &mut self.response_headers);
        error_pages::of_listener(keys, &mut self.error_pages);
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
