//! Every failure, and what it means: which status, whether the request may be sent again, and what its
//! client is told. That is little; the log is told everything.

use h1::{BadHead, OddPath};

use crate::documents::fault::FileFault;
use crate::respond::limit::Limit;
use crate::telling::defences::Defence;

/// Why an attempt, or all of them, came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody listens there.
    Refused,
    /// No connection in time, or the network said no.
    Unreachable,
    /// The connection was gone before anything was sent on it.
    Unsent,
    /// The connection broke after something was sent and before a response began.
    Broken,
    /// The replica was given up while we waited for its response.
    Abandoned,
    /// No response within the limit.
    TimedOut,
    /// What came was no HTTP.
    Garbled,
    /// More interim responses than anybody needs. That is no illness.
    TooManyInterims,
    /// The replica does not change to the protocol that its answer would be in.
    NotChanged,
    /// A replica whose responses are not to be trusted now answered badly; another one is better asked.
    Distrusted,
    /// Such a replica broke off in the middle of its response, of which the client has seen nothing.
    CutOff,
    /// The client has left.
    ClientLeft,
    /// We have ended the client's connection for what is done on it, or for what it holds.
    HungUp(Defence),
    /// The balancer has ended before the request did.
    Ended,
    /// The client's body broke off or was no HTTP.
    ClientBroke,
    /// The client's body did not arrive in time.
    ClientTooSlow,
    /// The body is larger than what we take.
    BodyTooLarge,
    /// The request as a whole took longer than its service allows.
    TookTooLong,
    /// We had no socket left for another connection.
    OutOfSockets,
    /// CONNECT or TRACE.
    MethodNotForwarded,
    /// The head does not pass.
    BadHead(BadHead),
    /// The path can be read in more than one way.
    OddPath(OddPath),
    /// No service is meant.
    NoService,
    /// The service has no replica at all, by its operator's will.
    NoReplicas,
    /// No replica took traffic within the time that a request may wait.
    WaitedInVain,
    /// Too many wait already.
    RoomFull,
    /// Its connection has as many requests under way as it may, or is on its way out. Nobody has looked at it.
    StreamRefused,
    /// There is no file for it.
    File(FileFault),
    /// As many are under way as this limit allows; too many wait already, or it has waited too long.
    TooMany(Limit),
}

impl From<FileFault> for Failure {
    fn from(fault: FileFault) -> Self {
        Self::File(fault)
    }
}

/// When a failed attempt may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Nothing was sent.
    Always,
    /// The replica may have acted on it.
    IfIdempotent,
    /// It would not help.
    Never,
}

