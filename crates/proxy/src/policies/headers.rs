//! Header fields that an operator sets, adds or removes, and those that nobody may touch, with the reason.

use std::fmt;

use h1::{FieldName, ResponseHead};

/// Which heads are edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that replicas get.
    Request,
    /// Those that clients get.
    Response,
}

/// A field with a fixed value. Both parts are valid, the name is in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct FixedField {
    /// What it is called.
    pub name: String,
    /// What it says; it may be a secret.
    pub value: String,
}

/// What becomes of fields on their way: first some are removed, then others are put there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// These are there, and no others of their names.
    pub set: Vec<FixedField>,
    /// These come after those that are there.
    pub add: Vec<FixedField>,
    /// None with these names, in lower case, passes.
    pub remove: Vec<String>,
}

impl Direction {
    /// Why a field with this name, in any case, is none that an operator may edit; nothing if it is.
    pub fn reason_against(self, name: &str) -> Option<&'static str> {
        let meaning = FieldName::of(name.as_bytes());
        match (meaning, self) {
            (FieldName::ContentLength | FieldName::TransferEncoding, _) => {
                Some("it says where the body ends, and is written by whoever sends that")
            }
            (FieldName::Trailer | FieldName::Te, _) => {
                Some("it is about what stands behind a body, and is written where that is sent")
            }
            (name, _) if name.is_hop_by_hop() => Some("it is about one connection only, and goes no further"),
            (FieldName::XRequestId, _) => Some("`request_id` decides about it"),
            (FieldName::Expect, Direction::Request) => {
                Some("it is settled between the client and the replica")
            }
            (FieldName::Proxy, Direction::Request) => {
                Some("programs behind CGI take it for a proxy that they are to use; it is never passed on")
            }
            (FieldName::XForwardedFor | FieldName::XForwardedHost, Direction::Request)
            | (FieldName::XForwardedProto | FieldName::XRealIp | FieldName::Forwarded, Direction::Request)
            | (FieldName::Via, Direction::Request) => {
                Some("it says how the request came here, which the balancer knows; see `trusted_proxies`")
            }
            _ => None,
        }
    }
}

impl FieldEdits {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Whether a field with this name does not pass as it came.
    pub fn drops(&self, name: &[u8]) -> bool {
        let is_it = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        self.remove.iter().any(|known| is_it(known)) || self.set.iter().any(|field| is_it(&field.name))
    }

    /// What is put behind those that pass. `Host` has a place of its own.
    pub(crate) fn put(&self, mut put: impl FnMut(&[u8], &[u8])) {
        for field in self.set.iter().chain(&self.add).filter(|field| field.name != "host") {
            put(field.name.as_bytes(), field.value.as_bytes());
        }
    }

    /// The host that replicas are told, if it is another one.
    pub(crate) fn host(&self) -> Option<&[u8]> {
        let host = self.set.iter().find(|field| field.name == "host")?;
        Some(host.value.as_bytes())
    }

    /// Edits a response before it is sent.
    pub(crate) fn edit(&self, head: &mut ResponseHead) {
        head.retain_fields(|name| !self.drops(name));
        self.put(|name, value| head.push(name, value));
    }
}

/// Values stay out of every log.
impl fmt::Debug for FixedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedField").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is done, without values.
impl fmt::Display for FieldEdits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn names(fields: &[FixedField]) -> Vec<&str> {
            fields.iter().map(|field| field.name.as_str()).collect()
        }
        let removed = self.remove.iter().map(String::as_str).collect();
        let parts = [("sets", names(&self.set)), ("adds", names(&self.add)), ("removes", removed)];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<String> = parts.map(|(does, names)| format!("{does} {}", names.join(", "))).collect();
        f.write_str(&parts.join("; "))
    }
}
