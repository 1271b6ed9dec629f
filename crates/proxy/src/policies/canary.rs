//! A canary: a service that takes a part of another one's requests, so that something new is tried by some
//! before it is for all. Who asks for it by a header or a cookie gets it; of the others a share does, by who they
//! are: a visitor stays on one side, and whoever was in a small share is in a larger one, too.

use std::fmt;

use h1::RequestHead;
use http::HeaderName;
use placement::Key;

use crate::travel::cookies;

/// What a canary takes of another service's requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// The name of the service whose requests they are.
    pub of: String,
    /// How many of those that do not ask for it, in per cent, from 0 to 100.
    pub share: f64,
    /// Who has this field asks for it.
    pub header: Option<Sign<HeaderName>>,
    /// Who has this cookie asks for it.
    pub cookie: Option<Sign<String>>,
}

/// What a request has that asks for a canary: something with this name, and if that matters, with this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign<N> {
    /// Its name.
    pub name: N,
    /// Its value; without one, any will do.
    pub value: Option<String>,
}

impl Canary {
    /// Whether a request asks for it.
    pub(crate) fn is_asked_for(&self, head: &RequestHead) -> bool {
        let has_field = self.header.as_ref().is_some_and(|sign| {
            let mut values = head.fields().all_named(sign.name.as_str().as_bytes());
            values.any(|value| sign.is_meant(value))
        });
        has_field
            || self.cookie.as_ref().is_some_and(|sign| {
                let mut values = cookies::values(head, &sign.name);
                values.any(|value| sign.is_meant(value))
            })
    }

    /// How much of all the places that there are is its own.
    pub(crate) fn part(&self) -> f64 {
        self.share / 100.0
    }
}

impl<N> Sign<N> {
    fn is_meant(&self, value: &[u8]) -> bool {
        self.value.as_ref().is_none_or(|expected| value.trim_ascii() == expected.as_bytes())
    }
}

/// Where somebody stands among all, from 0 to less than 1: always at the same place, and at another one than where
/// the same key is placed among the replicas.
pub(crate) fn place_among_all(service: &str, who: &[u8]) -> f64 {
    let number = Key::of(&[b"canaries of ", service.as_bytes(), b"\0", who].concat()).number();
    // As many bits as a number of this kind has room for.
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

impl fmt::Display for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % of the requests of '{}'", self.share, self.of)?;
        if let Some(Sign { name, value }) = &self.header {
            write!(f, ", and those with the header {name}")?;
            value.as_ref().map_or(Ok(()), |value| write!(f, ": {value}"))?;
        }
        if let Some(Sign { name, value }) = &self.cookie {
            write!(f, ", and those with the cookie {name}")?;
            value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary() -> Canary {
        Canary { of: "shop".into(), share: 5.0, header: None, cookie: None }
    }

    fn request(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.start(b"GET", b"/", None).unwrap();
        fields.iter().for_each(|(name, value)| head.push(name.as_bytes(), value.as_bytes()));
        head
    }

    #[test]
    fn who_has_its_sign_asks_for_it() {
        let name = HeaderName::from_static("x-canary");
        let any = Canary { header: Some(Sign { name: name.clone(), value: None }), ..canary() };
        let beta = Canary { header: Some(Sign { name, value: Some("beta".into()) }), ..canary() };
        let cookie = Canary { cookie: Some(Sign { name: "c".into(), value: Some("1".into()) }), ..canary() };
        for (head, expected) in [
            (&[][..], [false; 4]),
            (&[("X-Canary", "")], [false, true, false, false]),
            (&[("x-canary", "alpha"), ("x-canary", " beta ")], [false, true, true, false]),
            (&[("x-canary", "BETA")], [false, true, false, false]),
            (&[("cookie", "a=2; c=1")], [false, false, false, true]),
            (&[("cookie", "c=11; C=1; cc=1")], [false; 4]),
        ] {
            let asked = [&canary(), &any, &beta, &cookie].map(|canary| canary.is_asked_for(&request(head)));
            assert_eq!(asked, expected, "{head:?}");
        }
    }

    /// 20 000 visitors: of 5 % the standard deviation is 31.
    #[test]
    fn places_are_spread_evenly_and_are_others_for_each_service() {
        let (mut first, mut both) = (0, 0);
        for visitor in 0..20_000 {
            let who = format!("10.0.{}.{}", visitor / 256, visitor % 256);
            let [shop, mail] = ["shop", "mail"].map(|service| place_among_all(service, who.as_bytes()));
            assert!((0.0..1.0).contains(&shop));
            first += u32::from(shop < 0.05);
            both += u32::from(shop < 0.05 && mail < 0.05);
        }
        assert!((850..1150).contains(&first), "{first} of 20 000");
        assert!((20..85).contains(&both), "{both} of 20 000");
    }
}
