//! What replicas are told of who sends a request, in fields that are ours alone: whatever a client, or a proxy in
//! front, has written there does not pass.

use std::sync::Arc;

/// Who has signed in.
pub(crate) const USER_NAME: &str = "x-forwarded-user";

/// How much of a name the access log has, in bytes.
const USER_SHOWN_MAX: usize = 256;

/// What we stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// Who it is, for the access log.
    pub(crate) user: Option<Arc<str>>,
    /// Those that nobody else may write, in lower case.
    names: Vec<Box<str>>,
    fields: Vec<VouchedField>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct VouchedField {
    name: Box<str>,
    value: Vec<u8>,
}

impl Vouched {
    /// Says this, and nothing else, in a field with this name in lower case. Both parts are valid.
    pub(crate) fn say(&mut self, name: &str, value: &[u8]) {
        self.reserve(name);
        self.add(name, value);
    }

    /// Takes a name for our own. What was said under it before is taken back.
    pub(crate) fn reserve(&mut self, name: &str) {
        self.fields.retain(|field| &*field.name != name);
        if !self.names.iter().any(|own| &**own == name) {
            self.names.push(name.into());
        }
        if name == USER_NAME {
            self.user = None;
        }
    }

    /// Says this beside what is said already under a name that is our own.
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        self.fields.push(VouchedField { name: name.into(), value: value.to_owned() });
        if name == USER_NAME && self.user.is_none() && !value.is_empty() {
            let shown = &value[..value.len().min(USER_SHOWN_MAX)];
            self.user = Some(String::from_utf8_lossy(shown).into());
        }
    }

    /// Whether a field is one that nobody else may write; an underscore is a hyphen for many.
    pub(crate) fn is_ours(&self, name: &[u8]) -> bool {
        let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        let is_same = |own: &[u8]| {
            own.len() == name.len() && name.iter().zip(own).all(|(one, own)| fold(one) == fold(own))
        };
        self.names.iter().any(|own| is_same(own.as_bytes()))
    }

    /// Calls back with each field.
    pub(crate) fn put(&self, mut put: impl FnMut(&[u8], &[u8])) {
        self.fields.iter().for_each(|field| put(field.name.as_bytes(), &field.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn for_user(user: &str) -> Vouched {
        let mut vouched = Vouched::default();
        vouched.say(USER_NAME, user.as_bytes());
        vouched
    }

    #[test]
    fn our_fields_are_ours_however_they_are_spelled() {
        let vouched = for_user("alice");
        for name in ["X-Forwarded-User", "x_forwarded_user", "X-FORWARDED_USER"] {
            assert!(vouched.is_ours(name.as_bytes()), "{name}");
        }
        for name in ["X-Forwarded-Users", "X-Forwarded-For", "X-Forwarded-Use", ""] {
            assert!(!vouched.is_ours(name.as_bytes()), "{name}");
        }
        assert!(!Vouched::default().is_ours(b"x-forwarded-user"));
    }

    #[test]
    fn what_is_said_later_is_said_instead() {
        let mut vouched = for_user("alice");
        vouched.reserve("x-groups");
        vouched.reserve(USER_NAME);
        assert_eq!(vouched.user, None);
        vouched.add(USER_NAME, b"");
        assert_eq!(vouched.user, None, "nobody is called so");
        vouched.reserve(USER_NAME);
        vouched.add(USER_NAME, b"bob");
        vouched.add("x-groups", b"a");
        vouched.add("x-groups", b"b");
        let mut all = Vec::new();
        vouched.put(|name, value| all.push([name, b"=", value].concat()));
        assert_eq!(all, [&b"x-forwarded-user=bob"[..], b"x-groups=a", b"x-groups=b"]);
        assert_eq!(vouched.user.as_deref(), Some("bob"));
        assert!(vouched.is_ours(b"X-Groups"));
    }
}
