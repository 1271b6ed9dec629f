//! What replicas are told of who sends a request, in fields that are ours alone: whatever a client, or a proxy in
//! front, has written there does not pass.

use std::sync::Arc;

/// Who has signed in.
pub(crate) const USER_NAME: &str = "x-forwarded-user";

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
    /// Somebody with this name.
    pub(crate) fn for_user(user: Arc<str>) -> Self {
        let mut vouched = Self::default();
        vouched.say(USER_NAME, user.as_bytes());
        Self { user: Some(user), ..vouched }
    }

    /// Says this in a field with this name in lower case. Both parts are valid.
    fn say(&mut self, name: &str, value: &[u8]) {
        self.names.push(name.into());
        self.fields.push(VouchedField { name: name.into(), value: value.to_owned() });
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

    #[test]
    fn our_fields_are_ours_however_they_are_spelled() {
        let vouched = Vouched::for_user("alice".into());
        for name in ["X-Forwarded-User", "x_forwarded_user", "X-FORWARDED_USER"] {
            assert!(vouched.is_ours(name.as_bytes()), "{name}");
        }
        for name in ["X-Forwarded-Users", "X-Forwarded-For", "X-Forwarded-Use", ""] {
            assert!(!vouched.is_ours(name.as_bytes()), "{name}");
        }
        assert!(!Vouched::default().is_ours(b"x-forwarded-user"));
    }
}
