//! The forms of header fields that an operator names, and of statuses: what is legal, and what is not theirs
//! to touch.

use http::{HeaderName, HeaderValue};
use proxy::{Direction, FixedField};

use crate::entry::{Entry, Kind, whole};
use crate::form::Form;
use crate::problem::Wrong;
use crate::value::{Parsed, must_be};
use crate::web;

/// What the prober itself writes, or nobody.
const OF_THE_CONNECTION: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const NAME_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 4096;
/// The most fields of one table.
pub(crate) const FIELDS_MAX: usize = 64;

/// The name of a field that replicas get.
pub(crate) fn request_field(text: &str) -> Parsed<String> {
    name(text, Direction::Request)
}

/// The name of a field that clients get.
pub(crate) fn response_field(text: &str) -> Parsed<String> {
    name(text, Direction::Response)
}

/// The name of a field that replicas get from whoever is asked about a request.
pub(crate) fn copied_field(text: &str) -> Parsed<String> {
    let name = request_field(text)?;
    if name == "host" {
        return Err(Wrong::new("cannot have `Host`: it is the client's, or `request_headers` sets it"));
    }
    Ok(name)
}

fn name(text: &str, direction: Direction) -> Parsed<String> {
    let is_name = text.len() <= NAME_CHARS_MAX && HeaderName::from_bytes(text.as_bytes()).is_ok();
    if !is_name {
        return Err(must_be("the name of a header", text));
    }
    match direction.reason_against(text) {
        Some(reason) => Err(Wrong::new(format!("cannot have `{text}`: {reason}"))),
        None => Ok(text.to_ascii_lowercase()),
    }
}

/// The values of a table of fields. Which of them is wrong is said without them, for they may be secrets.
fn value(name: &str, text: &str) -> Parsed<String> {
    let is_value = text.len() <= VALUE_CHARS_MAX
        && text.bytes().all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte))
        && HeaderValue::from_str(text).is_ok()
        && text.trim() == text;
    if !is_value {
        let form = format!(
            "must be at most {VALUE_CHARS_MAX} characters of printable ASCII, without spaces at its ends"
        );
        return Err(Wrong::new(form));
    }
    if name == "host" && !is_host(text) {
        let what = "must be the name of a host, and maybe a port";
        return Err(Wrong::new(what).help("for example \"app.internal\" or \"app.internal:8080\""));
    }
    Ok(text.to_owned())
}

/// A value that is no secret.
pub(crate) fn plain_value(text: &str) -> Parsed<String> {
    if text.is_empty() {
        return Err(Wrong::new("must not be empty"));
    }
    value("", text)
}

/// What a heartbeat calls a replica.
pub(crate) fn host_field(text: &str) -> Parsed<String> {
    let help = "for example \"shop.example\" or \"shop.example:8080\"";
    let wrong = || must_be("the name of a host, and maybe a port", text).help(help);
    is_host(text).then(|| text.to_owned()).ok_or_else(wrong)
}

/// The name of a further field of a heartbeat. Whatever says how a request came here may be among them: nobody else
/// says it.
pub(crate) fn question_field(text: &str) -> Parsed<()> {
    let is_name = text.len() <= NAME_CHARS_MAX && HeaderName::from_bytes(text.as_bytes()).is_ok();
    if !is_name {
        return Err(must_be("the name of a header", text));
    }
    let lower = text.to_ascii_lowercase();
    if lower == "host" {
        return Err(Wrong::new("cannot have `Host`").help("`host` says what replicas are called"));
    }
    let is_of_the_connection = OF_THE_CONNECTION.contains(&lower.as_str());
    let wrong = || {
        Wrong::new(format!(
            "cannot have `{text}`: it is about the connection or the body, of which there is none"
        ))
    };
    if is_of_the_connection { Err(wrong()) } else { Ok(()) }
}

/// The value of a further field of a heartbeat.
pub(crate) fn question_value(text: &str) -> Parsed<()> {
    value("", text).map(drop)
}

fn is_host(text: &str) -> bool {
    let (name, port) = text.rsplit_once(':').unwrap_or((text, "80"));
    web::host_name(name).is_ok() && port.parse::<u16>().is_ok()
}

/// A table of fields with their values, under the names that it gives them.
#[derive(Clone, Copy)]
pub(crate) struct FieldTable {
    pub(crate) direction: Direction,
    /// Whether they stand beside others of their names.
    pub(crate) are_added: bool,
}

impl FieldTable {
    fn name(self, text: &str) -> Parsed<String> {
        let name = name(text, self.direction)?;
        if self.are_added && name == "host" {
            let what = "cannot have `Host`: a request has one";
            return Err(Wrong::new(what).help("`set` replaces it"));
        }
        Ok(name)
    }
}

impl Form<Vec<FixedField>> for FieldTable {
    fn kind(&self) -> &'static str {
        "table of strings"
    }

    fn limits(&self) -> String {
        format!("at most {FIELDS_MAX}")
    }

    fn show(&self, value: &Vec<FixedField>) -> String {
        if value.is_empty() { "empty".to_owned() } else { format!("{value:?}") }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<Vec<FixedField>> {
        let table = entry.inner()?;
        if table.len() > FIELDS_MAX {
            entry.note(Wrong::new(format!("must name at most {FIELDS_MAX} headers, not {}", table.len())));
        }
        let (mut fields, mut names) = (Vec::new(), Vec::new());
        for (key, given) in table {
            // Who reads of a mistake beside it must not read a password.
            entry.problems.hide(given.span());
            let name = match self.name(key.get_ref()) {
                Ok(name) => name,
                Err(wrong) => {
                    let what = format!("`{}` {}", entry.key, wrong.what);
                    entry.problems.add(Some(&key.span()), Wrong { what, ..wrong });
                    continue;
                }
            };
            if names.contains(&name) {
                let what = format!("`{}` names `{name}` twice", entry.key);
                entry.problems.add(Some(&key.span()), Wrong::new(what));
            }
            names.push(name.clone());
            let read = |text: &str| value(&name, text);
            let mut inner = entry.named(key, given);
            let value = inner.value(Kind::Text, |value| read(value.as_str().unwrap_or_default()));
            fields.extend(value.map(|value| FixedField { name, value }));
        }
        Some(fields)
    }
}

/// A status out of a few.
#[derive(Clone, Copy)]
pub(crate) struct Status(pub(crate) &'static [u16]);

impl Status {
    fn list(self) -> String {
        self.0.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl Form<u16> for Status {
    fn kind(&self) -> &'static str {
        "integer"
    }

    fn limits(&self) -> String {
        self.list()
    }

    fn show(&self, value: &u16) -> String {
        value.to_string()
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<u16> {
        entry.value(Kind::Whole, |value| {
            let given = whole(value).and_then(|given| u16::try_from(given).ok());
            let fitting = given.filter(|given| self.0.contains(given));
            fitting.ok_or_else(|| Wrong::new(format!("must be one of {}", self.list())))
        })
    }
}
