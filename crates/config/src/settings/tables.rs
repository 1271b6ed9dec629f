//! The tables of a service: how replicas are asked whether they are well, what is thought of their
//! responses, and how long things may take. Each key is declared once, here.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::{HealthSettings, RolloutSettings};
use proxy::{RequestLimits, ServiceTimeouts};

use super::limits::{QUEUE_MAX, REPLICAS_MAX, REQUESTS_MAX, WAIT_MAX};
use crate::container::tables::StringTable;
use crate::fields;
use crate::form::{Choice, Maybe, Number, Text, Time, TimeOrNone, Whole};
use crate::keys::{Effect, Key, Keys, Table, Told};
use crate::statuses::{StatusRange, Statuses};
use crate::web;

const HEARTBEAT_METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "POST"];
const MISSES_MAX: u32 = 100;
const FAILURES_MAX: u32 = 1000;
const SLOW_FACTOR_MIN: f64 = 2.0;
const SLOW_FACTOR_MAX: f64 = 1000.0;
const EJECTION_MIN: Duration = Duration::from_millis(100);
const EJECTION_MAX: Duration = Duration::from_hours(1);
const HEARTBEAT_EVERY_MIN: Duration = Duration::from_millis(10);
const HEARTBEAT_EVERY_MAX: Duration = Duration::from_hours(1);
const HEARTBEAT_TIMEOUT_MIN: Duration = Duration::from_millis(1);
const BAKE_MAX: Duration = Duration::from_hours(1);
const CONNECT_MAX: Duration = Duration::from_mins(1);
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// How replicas are asked whether they are well. What they speak is the service's `protocol`, so this is
/// not all that their prober is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// What is requested; begins with `/`.
    pub path: String,
    /// The time between two questions.
    pub every: Duration,
    /// How long a response may take; at most `every`.
    pub timeout: Duration,
    /// The method of the request.
    pub method: String,
    /// What replicas are called, in the place of their addresses.
    pub host: Option<String>,
    /// Further headers of the request.
    pub headers: BTreeMap<String, String>,
    /// Where replicas are asked, if not where requests are sent.
    pub port: Option<u16>,
    /// The statuses of good answers.
    pub statuses: Vec<StatusRange>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            path: "/heartbeat".to_owned(),
            every: Duration::from_millis(500),
            timeout: Duration::from_millis(250),
            method: HEARTBEAT_METHODS[0].to_owned(),
            host: None,
            headers: BTreeMap::new(),
            port: None,
            statuses: vec![StatusRange { first: 200, last: 299 }],
        }
    }
}

/// How replicas are asked whether they are well, and what is thought of that.
pub(super) fn heartbeat(keys: &mut impl Keys, it: &mut Heartbeat, health: &mut HealthSettings) {
    keys.table(Table::new("heartbeat", "[service.heartbeat]", ""), |keys| {
        keys.key(
            Key::new(
                "path",
                Text::of("string", web::heartbeat_path),
                "what is requested; a query is allowed",
            )
            .limits(Told::Instead("at most 1024 characters, begins with `/`")),
            &mut it.path,
        );
        let every = Time(HEARTBEAT_EVERY_MIN..=HEARTBEAT_EVERY_MAX);
        keys.key(Key::new("every", every, "the time between two questions"), &mut it.every);
        keys.key(
            Key::new(
                "timeout",
                Time(HEARTBEAT_TIMEOUT_MIN..=HEARTBEAT_EVERY_MAX),
                "how long an answer may take",
            )
            .limits(Told::Instead("1ms – `every`")),
            &mut it.timeout,
        );
        question(keys, it);
        let says = "after how many misses in a row a replica counts as silent";
        keys.key(Key::new("misses", Whole(1..=MISSES_MAX), says), &mut health.misses);
        let says = "after how many good answers in a row one that was silent counts as well again";
        keys.key(Key::new("rise", Whole(1..=MISSES_MAX), says), &mut health.rise);
    });
}

/// How they are asked, and which answers are good ones.
fn question(keys: &mut impl Keys, it: &mut Heartbeat) {
    let says = "the statuses of good answers, as `200`, `\"200-399\"` or an array of them";
    let statuses = Key::new("statuses", Statuses, says).default(Told::Instead("`\"200-299\"`"));
    keys.key(statuses, &mut it.statuses);
    let methods = Choice::between(HEARTBEAT_METHODS, HEARTBEAT_METHODS.map(str::to_owned));
    keys.key(Key::new("method", methods, "the method of the request, which has no body"), &mut it.method);
    let says = "what `Host` says (with HTTP/2, `:authority`), for replicas that serve certain hosts only";
    let host = Maybe(Text::of("string", fields::host_field));
    keys.key(Key::new("host", host, says).default(Told::Instead("the replica's address")), &mut it.host);
    let says = "further headers, for example `{ X-Forwarded-Proto = \"https\" }` for replicas that send everybody else there";
    let table = StringTable { name: fields::question_field, value: fields::question_value };
    keys.key(Key::new("headers", table, says), &mut it.headers);
    let says = "where it is asked, if not at the port that requests are sent to: for containers that are reached at their own \
                address, and for `static` ones";
    let port = Key::new("port", Maybe(Whole(1..=u32::from(u16::MAX))), says);
    keys.key(port.default(Told::Instead("that of requests")), &mut it.port);
}

