//! Whether what a client has of a file is still what there is: the tag of a file, its date, and the conditions
//! that a request sets, in the order of RFC 9110, 13.2.2.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use h1::{Fields, Method, RequestHead};

use crate::documents::open::Facts;
use crate::policies::compression::coding::Coding;

/// A file that was changed no longer ago may be changed again without another time: its tag is a weak one.
const RECENT: Duration = Duration::from_secs(1);
/// Before there was HTTP. Whoever dates files so (to build the same image twice) means no date, and caches that
/// guess by it would keep them for years.
const DATED_MIN: Duration = Duration::from_secs(21 * 365 * 86_400);

/// What is said of a file, so that it can be asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    /// As `ETag` has it.
    pub(crate) tag: String,
    /// When it was changed, in whole seconds, if that means anything.
    pub(crate) modified: Option<SystemTime>,
}

/// What a request is answered with, as far as its conditions decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With the file, of which a part may be asked for.
    Parts,
    /// With the file, whole, whatever part was asked for.
    Whole,
    /// 304
    Unchanged,
    /// 412
    Refused,
}

impl Validators {
    /// Those of a file that is kept so. What nobody can set is in the tag: builds give files the same date and
    /// often the same length, and who compares those keeps an old page.
    pub(crate) fn of(facts: &Facts, coding: Option<Coding>, now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let age = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX) - facts.changed;
        let is_recent = age < RECENT.as_nanos() as i128;
        let weak = if is_recent { "W/" } else { "" };
        let coding = coding.map(|coding| format!("-{}", coding.name())).unwrap_or_default();
        let tag = format!("{weak}\"{:x}-{:x}{coding}\"", facts.size, facts.changed);
        let seconds = u64::try_from(facts.modified / 1_000_000_000).unwrap_or_default();
        let modified = UNIX_EPOCH + Duration::from_secs(seconds);
        // No date is later than that of the response: RFC 9110, 8.8.2.1.
        let modified = modified.min(UNIX_EPOCH + Duration::from_secs(since.as_secs()));
        Self { tag, modified: Some(modified).filter(|_| seconds >= DATED_MIN.as_secs()) }
    }

    /// What comes of the conditions of a request.
    pub(crate) fn judge(&self, head: &RequestHead) -> Outcome {
        let fields = head.fields();
        if has(fields, b"if-match") {
            if !self.is_listed(fields, b"if-match", Comparison::Strong) {
                return Outcome::Refused;
            }
        } else if let Some(date) = date(fields, b"if-unmodified-since")
            && self.modified.is_some_and(|modified| modified > date)
        {
            return Outcome::Refused;
        }
        if has(fields, b"if-none-match") {
            if self.is_listed(fields, b"if-none-match", Comparison::Weak) {
                return Outcome::Unchanged;
            }
        } else if let Some(date) = date(fields, b"if-modified-since")
            && self.modified.is_some_and(|modified| modified <= date)
        {
            return Outcome::Unchanged;
        }
        if head.method() == Method::Get && self.is_still_that(fields) {
            Outcome::Parts
        } else {
            Outcome::Whole
        }
    }

    /// Whether a part goes with the parts that a client has.
    fn is_still_that(&self, fields: &Fields) -> bool {
        let mut given = fields.all_named(b"if-range");
        match (given.next(), given.next()) {
            (None, _) => true,
            (Some(value), None) => {
                let text = std::str::from_utf8(value).unwrap_or_default().trim();
                let is_date =
                    || self.modified.is_some() && httpdate::parse_http_date(text).ok() == self.modified;
                // A weak tag does not say that the bytes are the same, and neither does the date of a weak one.
                !is_weak(&self.tag) && (text == self.tag || is_date())
            }
            (Some(_), Some(_)) => false,
        }
    }

    /// Whether the tag is among those of a field.
    fn is_listed(&self, fields: &Fields, name: &[u8], comparison: Comparison) -> bool {
        fields.all_named(name).any(|line| {
            let mut tags = Tags { rest: line };
            line.trim_ascii() == b"*" || tags.any(|tag| comparison.are_equal(tag, self.tag.as_bytes()))
        })
    }
}

/// RFC 9110, 8.8.3.2.
#[derive(Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

impl Comparison {
    fn are_equal(self, one: &[u8], other: &[u8]) -> bool {
        let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
        match self {
            Self::Strong => one == other && !one.starts_with(b"W/"),
            Self::Weak => opaque(one) == opaque(other),
        }
    }
}

/// The tags of a list. What stands between quotes may have commas.
struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let rest = &self.rest[start..];
        let open = if rest.starts_with(b"W/") { 2 } else { 0 };
        if rest.get(open) != Some(&b'"') {
            return None;
        }
        let end = open + 2 + rest[open + 1..].iter().position(|byte| *byte == b'"')?;
        self.rest = &rest[end..];
        Some(&rest[..end])
    }
}

fn is_weak(tag: &str) -> bool {
    tag.starts_with("W/")
}

fn has(fields: &Fields, name: &[u8]) -> bool {
    fields.all_named(name).next().is_some()
}

