//! The name and the password that a request brings: RFC 7617. They are shown to nobody.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use h1::RequestHead;

/// The longest that they may be together, decoded; it bounds what those who wait make us keep.
const BYTES_MAX: usize = 1024;

/// Some clients leave the end of it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password, of whom nobody knows yet whether they belong together.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// Both, with a colon between them.
    pub(super) text: Vec<u8>,
    colon: usize,
}

impl Credentials {
    /// Those of a request, if it brings any that can be meant. More than one `Authorization` is none.
    pub(super) fn of(head: &RequestHead) -> Option<Self> {
        let mut given = head.fields().all_named(b"authorization");
        let (one, others) = (given.next()?, given.next());
        if others.is_some() {
            return None;
        }
        let space = one.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = one.split_at(space);
        if !scheme.eq_ignore_ascii_case(b"basic") || rest.len() > BYTES_MAX * 2 {
            return None;
        }
        let text = BASE64.decode(rest.trim_ascii()).ok()?;
        let colon = text.iter().position(|byte| *byte == b':')?;
        let is_clean = !text.iter().any(u8::is_ascii_control);
        (is_clean && text.len() <= BYTES_MAX).then_some(Self { text, colon })
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.text[..self.colon]
    }

    pub(super) fn password(&self) -> &[u8] {
        &self.text[self.colon + 1..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Credentials> {
        let mut head = RequestHead::default();
        head.start(b"GET", b"/", None).unwrap();
        values.iter().for_each(|value| head.push(b"authorization", value.as_bytes()));
        Credentials::of(&head)
    }

    #[test]
    fn a_name_ends_at_the_first_colon_and_anything_else_is_none() {
        for (value, name, password) in [
            ("Basic YWxpY2U6c2VjcmV0", "alice", "secret"),
            ("basic  YWxpY2U6", "alice", ""),
            ("BASIC YTpiOmM=", "a", "b:c"),
            ("Basic YTpiOmM", "a", "b:c"),
            ("Basic OmE=", "", "a"),
        ] {
            let found = of(&[value]).unwrap();
            assert_eq!((found.name(), found.password()), (name.as_bytes(), password.as_bytes()), "{value}");
        }
        let long = format!("Basic {}", BASE64.encode(format!("a:{}", "b".repeat(1023))));
        for value in [
            "",
            "Basic",
            "Basic ",
            "Bearer YWxpY2U6c2VjcmV0",
            "YWxpY2U6c2VjcmV0",
            "Basic YWxpY2U=",
            "Basic YWxpY2U6c2V!cmV0",
            "Basic YWxpY2U6c2Vj cmV0",
            "Basic YTpiCg==",
            "Basic AGE6Yg==",
            &long,
        ] {
            assert!(of(&[value]).is_none(), "{value}");
        }
        assert!(of(&["Basic YTpiOmM=", "Basic YTpiOmM="]).is_none(), "twice is not once");
        assert!(of(&[]).is_none());
    }
}
