//! The shape of what the file says about clients: listeners, limits, timeouts, the access log.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::{ACCESS_LOG, CERTIFICATE, Flag, LEVELS, LIMITS, LISTENER, TIMEOUTS, TLS, Text, Whole};
use crate::config::problem::Span;
use crate::config::reader::{DURATION, FLAG, Given, Reader, SIZE, TEXT, VERSION, WHOLE};

/// One `[[listener]]`.
#[derive(Debug)]
pub(in crate::config) struct ListenerTable {
    /// Where its header is.
    pub(in crate::config) at: Span,
    /// Where its keys are, also those whose values are of a wrong type.
    pub(in crate::config) keys: BTreeMap<String, Span>,
    pub(in crate::config) address: Text,
    pub(in crate::config) proxy_protocol: Flag,
    pub(in crate::config) tls: Option<TlsTable>,
}

/// `[listener.tls]`.
#[derive(Debug)]
pub(in crate::config) struct TlsTable {
    pub(in crate::config) at: Span,
    pub(in crate::config) keys: BTreeMap<String, Span>,
    pub(in crate::config) certificates: Vec<CertificateTable>,
    pub(in crate::config) client_authority: Text,
    pub(in crate::config) client_certificate: Text,
    pub(in crate::config) oldest_version: Text,
    pub(in crate::config) http2: Flag,
}

/// An entry of `certificates`.
#[derive(Debug)]
pub(in crate::config) struct CertificateTable {
    pub(in crate::config) at: Span,
    pub(in crate::config) keys: BTreeMap<String, Span>,
    pub(in crate::config) certificate: Text,
    pub(in crate::config) key: Text,
}

/// `[limits]`.
#[derive(Debug, Default)]
pub(in crate::config) struct LimitsTable {
    pub(in crate::config) connections: Whole,
    pub(in crate::config) request_line: Text,
    pub(in crate::config) head: Text,
    pub(in crate::config) headers: Whole,
    pub(in crate::config) requests_per_connection: Whole,
    pub(in crate::config) replay_body: Text,
    pub(in crate::config) underscores: Text,
}

/// `[timeouts]`.
#[derive(Debug, Default)]
pub(in crate::config) struct TimeoutsTable {
    pub(in crate::config) head: Text,
    pub(in crate::config) idle: Text,
    pub(in crate::config) body_grace: Text,
    pub(in crate::config) body_rate: Text,
    pub(in crate::config) write: Text,
}

/// `[access_log]`.
#[derive(Debug)]
pub(in crate::config) struct AccessLogTable {
    pub(in crate::config) format: Text,
    pub(in crate::config) to: Text,
}

impl ListenerTable {
    pub(super) fn read_all(top: &mut Reader<'_, '_, '_>) -> Option<Vec<Self>> {
        let tables = top.take_tables("listener", "begin each with the header [[listener]]")?;
        Some(tables.into_iter().map(|table| Self::read(&table, top)).collect())
    }

    fn read<'d>(table: &Given<&'d DeTable<'d>>, top: &mut Reader<'d, '_, '_>) -> Self {
        let mut reader = top.inner(table.value, (&LEVELS, LISTENER));
        Self {
            at: table.at.clone(),
            keys: reader.keys().into_iter().collect(),
            address: reader.take("address", &TEXT),
            proxy_protocol: reader.take("proxy_protocol", &FLAG),
            tls: TlsTable::read(&mut reader),
        }
    }
}

impl TlsTable {
    fn read(listener: &mut Reader<'_, '_, '_>) -> Option<Self> {
        let table = listener.take_table("tls")?;
        let mut reader = listener.inner(table.value, (&LEVELS, TLS));
        let help = "for example certificates = [{ certificate = \"shop.pem\", key = \"shop.key\" }]";
        let certificates = reader.take_tables("certificates", help).unwrap_or_default();
        Some(Self {
            at: table.at.clone(),
            keys: reader.keys().into_iter().collect(),
            certificates: certificates
                .iter()
                .map(|table| CertificateTable::read(table, &mut reader))
                .collect(),
            client_authority: reader.take("client_authority", &TEXT),
            client_certificate: reader.take("client_certificate", &TEXT),
            oldest_version: reader.take("oldest_version", &VERSION),
            http2: reader.take("http2", &FLAG),
        })
    }
}

impl CertificateTable {
    fn read<'d>(table: &Given<&'d DeTable<'d>>, tls: &mut Reader<'d, '_, '_>) -> Self {
        let mut reader = tls.inner(table.value, (&LEVELS, CERTIFICATE));
        Self {
            at: table.at.clone(),
            keys: reader.keys().into_iter().collect(),
            certificate: reader.take("certificate", &TEXT),
            key: reader.take("key", &TEXT),
        }
    }
}

impl LimitsTable {
    pub(super) fn read(top: &mut Reader<'_, '_, '_>) -> Self {
        let Some(table) = top.take_table("limits") else { return Self::default() };
        let mut reader = top.inner(table.value, (&LEVELS, LIMITS));
        Self {
            connections: reader.take("connections", &WHOLE),
            request_line: reader.take("request_line", &SIZE),
            head: reader.take("head", &SIZE),
            headers: reader.take("headers", &WHOLE),
            requests_per_connection: reader.take("requests_per_connection", &WHOLE),
            replay_body: reader.take("replay_body", &SIZE),
            underscores: reader.take("underscores", &TEXT),
        }
    }
}

impl TimeoutsTable {
    pub(super) fn read(top: &mut Reader<'_, '_, '_>) -> Self {
        let Some(table) = top.take_table("timeouts") else { return Self::default() };
        let mut reader = top.inner(table.value, (&LEVELS, TIMEOUTS));
        Self {
            head: reader.take("head", &DURATION),
            idle: reader.take("idle", &DURATION),
            body_grace: reader.take("body_grace", &DURATION),
            body_rate: reader.take("body_rate", &SIZE),
            write: reader.take("write", &DURATION),
        }
    }
}

impl AccessLogTable {
    pub(super) fn read(top: &mut Reader<'_, '_, '_>) -> Option<Self> {
        let table = top.take_table("access_log")?;
        let mut reader = top.inner(table.value, (&LEVELS, ACCESS_LOG));
        Some(Self { format: reader.take("format", &TEXT), to: reader.take("to", &TEXT) })
    }
}
