//! Requests that are sent elsewhere: from plain HTTP to HTTPS on a listener, and by rules from one host or
//! path to another. Where to is the operator's word and never the client's: what is taken from a request is
//! its path, in its normal form, its query, and, to HTTPS, a host that somebody here is for.

use h1::RequestHead;

use crate::policies::mark::Mark;
use crate::policies::refusal::{AnswerField, PolicyAnswer};
use crate::travel::scope::{PathPattern, Scope};

/// Who issues certificates asks for files below this, by plain HTTP: RFC 8555, 8.3.
const ACME_PATH: &[u8] = b"/.well-known/acme-challenge/";
const HTTPS_PORT: u16 = 443;

/// All requests of a listener go to the same place by HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// The status of the response.
    pub status: u16,
    /// Where HTTPS is spoken.
    pub port: u16,
}

/// Requests that go elsewhere by a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Which requests.
    pub scope: Scope,
    /// Where to: a path, or `http://` or `https://`, a host, and maybe a path.
    pub to: String,
    /// The status of the response.
    pub status: u16,
    /// Whether what stands behind the path of the scope comes behind the new one, and the query.
    pub keeps_rest: bool,
}

/// One of these rules for one path.
#[derive(Clone, Debug)]
pub(crate) struct Redirection {
    to: String,
    status: u16,
    keeps_rest: bool,
    /// How much of a path is replaced.
    cut: usize,
}

impl HttpsRedirect {
    /// The answer to a request; none if it may stay. Nothing can be answered to one that names no host.
    pub(crate) fn answer(&self, head: &RequestHead) -> Option<Result<PolicyAnswer, NoHost>> {
        if head.path().starts_with(ACME_PATH) {
            return None;
        }
        let Some(host) = head.host().and_then(plain_host) else { return Some(Err(NoHost)) };
        let mut location = b"https://".to_vec();
        location.extend_from_slice(host);
        if self.port != HTTPS_PORT {
            location.extend_from_slice(format!(":{}", self.port).as_bytes());
        }
        put_path(&mut location, head.path());
        put_query(&mut location, head);
        Some(Ok(answer(self.status, location)))
    }
}

/// A request whose host is none that it could be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoHost;

impl Redirect {
    /// One for each path, with the scope that it has.
    pub(crate) fn redirections(&self) -> impl Iterator<Item = Redirection> {
        let default = self.scope.is_default.then_some(0);
        let cuts = self.scope.paths.iter().map(|path| match path {
            PathPattern::Prefix(path) => path.trim_end_matches('/').len(),
            PathPattern::Exact(path) => path.len(),
        });
        cuts.chain(default).map(|cut| Redirection {
            to: self.to.clone(),
            status: self.status,
            keeps_rest: self.keeps_rest,
            cut,
        })
    }
}

impl Redirection {
    /// Where to, as in the configuration.
    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    /// The answer to a request that is meant by the rule.
    pub(crate) fn answer(&self, head: &RequestHead) -> PolicyAnswer {
        let mut location = self.to.clone().into_bytes();
        if self.keeps_rest {
            let path = if head.path() == b"*" { b"/" } else { head.path() };
            let rest = path.get(self.cut..).unwrap_or_default();
            if !rest.is_empty() {
                let slashes = location.iter().rev().take_while(|byte| **byte == b'/').count();
                location.truncate(location.len() - slashes);
                put_path(&mut location, rest);
            }
            put_query(&mut location, head);
        }
        answer(self.status, location)
    }
}

fn answer(status: u16, location: Vec<u8>) -> PolicyAnswer {
    let fields = vec![AnswerField { name: "location", value: location }];
    PolicyAnswer { mark: Mark::Redirected, status, text: None, fields }
}

/// What stands in a path is visible ASCII: whoever reads heads has seen to that. One slash begins it, or it
/// would name a host where it stands alone.
fn put_path(location: &mut Vec<u8>, path: &[u8]) {
    let slashes = path.iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    location.push(b'/');
    if path != b"*" {
        location.extend_from_slice(&path[slashes..]);
    }
}

fn put_query(location: &mut Vec<u8>, head: &RequestHead) {
    if let Some(query) = head.query() {
        location.push(b'?');
        location.extend_from_slice(query);
    }
}

/// A host without its port, if it is a plain name or an address: no reader of a `Location` finds anything else
/// in it.
fn plain_host(host: &[u8]) -> Option<&[u8]> {
    let end = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = host[end..].iter().position(|byte| *byte == b':');
    let name = colon.map_or(host, |colon| &host[..end + colon]);
    let is_address = name.starts_with(b"[") && name.ends_with(b"]");
    let inside = if is_address { &name[1..name.len() - 1] } else { name };
    let is_plain = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || if is_address { matches!(byte, b':' | b'.') } else { matches!(byte, b'-' | b'.' | b'_') }
    };
    (!inside.is_empty() && inside.iter().all(is_plain)).then_some(name)
}