/// The one date of a field; what is none is as if it were not there.
fn date(fields: &Fields, name: &[u8]) -> Option<SystemTime> {
    let mut given = fields.all_named(name);
    let (value, None) = (given.next()?, given.next()) else { return None };
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use h1::HeadLimits;

    use super::*;

    /// A Sunday in 1994, as the examples of RFC 9110 have it.
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const TAG: &str = "\"64-3b9aca00\"";

    fn facts(seconds: u64, changed: i128) -> Facts {
        Facts { size: 100, modified: i128::from(seconds) * 1_000_000_000 + 5, changed }
    }

    fn validators(now: u64) -> Validators {
        let seconds = httpdate::parse_http_date(DATE).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Validators::of(&facts(seconds, 1_000_000_000), None, UNIX_EPOCH + Duration::from_secs(now))
    }

    fn judged(validators: &Validators, method: &str, fields: &str) -> Outcome {
        let mut head = RequestHead::default();
        let text = format!("{method} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
        validators.judge(&head)
    }

    #[test]
    fn a_tag_is_of_what_nobody_can_set_and_weak_while_that_is_new() {
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let one = Validators::of(&facts(0, 1), None, old);
        assert_eq!(one, Validators { tag: "\"64-1\"".to_owned(), modified: None });
        assert_eq!(Validators::of(&facts(0, 1), Some(Coding::Brotli), old).tag, "\"64-1-br\"");
        assert_ne!(Validators::of(&facts(0, 2), None, old).tag, one.tag);
        let recent = Validators::of(&facts(0, 1_999_999_999_500_000_000), None, old);
        assert!(is_weak(&recent.tag));
        let future = Validators::of(&facts(3_000_000_000, 1), None, old);
        assert_eq!(future.modified, Some(old));
    }

    #[test]
    fn conditions_are_judged_in_their_order() {
        let validators = validators(2_000_000_000);
        assert_eq!(validators.tag, TAG);
        for (fields, expected) in [
            (String::new(), Outcome::Parts),
            (format!("If-None-Match: {TAG}\r\n"), Outcome::Unchanged),
            (format!("If-None-Match: W/{TAG}\r\n"), Outcome::Unchanged),
            ("If-None-Match: *\r\n".to_owned(), Outcome::Unchanged),
            (format!("If-None-Match: \"a,b\", \"c\" ,{TAG}\r\n"), Outcome::Unchanged),
            (format!("If-None-Match: \"a\"\r\nIf-None-Match: {TAG}\r\n"), Outcome::Unchanged),
            ("If-None-Match: \"64-3b\"\r\n".to_owned(), Outcome::Parts),
            ("If-None-Match: 64-3b9aca00\r\n".to_owned(), Outcome::Parts),
            // The tag counts, and not the date beside it.
            (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {LATER}\r\n"), Outcome::Parts),
            (format!("If-Modified-Since: {DATE}\r\n"), Outcome::Unchanged),
            (format!("If-Modified-Since: {LATER}\r\n"), Outcome::Unchanged),
            (format!("If-Modified-Since: {EARLIER}\r\n"), Outcome::Parts),
            ("If-Modified-Since: yesterday\r\n".to_owned(), Outcome::Parts),
            (format!("If-Match: {TAG}\r\n"), Outcome::Parts),
            ("If-Match: *\r\n".to_owned(), Outcome::Parts),
            (format!("If-Match: W/{TAG}\r\n"), Outcome::Refused),
            ("If-Match: \"x\"\r\n".to_owned(), Outcome::Refused),
            (format!("If-Match: \"x\"\r\nIf-None-Match: {TAG}\r\n"), Outcome::Refused),
            (format!("If-Match: {TAG}\r\nIf-None-Match: {TAG}\r\n"), Outcome::Unchanged),
            (format!("If-Unmodified-Since: {DATE}\r\n"), Outcome::Parts),
            (format!("If-Unmodified-Since: {EARLIER}\r\n"), Outcome::Refused),
            (format!("If-Match: {TAG}\r\nIf-Unmodified-Since: {EARLIER}\r\n"), Outcome::Parts),
            (format!("If-Range: {TAG}\r\n"), Outcome::Parts),
            (format!("If-Range: W/{TAG}\r\n"), Outcome::Whole),
            ("If-Range: \"x\"\r\n".to_owned(), Outcome::Whole),
            (format!("If-Range: {DATE}\r\n"), Outcome::Parts),
            (format!("If-Range: {LATER}\r\n"), Outcome::Whole),
            (format!("If-Range: {TAG}\r\nIf-Range: {TAG}\r\n"), Outcome::Whole),
        ] {
            assert_eq!(judged(&validators, "GET", &fields), expected, "{fields}");
        }
        assert_eq!(judged(&validators, "HEAD", ""), Outcome::Whole);
        assert_eq!(judged(&validators, "HEAD", &format!("If-None-Match: {TAG}\r\n")), Outcome::Unchanged);
    }

    #[test]
    fn what_was_just_changed_is_not_put_together_from_parts() {
        let validators = validators(1);
        assert_eq!(validators.tag, format!("W/{TAG}"));
        for (fields, expected) in [
            (format!("If-Range: W/{TAG}\r\n"), Outcome::Whole),
            (format!("If-Range: {TAG}\r\n"), Outcome::Whole),
            (format!("If-None-Match: {TAG}\r\n"), Outcome::Unchanged),
            (format!("If-Match: W/{TAG}\r\n"), Outcome::Refused),
        ] {
            assert_eq!(judged(&validators, "GET", &fields), expected, "{fields}");
        }
    }
}
