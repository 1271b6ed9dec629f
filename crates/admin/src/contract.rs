//! The original system's endpoints: `/rep`, `/get`, `/add`, `/rm`, byte for byte, for those whom they are
//! meant for.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use control::{EditError, Handle};
use fleet::{Edit, FleetView, Refusal, ReplicaName, harmless_json};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use ipnet::IpNet;
use serde::Deserialize;

use crate::strangers::{comes_from, host, is_of_a_page, is_of_another_page, is_ours_alone};

/// The contract of one service.
#[derive(Clone, Debug)]
pub struct Contract {
    handle: Handle,
    from: Arc<[IpNet]>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EditBody {
    n: u32,
    #[serde(default)]
    hostnames: Option<Vec<String>>,
}

/// What a body of the contract is sent for.
#[derive(Clone, Copy, Debug)]
pub enum Verb {
    /// `POST /add`
    Add,
    /// `DELETE /rm`
    Remove,
}

struct Refused {
    status: StatusCode,
    text: String,
}

impl Contract {
    /// Serves the contract for the service behind this handle, to clients from these networks.
    pub fn new(handle: Handle, from: Arc<[IpNet]>) -> Self {
        Self { handle, from }
    }

    /// Whether a request is one of the contract's own.
    pub fn serves(method: &Method, path: &str) -> bool {
        matches!((method.as_str(), path), ("GET", "/rep" | "/get") | ("POST", "/add") | ("DELETE", "/rm"))
    }

    /// Answers a request that [`Contract::serves`], which a client at this address has sent.
    pub async fn answer(&self, head: &Parts, client: IpAddr, body: Bytes) -> Response<Bytes> {
        let verb = match head.uri.path() {
            "/add" => Some(Verb::Add),
            "/rm" => Some(Verb::Remove),
            _ => None,
        };
        let result = match (admit(&self.from, head, client, verb), verb) {
            (Err(text), _) => Err(Refused { status: StatusCode::FORBIDDEN, text: text.into() }),
            (Ok(()), Some(verb)) => self.edit(verb, &body).await,
            (Ok(()), None) => Ok(show(&self.handle.view().fleet)),
        };
        result.unwrap_or_else(Refused::into_answer)
    }

    async fn edit(&self, verb: Verb, body: &[u8]) -> Result<Response<Bytes>, Refused> {
        let edit = contract_edit(verb, body).map_err(Refused::bad_request)?;
        let view = self.handle.edit(edit).await.map_err(Refused::from_error)?;
        Ok(show(&view.fleet))
    }
}

/// Whether a request is of somebody whom the contract is meant for. Its changes are not made for pages of
/// others, and for none at all under a name that others can own: it may lead here tomorrow.
fn admit(from: &[IpNet], head: &Parts, client: IpAddr, verb: Option<Verb>) -> Result<(), &'static str> {
    if !comes_from(from, client, &head.headers) {
        return Err("these endpoints are not for clients from here (contract_from)");
    }
    let is_named = || !host(&head.headers).is_some_and(|host| is_ours_alone(&host));
    let is_foreign = || is_of_another_page(&head.headers) || (is_of_a_page(&head.headers) && is_named());
    if verb.is_some() && is_foreign() {
        return Err("pages of other sites do not change the fleet (Origin, Sec-Fetch-Site)");
    }
    Ok(())
}

/// From a body, whatever its bytes, to the edit that it asks for; every refusal is a text for the caller.
pub fn contract_edit(verb: Verb, body: &[u8]) -> Result<Edit, String> {
    let EditBody { n: count, hostnames } = read(body.trim_ascii())?;
    let hostnames = hostnames.unwrap_or_default();
    if count == 0 {
        return Err("n must be at least 1".into());
    }
    // Before the names are looked at: this text is part of the contract.
    if hostnames.len() > count as usize {
        let names = hostnames.len();
        return Err(refusal(&match verb {
            Verb::Add => Refusal::MoreNamesThanAdded { names, count },
            Verb::Remove => Refusal::MoreNamesThanRemoved { names, count },
        }));
    }
    let names: Result<Vec<_>, _> = hostnames.iter().map(|name| ReplicaName::parse(name)).collect();
    let names = names.map_err(|error| error.to_string())?;
    Ok(match verb {
        Verb::Add => Edit::Add { count, names },
        Verb::Remove => Edit::Remove { count, names },
    })
}

