//! The original system's endpoints: `/rep`, `/get`, `/add`, `/rm`, byte for byte.

use bytes::Bytes;
use control::{EditError, Handle};
use fleet::{Edit, FleetView, Refusal, ReplicaName};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;

/// The contract of one service.
#[derive(Clone, Debug)]
pub struct Contract {
    handle: Handle,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EditBody {
    n: u32,
    #[serde(default)]
    hostnames: Option<Vec<String>>,
}

#[derive(Clone, Copy)]
enum Verb {
    Add,
    Remove,
}

struct Refused {
    status: StatusCode,
    text: String,
}

impl Contract {
    /// Serves the contract for the service behind this handle.
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Whether a request is one of the contract's own.
    pub fn serves(method: &Method, path: &str) -> bool {
        matches!((method.as_str(), path), ("GET", "/rep" | "/get") | ("POST", "/add") | ("DELETE", "/rm"))
    }

    /// Answers a request that [`Contract::serves`].
    pub async fn answer(&self, path: &str, body: Bytes) -> Response<Bytes> {
        let result = match path {
            "/add" => self.edit(Verb::Add, &body).await,
            "/rm" => self.edit(Verb::Remove, &body).await,
            _ => Ok(show(&self.handle.view().fleet)),
        };
        result.unwrap_or_else(Refused::into_answer)
    }

    async fn edit(&self, verb: Verb, body: &[u8]) -> Result<Response<Bytes>, Refused> {
        let edit = parse(verb, body).map_err(Refused::bad_request)?;
        let view = self.handle.edit(edit).await.map_err(Refused::from_error)?;
        Ok(show(&view.fleet))
    }
}

/// From a body to an edit; every refusal is a text for the caller.
fn parse(verb: Verb, body: &[u8]) -> Result<Edit, String> {
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
            EditError::Refused(Refusal::Busy) | EditError::Stopping => {
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
    let mut answer = Response::new(Bytes::from(body.to_string()));
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
            assert_eq!(parse(Verb::Add, body.as_bytes()), Ok(Edit::Add { count, names }), "{body}");
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
            let refused = parse(Verb::Add, body.as_bytes()).unwrap_err();
            assert!(refused.contains(text), "{body}: {refused}");
        }
        let refused = parse(Verb::Remove, br#"{"n":1,"hostnames":["S1","S2"]}"#).unwrap_err();
        assert_eq!(refused, "Length of hostname list is more than removable instances");
    }
}