/// What is thought of responses to requests.
pub(super) fn responses(keys: &mut impl Keys, it: &mut HealthSettings) {
    let responses = Table::new("responses", "[service.responses]", "").formerly("answers");
    keys.table(responses, |keys| {
        keys.key(
            Key::new(
                "failures",
                Whole(0..=FAILURES_MAX),
                "after how many failures in a row it gets no requests for a while; 0 is never. Failures are 500, \
                 502, 503 and 504 of its own, answers that are no HTTP or that break off, no answer within \
                 `response`, and a new connection that breaks",
            ),
            &mut it.failures,
        );
        keys.key(
            Key::new(
                "slow_factor",
                Number {
                    limits: SLOW_FACTOR_MIN..=SLOW_FACTOR_MAX,
                    or_zero: Some(
                        "5 ejects a replica that takes five times as long as its peers; 0 ejects none for that",
                    ),
                },
                "how many times slower than its peers it may answer; 0 is any",
            ),
            &mut it.slow_factor,
        );
        keys.key(
            Key::new(
                "ejection",
                Time(EJECTION_MIN..=EJECTION_MAX),
                "how long it gets no requests; doubled with each time up to 5 min, and up to a quarter longer by \
                 chance",
            ),
            &mut it.ejection,
        );
    });
}

/// How replicas go.
pub(super) fn drain(keys: &mut impl Keys, deadline: &mut Option<Duration>) {
    keys.table(Table::new("drain", "[service.drain]", ""), |keys| {
        let says = "how long a replica on its way out may keep the requests that it has; what is still under way then, \
                    a long download or a WebSocket, breaks off";
        let limits = Maybe(Time(Duration::ZERO..=WAIT_MAX));
        keys.key(
            Key::new("deadline", limits, says).default(Told::Instead("what `timeouts.response` is")),
            deadline,
        );
    });
}

/// How careful a rollout is.
pub(super) fn deploy(keys: &mut impl Keys, it: &mut RolloutSettings) {
    keys.table(Table::new("deploy", "[service.deploy]", ""), |keys| {
        let says = "how many seats have their turn at a time";
        let at_once = Key::new("at_once", Whole(1..=REPLICAS_MAX), says);
        keys.key(at_once.effect(Effect::Deploy), &mut it.at_once);
        let says = "how long a new replica must stay well before it gets the seat, and again in it";
        let bake = Key::new("bake", Time(Duration::ZERO..=BAKE_MAX), says);
        keys.key(bake.effect(Effect::Deploy), &mut it.bake);
    });
}

/// How long replicas may take.
pub(super) fn timeouts(keys: &mut impl Keys, it: &mut ServiceTimeouts) {
    keys.table(Table::new("timeouts", "[service.timeouts]", ""), |keys| {
        let limits = || Time(TIMEOUT_MIN..=WAIT_MAX);
        keys.key(
            Key::new(
                "connect",
                Time(TIMEOUT_MIN..=CONNECT_MAX),
                "to accept a connection; then another replica is asked. Where there is no other, the same ones \
                 are asked again after 20 ms, for 10 s and at most 100 times: more may have come at once than \
                 fits into the queue of a replica",
            ),
            &mut it.connect,
        );
        let says = "to begin an answer, from the last byte of the request on, each attempt anew; then 504";
        keys.key(Key::new("response", limits(), says), &mut it.response);
        let says = "for the next bytes of an answer; then it breaks off";
        keys.key(Key::new("idle", limits(), says), &mut it.idle);
        keys.key(
            Key::new(
                "request",
                TimeOrNone(Time(Duration::ZERO..=WAIT_MAX)),
                "for the request as a whole, from its head to the last byte of its answer, however often it is \
                 tried; then 504, or the answer breaks off; 0 is no limit",
            ),
            &mut it.request,
        );
        let says = "for the next bytes, in either direction, after a change of protocol (WebSocket)";
        keys.key(Key::new("upgrade_idle", limits(), says), &mut it.upgrade_idle);
    });
}

/// How many requests may be under way, and how many may wait.
pub(super) fn limits(keys: &mut impl Keys, it: &mut RequestLimits) {
    keys.table(Table::new("limits", "[service.limits]", ""), |keys| {
        let none = Told::Instead("no limit");
        let says = "requests of the service under way at a time; more wait in line";
        let requests = Key::new("requests", Maybe(Whole(1..=REQUESTS_MAX)), says);
        keys.key(requests.default(none), &mut it.requests);
        let says = "requests in one replica at a time; one that has as many is passed over for the next in the \
                    order of the key, and where all have, requests wait in line";
        let per_replica = Key::new("requests_per_replica", Maybe(Whole(1..=REQUESTS_MAX)), says);
        keys.key(per_replica.default(none), &mut it.requests_per_replica);
        let says = "how many requests may wait, for a place within a limit or for a replica; more get 503";
        keys.key(Key::new("queue", Whole(0..=QUEUE_MAX), says), &mut it.queue);
        let says = "for how long, all waits of a request together; then 503";
        let timeout = Time(Duration::ZERO..=WAIT_MAX);
        keys.key(Key::new("queue_timeout", timeout, says), &mut it.queue_timeout);
    });
}
