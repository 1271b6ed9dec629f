//! What is measured: a balancer that speaks the contract, ours or anybody's.
//!
//! Its replicas are shown, added and removed by the contract's own calls.

mod own;

pub use own::{Own, OwnDriver, OwnPlan};

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{self, AdminApi, Call, CallError, Reply};
use crate::plan::Target;

/// How long a question may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);
/// How long a change may take: replicas start in it.
const CHANGE_LIMIT: Duration = Duration::from_secs(120);

/// A balancer that speaks the contract. When it is dropped, ours ends, and one that ran before has as
/// many replicas again as it had.
#[derive(Debug)]
pub struct Subject {
    /// Where its clients connect.
    pub target: Target,
    /// Its admin API, if it is ours.
    pub admin: Option<AdminApi>,
    /// The process, if we have started it.
    pub own: Option<Own>,
    /// How many replicas it had, if it ran before.
    had: Option<usize>,
}

/// Why something cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It does not answer, or too late.
    #[error("the balancer at {0} cannot be asked")]
    Silent(String, #[source] CallError),
    /// It answers something else than the contract says.
    #[error("http://{address} does not speak the contract: {call} answered {status} {body:?}")]
    Foreign {
        /// Where it listens.
        address: String,
        /// What was asked.
        call: String,
        /// The status.
        status: u16,
        /// The body, or how it begins.
        body: String,
    },
    /// Our own balancer could not be started.
    #[error("the balancer to be measured did not start: {0}")]
    NotStarted(String),
}

impl Subject {
    /// A balancer that runs already. Fails unless it shows its replicas as the contract says.
    pub fn running(target: Target) -> Result<Self, SubjectError> {
        let mut subject = Self { target, admin: None, own: None, had: None };
        subject.had = Some(subject.replicas()?.len());
        Ok(subject)
    }

    /// A call of the contract, whatever comes back.
    pub fn call(&self, call: &Call<'_>) -> Result<Reply, SubjectError> {
        let limit = if call.body.is_empty() { QUESTION_LIMIT } else { CHANGE_LIMIT };
        let silent = |error| SubjectError::Silent(self.target.address.to_string(), error);
        http::call(&self.target.address.into(), call, limit).map_err(silent)
    }

    /// The names of its replicas, in the order in which it shows them.
    pub fn replicas(&self) -> Result<Vec<String>, SubjectError> {
        let reply = self.call(&Call { method: "GET", path: "/rep", body: "" })?;
        self.names_in("GET /rep", &reply)
    }

    /// Adds this many; returns when it says that they are there.
    pub fn add(&self, count: usize) -> Result<Vec<String>, SubjectError> {
        self.change("POST", "/add", &json!({"n": count, "hostnames": []}))
    }

    /// Removes these.
    pub fn remove(&self, names: &[&str]) -> Result<Vec<String>, SubjectError> {
        self.change("DELETE", "/rm", &json!({"n": names.len(), "hostnames": names}))
    }

    /// Adds replicas, or removes the last ones, until there are as many.
    pub fn scale(&self, count: usize) -> Result<Vec<String>, SubjectError> {
        let names = self.replicas()?;
        match names.len() {
            there if there < count => self.add(count - there),
            there if there > count => {
                let last: Vec<&str> = names[count..].iter().map(String::as_str).collect();
                self.remove(&last)
            }
            _ => Ok(names),
        }
    }

    fn change(&self, method: &str, path: &str, body: &Value) -> Result<Vec<String>, SubjectError> {
        let reply = self.call(&Call { method, path, body: &body.to_string() })?;
        self.names_in(&format!("{method} {path}"), &reply)
    }

    fn names_in(&self, call: &str, reply: &Reply) -> Result<Vec<String>, SubjectError> {
        let parsed: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let names = parsed["message"]["replicas"].as_array().filter(|_| reply.status == 200);
        let name = |name: &Value| name.as_str().map(str::to_owned);
        names.and_then(|names| names.iter().map(name).collect()).ok_or_else(|| SubjectError::Foreign {
            address: self.target.address.to_string(),
            call: call.to_owned(),
            status: reply.status,
            body: reply.text().chars().take(200).collect(),
        })
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Some(count) = self.had {
            // One that does not answer any more has other troubles.
            let _ = self.scale(count);
        }
    }
}
