//! The keys about clients: what they may send, how long they may take, and where that is written down.
//! The settings that they fill are the proxy's own.

use std::ops::RangeInclusive;
use std::time::Duration;

use h1::Underscores;
use proxy::{AccessLogDestination, AccessLogFormat, AccessLogSettings, ClientSettings, ClientTimeouts};

use super::limits::{CONNECTIONS_MAX, WAIT_MAX};
use crate::form::{Choice, Maybe, Size, Text, Time, Whole};
use crate::keys::{Key, Keys, Level, Table, Told};
use crate::value;

const REQUEST_LINE_LIMITS: RangeInclusive<u64> = 256..=1 << 20;
const HEAD_LIMITS: RangeInclusive<u64> = 1 << 10..=1 << 20;
/// All heads under way on one connection have no more, so none can be larger.
const HTTP2_HEAD_LIMITS: RangeInclusive<u64> = 4 << 10..=512 << 10;
const MEMORY_LIMITS: RangeInclusive<u64> = 16 << 20..=1 << 44;
const HEADERS_MAX: u32 = 10_000;
const REQUESTS_MAX: u32 = 1_000_000_000;
const STREAMS_MAX: u32 = 10_000;
const REPLAY_BODY_MAX: u64 = 16 << 20;
const BODY_RATE_LIMITS: RangeInclusive<u64> = 1..=1 << 30;
/// Deadlines of clients are looked at ten times a second.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// What the keys of `[limits]` fill.
pub(super) struct Limits<'s> {
    pub(super) clients: &'s mut ClientSettings,
    pub(super) connections_max: &'s mut Option<usize>,
    pub(super) requests_max: &'s mut Option<usize>,
    pub(super) memory_max: &'s mut Option<u64>,
    pub(super) request_line_max: &'s mut Option<usize>,
}

pub(super) fn limits(keys: &mut impl Keys, it: &mut Limits<'_>) {
    let title = "what clients may send, see [below](#limits)";
    keys.table(Table::new("limits", "[limits]", title), |keys| {
        keys.key(
            Key::new(
                "connections",
                Maybe(Whole(1..=CONNECTIONS_MAX)),
                "connections of clients at a time, over all listeners. When all are taken, the one that is idle longest \
                 is closed for each that comes, see below; if none is idle, more wait in the kernel",
            )
            .default(Told::Instead("half of the [descriptors](operation.md#descriptors)"))
            .limits(Told::And("at most three quarters of the descriptors")),
            it.connections_max,
        );
        keys.key(
            Key::new(
                "connections_per_client",
                Maybe(Whole(1..=CONNECTIONS_MAX)),
                "of these, from one IPv4 address, or one IPv6 network (/64); more are closed at once. Loopback and \
                 `trusted_proxies`, behind which there are many, have no such limit; behind the PROXY protocol the \
                 address that it names counts",
            )
            .default(Told::Instead("a quarter of `connections`")),
            &mut it.clients.connections_per_client_max,
        );
        keys.key(
            Key::new(
                "requests",
                Maybe(Whole(1..=CONNECTIONS_MAX)),
                "requests under way at a time, of all services; more wait in line, see `[service.limits]`. Half \
                 of them are divided evenly among the services, so that one whose requests hang leaves the others \
                 their share; the rest is for whoever comes first",
            )
            .default(Told::Instead("as many as connections to replicas are possible, see `connections`"))
            .limits(Told::And("at most the default")),
            it.requests_max,
        );
        let says = "requests at a time on one HTTP/2 connection; more are refused as the protocol has it";
        keys.key(Key::new("streams", Whole(1..=STREAMS_MAX), says), &mut it.clients.streams_max);
        let says = "the first line of a request; a longer one gets 414";
        keys.key(
            Key::new("request_line", Maybe(Size(REQUEST_LINE_LIMITS)), says)
                .default(Told::Instead("`\"16KiB\"`"))
                .limits(Told::And("at most `head`")),
            it.request_line_max,
        );
        let head = &mut it.clients.head;
        let says = "the head of a request, first line included; a larger one gets 431";
        keys.key(Key::new("head", Size(HEAD_LIMITS), says), &mut head.head_max);
        let says = "the head of a request over HTTP/2 once it is decoded, 32 bytes added for each field; a larger \
                    one gets 431, one of four times the size ends the connection. All heads under way on one \
                    connection have 512 KiB together";
        keys.key(Key::new("http2_head", Size(HTTP2_HEAD_LIMITS), says), &mut it.clients.http2_head_max);
        let says = "header lines of a request; more get 431";
        keys.key(Key::new("headers", Whole(1..=HEADERS_MAX), says), &mut head.fields_max);
        keys.key(
            Key::new(
                "memory",
                Maybe(Size(MEMORY_LIMITS)),
                "what all clients together may make the balancer keep: heads, bodies, answers that are not taken, \
                 and all else; see [memory](operation.md#memory)",
            )
            .default(Told::Instead("an eighth of the memory that there is, but at least 128MiB and at most 2GiB")),
            it.memory_max,
        );
        let says = "requests on one HTTP/1.1 connection, which then ends";
        keys.key(
            Key::new("requests_per_connection", Whole(1..=REQUESTS_MAX), says),
            &mut it.clients.requests_max,
        );
        let says = "the largest body of an idempotent request that is kept, so that it can be sent again";
        keys.key(
            Key::new("replay_body", Size(0..=REPLAY_BODY_MAX), says),
            &mut it.clients.replay_body_max,
        );
        keys.key(
            Key::new(
                "underscores",
                Choice::between(
                    ["drop", "keep", "reject"],
                    [Underscores::Drop, Underscores::Keep, Underscores::Reject],
                ),
                "what becomes of a header with an underscore in its name, which many applications cannot tell \
                 from one with a hyphen: taken off, passed on, or the request gets 400",
            ),
            &mut it.clients.head.underscores,
        );
    });
}

