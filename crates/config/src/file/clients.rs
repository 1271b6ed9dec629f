//! The shape of what the file says about clients: listeners, limits, timeouts, the access log.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::{ACCESS_LOG, CERTIFICATE, Flag, LEVELS, LIMITS, LISTENER, TIMEOUTS, TLS, Text, Whole};
use crate::problem::Span;
use crate::reader::{DURATION, FLAG, Given, Reader, SIZE, TEXT, VERSION, WHOLE};

/// One `[[listener]]`.
#[derive(Debug)]
pub(crate) struct ListenerTable {
    /// Where its header is.
    pub(crate) at: Span,
    /// Where its keys are, also those whose values are of a wrong type.
    pub(crate) keys: BTreeMap<String, Span>,
    pub(crate) address: Text,
    pub(crate) proxy_protocol: Flag,
    pub(crate) tls: Option<TlsTable>,
}

/// `[listener.tls]`.
#[derive(Debug)]
pub(crate) struct TlsTable {
    pub(crate) at: Span,
    pub(crate) keys: BTreeMap<String, Span>,
    pub(crate) certificates: Vec<CertificateTable>,
    pub(crate) client_authority: Text,
    pub(crate) client_certificate: Text,
    pub(crate) oldest_version: Text,
    pub(crate) http2: Flag,
}

/// An entry of `certificates`.
#[derive(Debug)]
pub(crate) struct CertificateTable {
    pub(crate) at: Span,
    pub(crate) keys: BTreeMap<String, Span>,
    pub(crate) certificate: Text,
    pub(crate) key: Text,
}

/// `[limits]`.
#[derive(Debug, Default)]
pub(crate) struct LimitsTable {
    pub(crate) connections: Whole,
    pub(crate) request_line: Text,
    pub(crate) head: Text,
    pub(crate) headers: Whole,
    pub(crate) requests_per_connection: Whole,
    pub(crate) replay_body: Text,
    pub(crate) underscores: Text,
}

/// `[timeouts]`.
#[derive(Debug, Default)]
pub(crate) struct TimeoutsTable {
    pub(crate) head: Text,
    pub(crate) idle: Text,
    pub(crate) body_grace: Text,
    pub(crate) body_rate: Text,
    pub(crate) write: Text,
}

/// `[access_log]`.
#[derive(Debug)]
pub(crate) struct AccessLogTable {
    pub(crate) format: Text,
    pub(crate) to: Text,
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
