//! Listeners: what they cannot do without, and addresses that are in each other's way. Whether the
//! files are there, and good, is seen when they are loaded.

use std::net::{IpAddr, Ipv6Addr};

use fleet::Address;
use ipnet::IpNet;
use proxy::TlsSettings;

use super::Checker;
use super::service::unless_empty;
use crate::found::Found;
use crate::problem::{Span, Wrong};
use crate::settings::{CERTIFICATES_MAX, LISTENERS_MAX, ListenerSettings, Place, Settings, clashes};

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
            self.proxy_protocol(listener, table);
            self.https_redirect(listener, table);
            if let Some(table) = table.table("response_headers") {
                self.field_edits(table);
            }
            listener.response_headers = unless_empty(listener.response_headers.take());
            listener.error_pages = listener.error_pages.take().filter(|pages| !pages.files.is_empty());
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

    /// Whoever may connect could otherwise come as anybody: into the log, past the limits, to the application.
    fn proxy_protocol(&mut self, listener: &mut ListenerSettings, table: &Found) {
        let is_given = table.has("proxy_protocol_from");
        if !listener.proxy_protocol {
            if let Some(at) = table.key_at("proxy_protocol_from") {
                let wrong = Wrong::new("`proxy_protocol_from` needs `proxy_protocol`");
                self.note(at, wrong.help("add proxy_protocol = true, or remove it"));
            }
        } else if listener.proxy_protocol_from.is_empty() && !is_given && listener.address.ip().is_loopback()
        {
            listener.proxy_protocol_from = loopback();
        } else if listener.proxy_protocol_from.is_empty() && table.is_sound("proxy_protocol_from") {
            let at = table.key_at("proxy_protocol_from").or(table.key_at("proxy_protocol"));
            let what = if is_given {
                "`proxy_protocol_from` names nobody, so nobody could connect"
            } else {
                "a listener with `proxy_protocol` that others can reach needs `proxy_protocol_from`"
            };
            let help = "add proxy_protocol_from = [\"10.0.0.0/8\"], or whatever addresses the load balancers in \
                        front of this one have: whoever is believed can claim to be any client";
            self.note(at.unwrap_or(&table.at), Wrong::new(what).help(help));
        }
    }

    /// Notes what would send clients in a circle, and what would have no effect.
    fn https_redirect(&mut self, listener: &ListenerSettings, table: &Found) {
        if let (true, Some(at), true) = (listener.is_redirecting, table.key_at("redirect"), table.has("tls"))
        {
            let wrong = Wrong::new("a listener with TLS cannot send to HTTPS: its clients are there");
            self.note(at, wrong.help("set it on the listener without TLS"));
        }
        for key in ["redirect_status", "redirect_port"] {
            if let (Some(at), false) = (table.key_at(key), table.has("redirect")) {
                let wrong = Wrong::new(format!("`{key}` needs `redirect`"));
                self.note(at, wrong.help("add redirect = \"https\", or remove it"));
            }
        }
    }

    /// Notes headers that are removed and set at a time.
    pub(super) fn field_edits(&mut self, table: &Found) {
        let is_same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        for part in table.parts("remove") {
            let set = table.parts("set").iter().find(|set| is_same(&set.key, &part.text));
            if set.is_some() {
                let what = format!("`{}` is set as well as removed", part.text);
                self.note(&part.at, Wrong::new(what).help("what is set has no others of its name beside it"));
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

fn loopback() -> Vec<IpNet> {
    let networks = [(IpAddr::from([127, 0, 0, 0]), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
    networks.into_iter().filter_map(|(address, length)| IpNet::new(address, length).ok()).collect()
}
