//! What clients may do and for how long, whom of them is believed, and where it is written down.

use std::ops::RangeInclusive;
use std::time::Duration;

use h1::{HeadLimits, Underscores};
use ipnet::IpNet;
use proxy::{AccessLogDestination, AccessLogFormat, AccessLogSettings, ClientSettings, ClientTimeouts};

use super::Checker;
use super::service::WAIT_MAX;
use crate::file::{AccessLogTable, File, LimitsTable, TimeoutsTable};
use crate::problem::Wrong;
use crate::settings::{CONNECTIONS_MAX, KeyRule, Settings};
use crate::value;

const REQUEST_LINE_LIMITS: RangeInclusive<u64> = 256..=1 << 20;
const HEAD_LIMITS: RangeInclusive<u64> = 1 << 10..=1 << 20;
const HEADERS_MAX: u32 = 10_000;
const REQUESTS_MAX: u32 = 1_000_000_000;
const REPLAY_BODY_MAX: u64 = 16 << 20;
const BODY_RATE_LIMITS: RangeInclusive<u64> = 1..=1 << 30;
/// Deadlines of clients are looked at ten times a second.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TRUSTED_PROXIES_MAX: usize = 1000;

const UNDERSCORES: [(&str, Underscores); 3] =
    [("drop", Underscores::Drop), ("keep", Underscores::Keep), ("reject", Underscores::Reject)];
const FORMATS: [(&str, AccessLogFormat); 2] =
    [("json", AccessLogFormat::Json), ("common", AccessLogFormat::Common)];

impl Checker<'_, '_> {
    pub(super) fn clients(&mut self, file: &File) -> ClientSettings {
        let base = ClientSettings::default();
        let limits = &file.limits;
        ClientSettings {
            head: self.head(limits),
            requests_max: self
                .whole(&limits.requests_per_connection, 1..=REQUESTS_MAX)
                .map_or(base.requests_max, u64::from),
            connections_max: base.connections_max,
            replay_body_max: self
                .size(&limits.replay_body, 0..=REPLAY_BODY_MAX)
                .unwrap_or(base.replay_body_max),
            timeouts: self.client_timeouts(&file.timeouts),
            trusted_proxies: self.trusted_proxies(file),
            has_request_ids: file.request_id.as_ref().map_or(base.has_request_ids, |given| given.value),
        }
    }

    pub(super) fn connections_max(&mut self, limits: &LimitsTable) -> Option<usize> {
        self.whole(&limits.connections, 1..=CONNECTIONS_MAX).map(|limit| limit as usize)
    }

    pub(super) fn access_log(&mut self, table: &AccessLogTable) -> AccessLogSettings {
        let format = self.parse(&table.format, |text| value::choice(text, &FORMATS));
        let destination = self.parse(&table.to, value::log_destination);
        AccessLogSettings {
            format: format.unwrap_or(AccessLogFormat::Json),
            destination: destination.unwrap_or(AccessLogDestination::Stdout),
        }
    }

    /// Notes keys of services that no request can have, because their header is taken off before.
    pub(super) fn refuse_lost_keys(&mut self, file: &File, settings: &Settings) {
        if settings.clients.head.underscores == Underscores::Keep {
            return;
        }
        let tables = file.services.iter().flatten();
        for (service, table) in settings.services.iter().zip(tables) {
            if let (KeyRule::Header(name), Some(given)) = (&service.key, &table.key)
                && name.contains('_')
            {
                let what = format!("`key` is a header with an underscore, {name:?}, which does not pass");
                let help = "set underscores = \"keep\" below [limits], if replicas can tell `_` from `-`";
                self.note(&given.at, Wrong::new(what).help(help));
            }
        }
    }

    fn head(&mut self, limits: &LimitsTable) -> HeadLimits {
        let base = HeadLimits::default();
        let head = self.size(&limits.head, HEAD_LIMITS);
        let request_line = self.size(&limits.request_line, REQUEST_LINE_LIMITS);
        let is_head_wrong = limits.head.is_some() && head.is_none();
        let head = head.unwrap_or(base.head_max as u64);
        if let (Some(line), Some(given)) = (request_line, &limits.request_line)
            && line > head
            && !is_head_wrong
        {
            let [line, head] = [line, head].map(value::shown_size);
            let what =
                format!("`request_line`, which is {line}, must not be more than `head`, which is {head}");
            self.note(&given.at, Wrong::new(what).help("the request line is a part of the head"));
        }
        HeadLimits {
            request_line_max: request_line.unwrap_or(head.min(base.request_line_max as u64)) as usize,
            head_max: head as usize,
            fields_max: self
                .whole(&limits.headers, 1..=HEADERS_MAX)
                .map_or(base.fields_max, |limit| limit as usize),
            underscores: self
                .parse(&limits.underscores, |text| value::choice(text, &UNDERSCORES))
                .unwrap_or(base.underscores),
        }
    }

    fn client_timeouts(&mut self, table: &TimeoutsTable) -> ClientTimeouts {
        let base = ClientTimeouts::default();
        let limits = TIMEOUT_MIN..=WAIT_MAX;
        ClientTimeouts {
            head: self.duration(&table.head, limits.clone()).unwrap_or(base.head),
            idle: self.duration(&table.idle, limits.clone()).unwrap_or(base.idle),
            body_grace: self
                .duration(&table.body_grace, Duration::ZERO..=WAIT_MAX)
                .unwrap_or(base.body_grace),
            body_rate_min: self.size(&table.body_rate, BODY_RATE_LIMITS).unwrap_or(base.body_rate_min),
            write: self.duration(&table.write, limits).unwrap_or(base.write),
        }
    }

    fn trusted_proxies(&mut self, file: &File) -> Vec<IpNet> {
        let Some(given) = &file.trusted_proxies else { return Vec::new() };
        if given.value.len() > TRUSTED_PROXIES_MAX {
            let what = format!(
                "`trusted_proxies` must list at most {TRUSTED_PROXIES_MAX}, not {}",
                given.value.len()
            );
            self.note(&given.at, Wrong::new(what));
        }
        let listed = given.value.iter().take(TRUSTED_PROXIES_MAX);
        listed.filter_map(|range| self.parse_given(range, value::address_range)).collect()
    }
}
