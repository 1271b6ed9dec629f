//! Why there is no report of a drill.

use super::fault::Fault;
use crate::http::CallError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The balancer's admin API does not answer.
    #[error("no balancer answers; start one with `evenkeel up`, or name its admin API with --admin")]
    NoBalancer(#[source] Box<CallError>),
    /// Clients are not answered, even without a fault.
    #[error("clients are not served; name the balancer's listener with --url")]
    NoAnswer(#[source] Box<CallError>),
    /// It would do harm, or show nothing.
    #[error("{0}")]
    Refused(String),
    /// The fault could not be begun here.
    #[error("{fault} is not possible: {reason}", fault = .0.as_str(), reason = .1)]
    NotPossible(Fault, String),
    /// The fault was begun and could not be undone.
    #[error("the fault is not undone: {0}")]
    NotUndone(String),
    /// The load could not be started.
    #[error("the load cannot be started")]
    NoLoad(#[source] std::io::Error),
    /// Somebody interrupted it; what it did is undone.
    #[error("interrupted; what was done is undone")]
    Interrupted,
}
