//! The contract's calls, good and bad, and whether each is answered as the contract says.

use serde_json::{Value, json};

use super::{ExperimentError, Stage};
use crate::check::replica_of;
use crate::http::{Call, Reply};
use crate::subject::Subject;

/// What the contract says about a call.
enum Want {
    /// The fleet, with this many more replicas than before, these among them and those not.
    Fleet { change: i64, with: &'static [&'static str], without: &'static [&'static str] },
    /// A failure with this text, or with any; nothing has changed.
    Failure(Option<&'static str>),
    /// A replica's greeting.
    Home,
    /// 200 and no body.
    Empty,
}

/// One call and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) call: String,
    pub(super) status: u16,
    /// What was wrong; nothing if it was right.
    pub(super) wrong: Option<String>,
}

const fn call(method: &'static str, path: &'static str, body: &'static str) -> Call<'static> {
    Call { method, path, body }
}

const MORE_ADDED: &str = "<Error> Length of hostname list is more than newly added instances";
const MORE_REMOVED: &str = "<Error> Length of hostname list is more than removable instances";
const NO_ENDPOINT: &str = "<Error> '/other' endpoint does not exist in server replicas";

/// The calls in their order; the fleet is in the end as large as in the beginning.
const CALLS: &[(Call<'static>, Want)] = &[
    (call("GET", "/rep", ""), Want::Fleet { change: 0, with: &[], without: &[] }),
    (call("GET", "/get", ""), Want::Fleet { change: 0, with: &[], without: &[] }),
    (call("GET", "/home", ""), Want::Home),
    (call("GET", "/home?x=1", ""), Want::Home),
    (call("GET", "/heartbeat", ""), Want::Empty),
    (call("GET", "/other", ""), Want::Failure(Some(NO_ENDPOINT))),
    (call("GET", "/other?x=1", ""), Want::Failure(Some(NO_ENDPOINT))),
    (
        call("POST", "/add", r#"{"n":2,"hostnames":["S5"]}"#),
        Want::Fleet { change: 2, with: &["S5"], without: &[] },
    ),
    (call("POST", "/add", r#"{"n":1,"hostnames":["S6","S7"]}"#), Want::Failure(Some(MORE_ADDED))),
    (call("POST", "/add", r#"{"n":1,"hostnames":["S5"]}"#), Want::Failure(None)),
    (call("POST", "/add", r#"{"n":2,"hostnames":["S8","S8"]}"#), Want::Failure(None)),
    (call("POST", "/add", r#"{"n":1,"hostnames":["-not legal-"]}"#), Want::Failure(None)),
    (call("POST", "/add", r#"{"n":0,"hostnames":[]}"#), Want::Failure(None)),
    (call("POST", "/add", r#"{"n":-1,"hostnames":[]}"#), Want::Failure(None)),
    (call("POST", "/add", r#"{"n":"two","hostnames":[]}"#), Want::Failure(None)),
    (call("POST", "/add", r#"{"hostnames":[]}"#), Want::Failure(None)),
    (call("POST", "/add", r#"{"n":1,"colour":"red"}"#), Want::Failure(None)),
    (call("POST", "/add", "no JSON"), Want::Failure(None)),
    (call("POST", "/add", r#"{"n":100000}"#), Want::Failure(None)),
    (call("DELETE", "/rm", r#"{"n":1,"hostnames":["S5","S6"]}"#), Want::Failure(Some(MORE_REMOVED))),
    (call("DELETE", "/rm", r#"{"n":1,"hostnames":["nobody"]}"#), Want::Failure(None)),
    (call("DELETE", "/rm", r#"{"n":100}"#), Want::Failure(None)),
    (call("DELETE", "/rm", "no JSON"), Want::Failure(None)),
    (
        call("DELETE", "/rm", r#"{"n":1,"hostnames":["S5"]}"#),
        Want::Fleet { change: -1, with: &[], without: &["S5"] },
    ),
    (call("DELETE", "/rm", r#"{"n":1}"#), Want::Fleet { change: -1, with: &[], without: &[] }),
];

/// Makes all calls.
pub(super) fn calls(subject: &Subject, stage: &Stage<'_>) -> Result<Vec<Called>, ExperimentError> {
    let mut called = Vec::new();
    for (asked, want) in CALLS {
        stage.look()?;
        let before = subject.replicas()?;
        let reply = subject.call(asked)?;
        let after = subject.replicas()?;
        let wrong = want.wrong(&reply, &before, &after).or_else(|| not_json(&reply));
        let Call { method, path, body } = asked;
        let call = format!("{method} {path} {body}").trim_end().to_owned();
        called.push(Called { call, status: reply.status, wrong });
    }
    Ok(called)
}

/// All of the contract's answers are JSON, but for the heartbeat's, which is empty.
fn not_json(reply: &Reply) -> Option<String> {
    let kind = reply.header("content-type").unwrap_or("nothing");
    let is_json = kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json");
    (!reply.body.is_empty() && !is_json).then(|| format!("the content type is {kind}"))
}

impl Want {
    fn wrong(&self, reply: &Reply, before: &[String], after: &[String]) -> Option<String> {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let status = |expected: u16| {
            (reply.status != expected).then(|| format!("the status is {}, not {expected}", reply.status))
        };
        match self {
            Self::Fleet { change, with, without } => status(200).or_else(|| {
                let shown = json!({"message": {"N": after.len(), "replicas": after}, "status": "successful"});
                let grown = after.len().cast_signed() - before.len().cast_signed();
                let has = |name: &&&str| after.iter().any(|replica| replica == **name);
                if body != shown {
                    return Some("the body is not what /rep shows afterwards".into());
                }
                if i64::try_from(grown) != Ok(*change) {
                    return Some(format!("there are {grown} more replicas, not {change}"));
                }
                let is_missing = with.iter().any(|name| !has(&name)) || without.iter().any(|name| has(&name));
                is_missing.then(|| "the named replicas are not those that were meant".into())
            }),
            Self::Failure(message) => status(400).or_else(|| {
                if before != after {
                    return Some("something has changed".into());
                }
                let is_failure = body["status"] == "failure" && body["message"].is_string();
                let is_text = message.is_none_or(|message| body["message"] == message);
                (!is_failure || !is_text).then(|| format!("the body is {}", reply.text()))
            }),
            Self::Home => status(200).or_else(|| {
                let is_good = replica_of(&reply.body).is_some() && body["status"] == "successful";
                (!is_good).then(|| format!("the body is {}", reply.text()))
            }),
            Self::Empty => {
                status(200).or_else(|| (!reply.body.is_empty()).then(|| "the body is not empty".into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
        Reply { status, head, body: body.into() }
    }

    #[test]
    fn a_fleet_is_right_only_as_it_is_afterwards() {
        let want = Want::Fleet { change: 1, with: &["S5"], without: &["S6"] };
        let [one, two] = [vec!["a".to_owned()], vec!["a".to_owned(), "S5".to_owned()]];
        let good = r#"{"message":{"N":2,"replicas":["a","S5"]},"status":"successful"}"#;
        assert_eq!(want.wrong(&reply(200, good), &one, &two), None);
        for (body, status, before, after) in [
            (good, 500, &one, &two),
            (good, 200, &two, &two),
            (good, 200, &one, &one),
            (r#"{"message":{"N":1,"replicas":["a","S5"]},"status":"successful"}"#, 200, &one, &two),
        ] {
            assert!(want.wrong(&reply(status, body), before, after).is_some(), "{body} {status}");
        }
    }

    #[test]
    fn a_failure_changes_nothing_and_says_what_it_should() {
        let want = Want::Failure(Some("no"));
        let (one, two) = (vec!["a".to_owned()], Vec::new());
        let good = r#"{"message":"no","status":"failure"}"#;
        assert_eq!(want.wrong(&reply(400, good), &one, &one), None);
        assert!(want.wrong(&reply(400, good), &one, &two).is_some());
        assert!(want.wrong(&reply(400, &good.replace("no", "yes")), &one, &one).is_some());
        assert!(want.wrong(&reply(200, good), &one, &one).is_some());
    }
}
