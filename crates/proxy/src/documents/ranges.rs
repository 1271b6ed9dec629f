//! Which parts of a file are asked for: `Range`, RFC 9110, 14. What nobody can make sense of is not there, and what
//! would make us send more than the file has gets the whole of it, once.

use std::ops::Range;

use h1::Fields;

/// How many parts of a file are sent at a time; who asks for more gets the whole.
const PARTS_MAX: usize = 16;

/// What is asked for of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it.
    Whole,
    /// These parts, at least one, none of them empty, each within the file.
    Parts(Vec<Range<u64>>),
    /// Nothing that it has.
    Nothing,
}

impl Asked {
    /// What these fields ask for of a file of this size.
    pub(crate) fn of(fields: &Fields, size: u64) -> Self {
        let mut given = fields.all_named(b"range");
        let (Some(value), None) = (given.next(), given.next()) else { return Self::Whole };
        let text = std::str::from_utf8(value).unwrap_or_default();
        let Some((unit, list)) = text.split_once('=') else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let mut parts = Vec::new();
        for (number, spec) in list.split(',').map(str::trim).filter(|spec| !spec.is_empty()).enumerate() {
            let Some(part) = part(spec, size) else { return Self::Whole };
            if number >= PARTS_MAX {
                return Self::Whole;
            }
            parts.extend(Some(part).filter(|part| !part.is_empty()));
        }
        let total = parts.iter().fold(0_u64, |total, part| total.saturating_add(part.end - part.start));
        match parts.len() {
            0 if list.trim_matches([' ', ',', '\t']).is_empty() => Self::Whole,
            0 => Self::Nothing,
            1 => Self::Parts(parts),
            _ if total > size => Self::Whole,
            _ => Self::Parts(parts),
        }
    }
}

/// The part of a file of this size that is meant, empty if it has none of it; nothing if that is no range.
fn part(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => Some(size.saturating_sub(number(last)?)..size),
        (first, "") => Some(number(first)?.min(size)..size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| first.min(size)..last.saturating_add(1).min(size))
        }
    }
}

/// What is too large for us is larger than any file.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use h1::{HeadLimits, RequestHead};

    use super::*;

    fn asked(lines: &str, size: u64) -> Asked {
        let mut head = RequestHead::default();
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
        Asked::of(head.fields(), size)
    }

    fn told(asked: &Asked) -> String {
        match asked {
            Asked::Whole => "whole".to_owned(),
            Asked::Nothing => "nothing".to_owned(),
            Asked::Parts(parts) => {
                parts.iter().map(|part| format!("{part:?}")).collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        for (value, expected) in [
            ("bytes=0-499", "0..500"),
            ("bytes=500-999", "500..1000"),
            ("Bytes = 0-0", "0..1"),
            ("bytes=-500", "500..1000"),
            ("bytes=-5000", "0..1000"),
            ("bytes=900-", "900..1000"),
            ("bytes=999-99999999999999999999999", "999..1000"),
            ("bytes=0-0,-1", "0..1, 999..1000"),
            ("bytes= 0-4 , ,10-14,", "0..5, 10..15"),
            ("bytes=0-4,2000-", "0..5"),
            ("bytes=1000-", "nothing"),
            ("bytes=2000-3000,4000-", "nothing"),
            ("bytes=-0", "nothing"),
            ("bytes=5-4", "whole"),
            ("bytes=", "whole"),
            ("bytes=,", "whole"),
            ("bytes=a-b", "whole"),
            ("bytes=--1", "whole"),
            ("bytes=+1-2", "whole"),
            ("bytes=1", "whole"),
            ("bytes 0-1", "whole"),
            ("lines=0-1", "whole"),
            ("bytes=0-4,x", "whole"),
            // More than there is, by parts that overlap.
            ("bytes=0-,0-", "whole"),
            ("bytes=0-799,100-899", "whole"),
        ] {
            assert_eq!(told(&asked(&format!("Range: {value}\r\n"), 1000)), expected, "{value}");
        }
        assert_eq!(asked("", 1000), Asked::Whole);
        assert_eq!(asked("Range: bytes=0-1\r\nRange: bytes=0-1\r\n", 1000), Asked::Whole);
        assert_eq!(asked("Range: bytes=0-\r\n", 0), Asked::Nothing);
        let many = |count: usize| format!("Range: bytes={}\r\n", vec!["1-1"; count].join(","));
        assert!(matches!(asked(&many(PARTS_MAX), 1000), Asked::Parts(_)));
        assert_eq!(asked(&many(PARTS_MAX + 1), 1000), Asked::Whole);
    }
}