pub(super) fn timeouts(keys: &mut impl Keys, it: &mut ClientTimeouts) {
    let title = "how long clients may take, see [below](#timeouts)";
    keys.table(Table::new("timeouts", "[timeouts]", title), |keys| {
        let limits = || Time(TIMEOUT_MIN..=WAIT_MAX);
        keys.key(
            Key::new(
                "head",
                limits(),
                "for the head of a request, from its first byte on, then 408; for PROXY header, TLS handshake and \
                 first byte of a new connection together, then it is closed",
            ),
            &mut it.head,
        );
        let says = "for the next request on a connection, while at most half of `connections` are taken; with more \
                    of them it shrinks, down to 1 s";
        keys.key(Key::new("idle", limits(), says), &mut it.idle);
        let says = "how long a body is waited for before its rate counts";
        keys.key(Key::new("body_grace", Time(Duration::ZERO..=WAIT_MAX), says), &mut it.body_grace);
        keys.key(
            Key::new(
                "body_rate",
                Size(BODY_RATE_LIMITS),
                "the least that must come of a body in a second; a slower one gets 408, as long as no answer has \
                 begun (after that, silence counts). Bodies over HTTP/2 whose length was not said before, as gRPC \
                 has them, may be as slow as `[service.timeouts]` `idle` allows",
            ),
            &mut it.body_rate_min,
        );
        let says = "for taking any byte of an answer; then the connection is closed";
        keys.key(Key::new("write", limits(), says), &mut it.write);
    });
}

impl Level for AccessLogSettings {
    fn blank() -> Self {
        Self { format: AccessLogFormat::Json, destination: AccessLogDestination::Stdout }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        let formats = Choice::between(["json", "common"], [AccessLogFormat::Json, AccessLogFormat::Common]);
        let says = "an object with all that is known, or the Common Log Format with referer and user agent";
        keys.key(Key::new("format", formats, says), &mut self.format);
        keys.key(
            Key::new(
                "to",
                Text { kind: "string", parse: value::log_destination, show: value::shown_log_destination },
                "`\"stdout\"`, `\"stderr\"`, or a file, which is appended to",
            )
            .limits(Told::Instead("not empty")),
            &mut self.destination,
        );
    }
}