/// JSON under any content type, or the form `server_id=NAME` as older clients send it.
fn read(body: &[u8]) -> Result<EditBody, String> {
    const EXAMPLE: &str = r#"the body must be JSON like {"n":2,"hostnames":["S1","S2"]}"#;
    if body.starts_with(b"{") {
        return serde_json::from_slice(body).map_err(|error| format!("{EXAMPLE}: {error}"));
    }
    // An array would pass as the fields in their order; nobody means that.
    if !body.starts_with(b"server_id=") {
        return Err(EXAMPLE.into());
    }
    let mut fields = form_urlencoded::parse(body);
    match (fields.next(), fields.next()) {
        (Some((_, name)), None) => Ok(EditBody { n: 1, hostnames: Some(vec![name.into_owned()]) }),
        _ => Err("a form body must hold server_id and nothing else".into()),
    }
}

fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::MoreNamesThanAdded { .. } => {
            "Length of hostname list is more than newly added instances".into()
        }
        Refusal::MoreNamesThanRemoved { .. } => {
            "Length of hostname list is more than removable instances".into()
        }
        other => other.to_string(),
    }
}

fn show(view: &FleetView) -> Response<Bytes> {
    let names: Vec<&str> = view.names().map(ReplicaName::as_str).collect();
    let message = serde_json::json!({"N": names.len(), "replicas": names});
    json(StatusCode::OK, &serde_json::json!({"message": message, "status": "successful"}))
}

impl Refused {
    fn bad_request(text: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text }
    }

    fn from_error(error: EditError) -> Self {
        match error {
            EditError::Refused(Refusal::Busy) | EditError::NotBegun(_) | EditError::Stopping => {
                Self { status: StatusCode::SERVICE_UNAVAILABLE, text: error.to_string() }
            }
            EditError::Refused(refused) => Self::bad_request(refusal(&refused)),
            EditError::Undone(_) | EditError::NotStored(_) | EditError::NotRunnable(_) => {
                Self { status: StatusCode::INTERNAL_SERVER_ERROR, text: error.to_string() }
            }
        }
    }

    fn into_answer(self) -> Response<Bytes> {
        let message = format!("<Error> {}", self.text);
        let mut answer = json(self.status, &serde_json::json!({"message": message, "status": "failure"}));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(harmless_json(&body.to_string()).into_owned()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ReplicaName {
        ReplicaName::parse(text).unwrap()
    }

    #[test]
    fn bodies_that_are_understood() {
        let cases: [(&str, u32, &[&str]); 6] = [
            (r#"{"n":4,"hostnames":["S5","S4"]}"#, 4, &["S5", "S4"]),
            (r#"{"n":1}"#, 1, &[]),
            (r#"{"n":1,"hostnames":null}"#, 1, &[]),
            (" \n{\"n\":2,\"hostnames\":[]}\n", 2, &[]),
            ("server_id=server_9", 1, &["server_9"]),
            ("server_id=a%2Db", 1, &["a-b"]),
        ];
        for (body, count, names) in cases {
            let names = names.iter().map(|text| name(text)).collect();
            assert_eq!(contract_edit(Verb::Add, body.as_bytes()), Ok(Edit::Add { count, names }), "{body}");
        }
    }

    #[test]
    fn bodies_that_are_refused() {
        let more_added = "Length of hostname list is more than newly added instances";
        let cases = [
            ("", "the body must be JSON"),
            ("n=3", "the body must be JSON"),
            ("[]", "the body must be JSON"),
            ("[1]", "the body must be JSON"),
            ("{}", "missing field `n`"),
            (r#"{"n":"3"}"#, "invalid type: string"),
            (r#"{"n":1.5}"#, "invalid type: floating point"),
            (r#"{"n":-1}"#, "invalid value: integer `-1`"),
            (r#"{"n":99999999999}"#, "invalid value"),
            (r#"{"n":0}"#, "n must be at least 1"),
            (r#"{"n":1,"m":2}"#, "unknown field `m`"),
            (r#"{"n":1,"n":1}"#, "duplicate field `n`"),
            (r#"{"n":1} x"#, "trailing characters"),
            (r#"{"n":1,"hostnames":["a b"]}"#, "is no legal name"),
            (r#"{"n":1,"hostnames":["/etc","S2"]}"#, more_added),
            ("server_id=a&n=2", "a form body must hold server_id"),
        ];
        for (body, text) in cases {
            let refused = contract_edit(Verb::Add, body.as_bytes()).unwrap_err();
            assert!(refused.contains(text), "{body}: {refused}");
        }
        let refused = contract_edit(Verb::Remove, br#"{"n":1,"hostnames":["S1","S2"]}"#).unwrap_err();
        assert_eq!(refused, "Length of hostname list is more than removable instances");
    }
}
