//! What a probe asks, and the trait for how it reaches a replica. When to probe, and what to make of
//! silence, is not known here.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use fleet::{Address, ProbeResult, in_full};
use futures_util::future::BoxFuture;
use hyper::header::{HeaderValue, LOCATION};
use hyper::{HeaderMap, Method, StatusCode};

/// The most that is told of what others wrote.
const WORDS_CHARS_MAX: usize = 200;

/// Who asks, for those who write down who does.
pub(super) const AGENT: &str = "evenkeel-heartbeat";

/// How a service's replicas are probed.
#[derive(Clone, Debug)]
pub struct HeartbeatSettings {
    /// The path to ask for.
    pub path: String,
    /// How it is asked for, and what is a good answer.
    pub question: Question,
    /// What replicas speak.
    pub protocol: HeartbeatProtocol,
    /// Time from one probe to the next.
    pub every: Duration,
    /// Time for an answer.
    pub timeout: Duration,
}

/// How a replica is asked, and which answers are good ones. gRPC's own question is not asked in another way.
#[derive(Clone, Debug)]
pub struct Question {
    /// The method.
    pub method: Method,
    /// What replicas are called, in the place of their addresses.
    pub host: Option<HeaderValue>,
    /// Further fields.
    pub headers: HeaderMap,
    /// Where they are asked, if not where requests are sent.
    pub port: Option<u16>,
    /// The statuses of good answers.
    pub statuses: Vec<RangeInclusive<u16>>,
}

impl Question {
    /// The statuses of good answers unless there are others.
    pub const STATUSES: RangeInclusive<u16> = 200..=299;

    /// Where a replica is asked that is at this address.
    pub(super) fn place(&self, address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip(), self.port.unwrap_or_else(|| address.port()))
    }

    /// What an answer comes to, by its status.
    pub(super) fn judge(&self, status: StatusCode, fields: &HeaderMap) -> Probed {
        if self.statuses.iter().any(|range| range.contains(&status.as_u16())) {
            return ProbeResult::Good.into();
        }
        let target = fields.get(LOCATION).filter(|_| status.is_redirection());
        let target = target.map(|target| String::from_utf8_lossy(target.as_bytes()).into_owned());
        let target = target.map(|target| format!(" to {}", cut(&target))).unwrap_or_default();
        Probed::new(ProbeResult::Unwell, format!("{status}{target}"))
    }
}

impl Default for Question {
    fn default() -> Self {
        Self {
            method: Method::GET,
            host: None,
            headers: HeaderMap::new(),
            port: None,
            statuses: vec![Self::STATUSES],
        }
    }
}

/// What replicas speak when they are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeartbeatProtocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2 without TLS. With the path `/grpc.health.v1.Health/Check` the question is gRPC's own, and
    /// `SERVING` the good answer.
    H2c,
}

/// How a probe reaches a replica and its result comes back.
pub trait Prober: Send + Sync + 'static {
    /// Probes once, without a deadline: dropping the future ends the probe. Nothing, if it was not the
    /// replica's doing that there was no answer.
    fn probe<'a>(
        &'a self,
        address: &'a Address,
        settings: &'a HeartbeatSettings,
    ) -> BoxFuture<'a, Option<Probed>>;
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What it counts as.
    pub result: ProbeResult,
    /// What the replica said or did, for people.
    pub words: Cow<'static, str>,
}

impl Probed {
    pub(super) fn new(result: ProbeResult, words: impl Into<Cow<'static, str>>) -> Self {
        Self { result, words: words.into() }
    }
}

impl Probed {
    /// One that says nothing that we understand has missed the heartbeat.
    pub(super) fn not_understood(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(ProbeResult::Missed, format!("no answer that is understood: {}", cut(&in_full(error))))
    }
}

/// What others wrote, up to a bound.
fn cut(text: &str) -> String {
    text.chars().take(WORDS_CHARS_MAX).collect()
}

impl From<ProbeResult> for Probed {
    fn from(result: ProbeResult) -> Self {
        Self::new(
            result,
            match result {
                ProbeResult::Good => "a good answer",
                ProbeResult::Refused => "connection refused",
                ProbeResult::Missed => "no answer",
                ProbeResult::Unwell => "a bad answer",
            },
        )
    }
}

impl HeartbeatSettings {
    /// Where a replica is asked.
    pub(super) fn place(&self, address: &Address) -> Address {
        match address {
            Address::Tcp(address) => self.question.place(*address).into(),
            Address::Unix(_) => address.clone(),
        }
    }

    /// The question, for people.
    pub(super) fn in_words(&self) -> String {
        let is_grpc = self.protocol == HeartbeatProtocol::H2c && self.path == GRPC_HEALTH;
        let method = if is_grpc { Method::POST } else { self.question.method.clone() };
        format!("{method} {}", self.path)
    }
}

/// What gRPC services answer that let themselves be asked: the protocol `grpc.health.v1`.
pub(super) const GRPC_HEALTH: &str = "/grpc.health.v1.Health/Check";
