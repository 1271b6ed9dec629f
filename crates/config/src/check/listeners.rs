//! Listeners: what they cannot do without, and addresses that are in each other's way. Whether the
//! files are there, and good, is seen when they are loaded.

use fleet::Address;
use proxy::TlsSettings;

use super::Checker;
use crate::found::Found;
use crate::problem::{Span, Wrong};
use crate::settings::{CERTIFICATES_MAX, LISTENERS_MAX, Place, Settings, clashes};

impl Checker<'_, '_> {
    pub(super) fn listeners(&mut self, settings: &mut Settings, found: &Found) {
        let tables = found.tables("listener");
        if let Some(table) = tables.get(LISTENERS_MAX) {
            let what = format!("there are {} listeners, but at most {LISTENERS_MAX} may be", tables.len());
            self.note(&table.at, Wrong::new(what));
        }
        for (listener, table) in settings.listeners.iter_mut().zip(tables).take(LISTENERS_MAX) {
            let wrong = Wrong::new("a listener needs an `address`");
            let help = "add address = \"0.0.0.0:443\", or where else clients connect";
            self.require_key(table, "address", wrong.help(help));
            if let (Some(tls), Some(table)) = (&mut listener.tls, table.table("tls")) {
                self.tls(tls, table);
            }
        }
    }

    /// Notes addresses that are in the way of others.
    pub(super) fn compare_addresses(&mut self, settings: &Settings, found: &Found) {
        let mut places = Vec::new();
        let mut spans: Vec<Option<Span>> = Vec::new();
        // What stands in for a wrong value is not the operator's, and is in nobody's way.
        let mut add = |key, table: &Found, address| {
            if let Some(address) = address
                && table.is_sound(key)
            {
                places.push(Place { key, address });
                spans.push(table.value_at(key).cloned());
            }
        };
        let admin = match settings.admin {
            Address::Tcp(address) => Some(address),
            Address::Unix(_) => None,
        };
        add("listen", found, settings.listen);
        add("admin", found, admin);
        for (listener, table) in settings.listeners.iter().zip(found.tables("listener")).take(LISTENERS_MAX) {
            add("address", table, Some(listener.address).filter(|_| table.has("address")));
        }
        for clash in clashes(&places) {
            if let Some(at) = spans[clash.later].as_ref().or(spans[clash.earlier].as_ref()) {
                self.note(at, Wrong::new(clash.what).help("give one of them another port"));
            }
        }
    }

    fn tls(&mut self, tls: &mut TlsSettings, table: &Found) {
        let wrong = Wrong::new("TLS needs `certificates`");
        let help = "add certificates = [{ certificate = \"shop.pem\", key = \"shop.key\" }]";
        self.require_key(table, "certificates", wrong.help(help));
        let certificates = table.tables("certificates");
        if let Some(extra) = certificates.get(CERTIFICATES_MAX) {
            let count = certificates.len();
            let what = format!("`certificates` must list at most {CERTIFICATES_MAX}, not {count}");
            self.note(&extra.at, Wrong::new(what));
        }
        for certificate in certificates.iter().take(CERTIFICATES_MAX) {
            for key in ["certificate", "key"] {
                let what = format!("a certificate needs `certificate` and `key`; `{key}` is missing");
                let help = "for example { certificate = \"shop.pem\", key = \"shop.key\" }";
                self.require_key(certificate, key, Wrong::new(what).help(help));
            }
        }
        if let (Some(at), false) = (table.key_at("client_certificate"), table.has("client_authority")) {
            let help =
                "add client_authority = \"clients.pem\", the certificates of those who vouch for clients";
            self.note(at, Wrong::new("`client_certificate` needs `client_authority`").help(help));
        }
        // Without them, nobody could tell a right certificate from a wrong one.
        tls.is_client_certificate_required &= tls.client_authority.is_some();
    }

    /// Notes a key that is not there.
    fn require_key(&mut self, table: &Found, key: &str, wrong: Wrong) {
        if !table.has(key) {
            self.note(&table.at, wrong);
        }
    }
}
