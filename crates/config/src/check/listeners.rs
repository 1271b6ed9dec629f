//! Listeners: their addresses, what comes first on their connections, and their certificates. Whether
//! the files are there, and good, is seen when they are loaded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use proxy::{CertificateFiles, TlsSettings, TlsVersion};

use super::Checker;
use crate::file::{CertificateTable, File, ListenerTable, TlsTable};
use crate::problem::{Span, Wrong};
use crate::reader::Given;
use crate::settings::{
    AdminAddress, CERTIFICATES_MAX, LISTENERS_MAX, ListenerSettings, Place, Settings, clashes,
};
use crate::value;

const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
const CLIENT_CERTIFICATES: [(&str, bool); 2] = [("required", true), ("optional", false)];

impl Checker<'_, '_> {
    pub(super) fn listen(&mut self, file: &File) -> Option<SocketAddr> {
        self.parse(&file.listen, value::socket_address)
    }

    pub(super) fn listeners(&mut self, file: &File) -> Vec<ListenerSettings> {
        let tables = file.listeners.as_deref().unwrap_or_default();
        if let Some(table) = tables.get(LISTENERS_MAX) {
            let what = format!("there are {} listeners, but at most {LISTENERS_MAX} may be", tables.len());
            self.note(&table.at, Wrong::new(what));
        }
        tables.iter().take(LISTENERS_MAX).map(|table| self.listener(table)).collect()
    }

    /// Notes addresses that are in the way of others.
    pub(super) fn compare_addresses(&mut self, file: &File) {
        let base = Settings::with_defaults();
        // What stands in for a wrong value is not the operator's, and is in nobody's way.
        let place = |key: &'static str, given: &Option<Given<String>>, default: Option<SocketAddr>| {
            let address = match given {
                Some(given) => value::socket_address(&given.value).ok(),
                None => default,
            };
            address.map(|address| ((key, address), given.as_ref().map(|given| given.at.clone())))
        };
        let admin_default = match base.admin {
            AdminAddress::Tcp(address) => Some(address),
            AdminAddress::Unix(_) => None,
        };
        let listeners = file.listeners.iter().flatten().take(LISTENERS_MAX);
        let others = listeners.filter_map(|table| place("address", &table.address, None));
        let (places, spans): (Vec<Place>, Vec<Option<Span>>) =
            place("listen", &file.listen, base.listen.filter(|_| file.listeners.is_none()))
                .into_iter()
                .chain(place("admin", &file.admin, admin_default))
                .chain(others)
                .unzip();
        for (earlier, later, what) in clashes(&places) {
            if let Some(at) = spans[later].as_ref().or(spans[earlier].as_ref()) {
                self.note(at, Wrong::new(what).help("give one of them another port"));
            }
        }
    }

    fn listener(&mut self, table: &ListenerTable) -> ListenerSettings {
        let help = "add address = \"0.0.0.0:443\", or where else clients connect";
        self.require_key((&table.keys, &table.at), "address", ("a listener needs an `address`", help));
        let address = self.parse(&table.address, value::socket_address);
        ListenerSettings {
            address: address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            proxy_protocol: table.proxy_protocol.as_ref().is_some_and(|given| given.value),
            tls: table.tls.as_ref().map(|table| self.tls(table)),
        }
    }

    fn tls(&mut self, table: &TlsTable) -> TlsSettings {
        let help = "add certificates = [{ certificate = \"shop.pem\", key = \"shop.key\" }]";
        self.require_key((&table.keys, &table.at), "certificates", ("TLS needs `certificates`", help));
        if let Some(extra) = table.certificates.get(CERTIFICATES_MAX) {
            let count = table.certificates.len();
            let what = format!("`certificates` must list at most {CERTIFICATES_MAX}, not {count}");
            self.note(&extra.at, Wrong::new(what));
        }
        let certificates = table.certificates.iter().take(CERTIFICATES_MAX);
        let certificates = certificates.map(|table| self.certificate(table)).collect();
        let is_required =
            self.parse(&table.client_certificate, |text| value::choice(text, &CLIENT_CERTIFICATES));
        if let (Some(at), None) = (table.keys.get("client_certificate"), table.keys.get("client_authority")) {
            let help =
                "add client_authority = \"clients.pem\", the certificates of those who vouch for clients";
            self.note(at, Wrong::new("`client_certificate` needs `client_authority`").help(help));
        }
        let client_authority = self.parse(&table.client_authority, value::file);
        let oldest_version = self.parse(&table.oldest_version, |text| value::choice(text, &VERSIONS));
        TlsSettings {
            certificates,
            is_client_certificate_required: client_authority.is_some() && is_required.unwrap_or(true),
            client_authority,
            oldest_version: oldest_version.unwrap_or(TlsVersion::Tls12),
            is_http2: table.http2.as_ref().is_none_or(|given| given.value),
        }
    }

    fn certificate(&mut self, table: &CertificateTable) -> CertificateFiles {
        let mut file = |key, given: &Option<Given<String>>| -> PathBuf {
            let what = format!("a certificate needs `certificate` and `key`; `{key}` is missing");
            let help = "for example { certificate = \"shop.pem\", key = \"shop.key\" }";
            self.require_key((&table.keys, &table.at), key, (&what, help));
            self.parse(given, value::file).unwrap_or_default()
        };
        CertificateFiles {
            certificate: file("certificate", &table.certificate),
            key: file("key", &table.key),
        }
    }

    /// Notes a key that is not there.
    fn require_key(
        &mut self,
        (keys, at): (&BTreeMap<String, Span>, &Span),
        key: &str,
        (what, help): (&str, &str),
    ) {
        if !keys.contains_key(key) {
            self.note(at, Wrong::new(what).help(help));
        }
    }
}
