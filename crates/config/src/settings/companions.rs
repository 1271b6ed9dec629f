//! A service that takes a part of another one's requests, or gets copies of them: the keys of that.

use http::HeaderName;
use proxy::{Canary, Mirror, Policies, Sign};

use crate::form::{Maybe, Number, Text};
use crate::keys::{Key, Keys, Level, Table, Told};
use crate::value;

const SHARE_LIMITS: std::ops::RangeInclusive<f64> = 0.0..=100.0;

/// Both kinds.
pub(super) fn companions(keys: &mut impl Keys, it: &mut Policies) {
    let says =
        "makes the service a canary: it takes a part of another one's requests, see [Canaries](#canaries)";
    keys.optional(Table::new("canary", "[service.canary]", says).default("none"), &mut it.canary);
    let says =
        "makes the service a mirror: it gets copies of another one's requests, see [Mirrors](#mirrors)";
    keys.optional(Table::new("mirror", "[service.mirror]", says).default("none"), &mut it.mirror);
}

/// Whose requests they are.
fn of(keys: &mut impl Keys, it: &mut String) {
    keys.key(
        Key::new(
            "of",
            Text::of("string", value::service_name),
            "the name of the service whose requests they are",
        )
        .default(Told::Instead("required"))
        .limits(Told::Instead("another `[[service]]`, which has requests of its own")),
        it,
    );
}

impl Level for Mirror {
    fn blank() -> Self {
        Self { of: String::new(), share: 100.0 }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        of(keys, &mut self.of);
        let share = Number { limits: SHARE_LIMITS, or_zero: None };
        keys.key(
            Key::new("share", share, "of how many of them there are copies, in per cent"),
            &mut self.share,
        );
    }
}

impl Level for Canary {
    fn blank() -> Self {
        Self { of: String::new(), share: 0.0, header: None, cookie: None }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        of(keys, &mut self.of);
        keys.key(
            Key::new(
                "share",
                Number { limits: SHARE_LIMITS, or_zero: None },
                "how many of them come here, in per cent, by who the visitor is; 0 is only who asks for it",
            ),
            &mut self.share,
        );
        let limits = || Told::Instead("a name, or a name and a value");
        keys.key(
            Key::new(
                "header",
                Maybe(Text { kind: "string", parse: header, show: shown_header }),
                "who has this header comes here: `\"X-Canary\"`, or with this value `\"X-Canary: beta\"`",
            )
            .limits(limits()),
            &mut self.header,
        );
        keys.key(
            Key::new(
                "cookie",
                Maybe(Text { kind: "string", parse: cookie, show: shown_cookie }),
                "who has this cookie comes here: `\"canary\"`, or with this value `\"canary=beta\"`",
            )
            .limits(limits()),
            &mut self.cookie,
        );
    }
}

fn header(text: &str) -> value::Parsed<Sign<HeaderName>> {
    let (name, value) = parts(text, ':');
    match name.trim().parse::<HeaderName>() {
        Ok(name) => Ok(Sign { name, value }),
        Err(_) => Err(value::must_be("the name of a header, or \"NAME: VALUE\"", text)),
    }
}

fn cookie(text: &str) -> value::Parsed<Sign<String>> {
    let (name, value) = parts(text, '=');
    Ok(Sign { name: value::cookie_name(name.trim())?, value })
}

/// The name, and the value if there is one.
fn parts(text: &str, between: char) -> (&str, Option<String>) {
    match text.split_once(between) {
        Some((name, value)) => (name, Some(value.trim().to_owned())),
        None => (text, None),
    }
}

fn shown_header(sign: &Sign<HeaderName>) -> String {
    shown(sign.name.as_str(), sign.value.as_deref(), ": ")
}

fn shown_cookie(sign: &Sign<String>) -> String {
    shown(&sign.name, sign.value.as_deref(), "=")
}

fn shown(name: &str, value: Option<&str>, between: &str) -> String {
    value.map_or_else(|| name.to_owned(), |value| format!("{name}{between}{value}"))
}