impl Failure {
    /// The status that the client gets when this was the last word.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Refused | Self::Unreachable | Self::Unsent => 503,
            Self::Broken | Self::Abandoned | Self::Garbled | Self::Distrusted | Self::CutOff => 502,
            Self::TooManyInterims => 502,
            Self::TimedOut | Self::TookTooLong => 504,
            Self::ClientBroke | Self::OddPath(_) => 400,
            Self::ClientTooSlow => 408,
            Self::BodyTooLarge => 413,
            // Nobody reads it; the access log has it from nginx.
            Self::ClientLeft | Self::HungUp(_) | Self::Ended => 499,
            Self::MethodNotForwarded => 405,
            Self::BadHead(fault) => fault.status(),
            Self::NoService => 404,
            Self::NotChanged => 501,
            Self::OutOfSockets | Self::NoReplicas | Self::WaitedInVain => 503,
            Self::StreamRefused | Self::RoomFull | Self::TooMany(_) => 503,
            Self::File(fault) => fault.status(),
        }
    }

    /// Whether the request may be sent again.
    pub(crate) fn replay(self) -> Replay {
        match self {
            Self::Refused | Self::Unreachable | Self::Unsent => Replay::Always,
            // Whether it may be sent again was asked before the response was thrown away.
            Self::Distrusted | Self::CutOff => Replay::Always,
            Self::Broken | Self::Abandoned => Replay::IfIdempotent,
            // Every replica that is asked again could be kept busy as long.
            Self::TimedOut | Self::TookTooLong | Self::Garbled | Self::TooManyInterims => Replay::Never,
            Self::ClientLeft | Self::HungUp(_) | Self::Ended => Replay::Never,
            Self::ClientBroke | Self::ClientTooSlow | Self::BodyTooLarge => Replay::Never,
            Self::MethodNotForwarded | Self::BadHead(_) | Self::NotChanged => Replay::Never,
            Self::OddPath(_) | Self::NoService => Replay::Never,
            Self::OutOfSockets | Self::NoReplicas | Self::WaitedInVain => Replay::Never,
            Self::StreamRefused | Self::RoomFull | Self::TooMany(_) | Self::File(_) => Replay::Never,
        }
    }

    /// Whether a replica may have had the request and was lost with it: it died, broke off, or was given up.
    pub(crate) fn is_loss(self) -> bool {
        matches!(self, Self::Broken | Self::Abandoned | Self::CutOff)
    }

    /// Whether it speaks against the replica that it happened with.
    pub(crate) fn is_suspicious(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable | Self::Broken | Self::TimedOut | Self::Garbled)
    }

    /// What the client is told of it.
    pub(crate) fn text(self) -> String {
        let text = match self {
            Self::Refused | Self::Unreachable | Self::Unsent => "no replica could be reached",
            Self::Broken | Self::Abandoned | Self::Distrusted | Self::CutOff => {
                "the replica failed while it worked on this request"
            }
            Self::TimedOut => "the replica did not answer in time",
            Self::TooManyInterims => "the replica sent interim answers without end",
            Self::Garbled => "the replica's answer was not valid HTTP",
            Self::NotChanged => "the replica does not change to this protocol",
            Self::ClientLeft => "the client has left",
            Self::HungUp(defence) => return format!("its connection was ended ({})", defence.name()),
            Self::Ended => "the balancer ended before it was answered",
            Self::ClientBroke => "the request ended early, or its body was not valid HTTP",
            Self::ClientTooSlow => "the request did not arrive in time",
            Self::BodyTooLarge => "the request body is too large",
            Self::TookTooLong => "the request took longer than it may",
            Self::OutOfSockets => "no connection is left for another request",
            Self::MethodNotForwarded => "CONNECT and TRACE are not forwarded",
            Self::BadHead(fault) => return fault.to_string(),
            Self::OddPath(odd) => return odd.to_string(),
            Self::NoService => "no service is configured for this host and path",
            Self::NoReplicas => "this service has no replicas",
            Self::WaitedInVain => "no replica could serve this request in time",
            Self::RoomFull => "too many requests are waiting for a replica",
            Self::StreamRefused => "its connection takes no further request",
            Self::File(fault) => fault.text(),
            Self::TooMany(_) => "too many requests are under way",
        };
        text.to_owned()
    }

    /// Whether nothing that the client sends after this can be understood, or is worth to be.
    pub(crate) fn ends_connection(self) -> bool {
        match self {
            Self::ClientBroke | Self::ClientTooSlow | Self::BodyTooLarge => true,
            Self::BadHead(_) | Self::OddPath(_) => true,
            // What comes behind a CONNECT is meant for somebody else, and may look like a request.
            Self::MethodNotForwarded => true,
            _ => false,
        }
    }

    /// The name of the error in RFC 9209, 2.3.
    pub(crate) fn proxy_status(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::Unreachable => "connection_timeout",
            Self::Unsent | Self::Broken | Self::Abandoned | Self::CutOff => "connection_terminated",
            Self::TimedOut => "http_response_timeout",
            Self::Garbled | Self::Distrusted | Self::TooManyInterims => "http_protocol_error",
            Self::ClientLeft | Self::HungUp(_) => "http_request_error",
            Self::ClientBroke | Self::ClientTooSlow => "http_request_error",
            Self::Ended => "connection_terminated",
            Self::BodyTooLarge | Self::BadHead(_) | Self::OddPath(_) => "http_request_error",
            Self::MethodNotForwarded => "http_request_denied",
            Self::NotChanged => "http_upgrade_failed",
            Self::TookTooLong => "http_response_timeout",
            Self::NoService => "destination_not_found",
            Self::OutOfSockets | Self::RoomFull | Self::TooMany(_) => "connection_limit_reached",
            Self::StreamRefused => "connection_limit_reached",
            Self::File(fault) => fault.proxy_status(),
            Self::NoReplicas | Self::WaitedInVain => "destination_unavailable",
        }
    }
}
