//! Whom the admin API answers: by the name that it is called by, by where a request comes from, and by the
//! token that it brings. Nothing is read of a body before that is clear.

use api::{Problem, Role};
use files::Secret;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Method, StatusCode, Uri};
use subtle::ConstantTimeEq;

use crate::problems::problem;
use crate::strangers::{host, host_of, is_of_another_page, is_ours_alone};

/// The names and tokens that an admin API on TCP goes by.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What it may be called beside `localhost` and addresses, in lower case.
    pub hosts: Vec<String>,
    /// Who brings this one may do everything. Without it, nobody may do anything.
    pub token: Option<Secret>,
    /// Who brings this one may look.
    pub view_token: Option<Secret>,
}

/// How a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// By TCP, from anybody.
    Tcp,
    /// By a Unix socket, from our own account or root.
    OwnAccount,
    /// By a Unix socket, from another account.
    OtherAccount,
}

/// What a request's head says, as far as it counts here.
pub(crate) struct Head<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
}

impl Access {
    /// Refuses requests that only a browser can have been talked into, or that are for somebody else.
    pub(crate) fn check_origin(&self, door: Door, head: &Head<'_>) -> Result<(), Problem> {
        if door == Door::Tcp {
            self.check_host(head)?;
        }
        if is_of_another_page(head.headers) {
            let detail = "pages of other sites do not use the admin API (Origin, Sec-Fetch-Site)";
            return Err(problem(StatusCode::FORBIDDEN, detail));
        }
        Ok(())
    }

    fn check_host(&self, head: &Head<'_>) -> Result<(), Problem> {
        let Some(called) = host(head.headers) else {
            let detail = "a request to the admin API has one Host header";
            return Err(problem(StatusCode::BAD_REQUEST, detail));
        };
        let is_known = |host: &str| is_ours_alone(host) || self.hosts.iter().any(|known| known == host);
        // A target may name a host, too, and has the last word where it does.
        let in_target = head.uri.authority().map(|authority| host_of(authority.as_str()));
        if is_known(&called) && in_target.is_none_or(|host| host.is_some_and(|host| is_known(&host))) {
            return Ok(());
        }
        let detail = "the admin API is called by an address, by localhost, or by a name in admin_hosts";
        Err(problem(StatusCode::MISDIRECTED_REQUEST, detail))
    }

    /// What a request may do by what it brings.
    pub(crate) fn role(&self, door: Door, head: &Head<'_>) -> Result<Role, Problem> {
        match door {
            Door::OwnAccount => return Ok(Role::Admin),
            Door::OtherAccount => {
                let detail = "this socket is for the balancer's own account and root";
                return Err(problem(StatusCode::FORBIDDEN, detail));
            }
            Door::Tcp => {}
        }
        if self.token.is_none() {
            let detail = "the balancer could keep no token, so it answers nobody here; its log says why";
            return Err(problem(StatusCode::FORBIDDEN, detail));
        }
        let brought = bearer(head.headers).ok_or_else(no_token)?;
        let is = |token: &Option<Secret>| {
            let digits = token.as_ref().map(Secret::digits);
            digits.is_some_and(|digits| bool::from(digits.as_bytes().ct_eq(brought)))
        };
        if is(&self.token) {
            Ok(Role::Admin)
        } else if is(&self.view_token) {
            Ok(Role::View)
        } else {
            Err(no_token())
        }
    }
}

/// What is said to whoever brings no token, or another one: which it was, is not told.
fn no_token() -> Problem {
    let detail = "bring the token (Authorization: Bearer …); the balancer says at its start in which file it is, \
                  and commands take it with --token-file";
    problem(StatusCode::UNAUTHORIZED, detail)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (one, None) = (all.next()?.as_bytes(), all.next()) else { return None };
    let (scheme, token) = one.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Refuses a change that a form in a page could have sent: those cannot say that they are JSON.
pub(crate) fn check_kind(head: &Head<'_>) -> Result<(), Problem> {
    if head.method.is_safe() {
        return Ok(());
    }
    let mut kinds = head.headers.get_all(CONTENT_TYPE).iter();
    let kind = kinds.next().filter(|_| kinds.next().is_none()).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "changes come with Content-Type: application/json, those without a body too";
    Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn said(door: Door, target: &str, fields: &[(&str, &str)]) -> Result<Role, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let access = Access {
            hosts: vec!["admin.example".into()],
            token: Some(Secret::of([1; 32])),
            view_token: Some(Secret::of([2; 32])),
        };
        let uri: Uri = target.parse().unwrap();
        let head = Head { method: &Method::POST, uri: &uri, headers: &headers };
        let role = access.check_origin(door, &head).and_then(|()| access.role(door, &head));
        let role = role.and_then(|role| check_kind(&head).map(|()| role));
        role.map_err(|problem| problem.status)
    }

    #[test]
    fn only_who_is_meant_is_answered() {
        let digits = |byte: u8| format!("bearer {}", Secret::of([byte; 32]).digits());
        let (admin, view, wrong) = (digits(1), digits(2), digits(3));
        let kind = ("content-type", "application/json; charset=utf-8");
        let host = ("host", "127.0.0.1:5001");
        let token = ("authorization", admin.as_str());
        for (target, fields, expected) in [
            ("/", &[host, token, kind][..], Ok(Role::Admin)),
            ("/", &[("host", "admin.example"), token, kind], Ok(Role::Admin)),
            ("/", &[host, ("authorization", &view), kind], Ok(Role::View)),
            ("http://127.0.0.1/", &[host, token, kind], Ok(Role::Admin)),
            ("http://evil.example/", &[host, token, kind], Err(421)),
            ("/", &[("host", "evil.example"), token, kind], Err(421)),
            ("/", &[token, kind], Err(400)),
            ("/", &[host, token, kind, ("origin", "http://evil.example")], Err(403)),
            ("/", &[host, kind], Err(401)),
            ("/", &[host, ("authorization", &wrong), kind], Err(401)),
            ("/", &[host, ("authorization", "bearer "), kind], Err(401)),
            ("/", &[host, ("authorization", "basic Zm9vOmJhcg=="), kind], Err(401)),
            ("/", &[host, token, token, kind], Err(401)),
            ("/", &[host, token], Err(415)),
            ("/", &[host, token, ("content-type", "text/plain")], Err(415)),
            ("/", &[host, token, kind, ("content-type", "text/plain")], Err(415)),
        ] {
            assert_eq!(said(Door::Tcp, target, fields), expected, "{target} {fields:?}");
        }
        assert_eq!(said(Door::OwnAccount, "/", &[kind]), Ok(Role::Admin));
        assert_eq!(said(Door::OtherAccount, "/", &[host, token, kind]), Err(403));
    }

    #[test]
    fn without_a_token_of_its_own_nobody_is_let_in() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "Bearer ".parse().unwrap());
        let uri = Uri::from_static("/");
        let head = Head { method: &Method::GET, uri: &uri, headers: &headers };
        assert_eq!(Access::default().role(Door::Tcp, &head).unwrap_err().status, 403);
    }
}
