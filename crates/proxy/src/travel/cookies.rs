//! Cookies in the heads of requests: `Cookie: a=1; b=2`, in one field or in several. What their values mean is
//! not known here.

use std::borrow::Cow;

use h1::RequestHead;

/// The name of the field, in lower case.
const FIELD: &[u8] = b"cookie";

/// The values of all cookies with this name, in their order.
pub(crate) fn values<'a>(head: &'a RequestHead, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = head.fields().all_named(FIELD).flat_map(pairs);
    pairs.filter_map(move |pair| value_of(pair, name))
}

/// What is left of a field without the cookies of this name; nothing if none is left. The others stay byte for
/// byte.
pub(crate) fn without<'a>(field_name: &[u8], value: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    let is_it = |pair: &&[u8]| value_of(pair, name).is_some();
    if !field_name.eq_ignore_ascii_case(FIELD) || !pairs(value).any(|pair| is_it(&pair)) {
        return Some(Cow::Borrowed(value));
    }
    let others: Vec<&[u8]> = pairs(value).filter(|pair| !is_it(pair)).collect();
    let left = others.join(&b';');
    // The space before the first one stood behind a cookie that has gone.
    let left = left.trim_ascii_start();
    (!left.is_empty()).then(|| Cow::Owned(left.to_vec()))
}

fn pairs(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b';')
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_wherever_it_stands() {
        let mut head = RequestHead::default();
        head.start(b"GET", b"/", None).unwrap();
        head.push(b"Cookie", b"a=1; sid=x; sida=2;sid=y");
        head.push(b"x-cookie", b"sid=z");
        head.push(b"cookie", b"sid; sid =q; SID=r; sid=");
        assert_eq!(values(&head, "sid").collect::<Vec<_>>(), [&b"x"[..], b"y", b""]);
    }

    #[test]
    fn the_other_cookies_stay_byte_for_byte() {
        for (field, left) in [
            ("a=1; sid=x; b=2", Some("a=1; b=2")),
            ("sid=x; a=1;b=\"2\"; =; c", Some("a=1;b=\"2\"; =; c")),
            ("a=1; sid=x", Some("a=1")),
            ("sid=x", None),
            ("sid=x; sid=y;", None),
            ("a=1;  sid=x;b=2 ; sid=", Some("a=1;b=2 ")),
            (" a=1 ;;sida=sid=x; SID=x", Some(" a=1 ;;sida=sid=x; SID=x")),
            ("a=é; sid=x", Some("a=é")),
            ("", Some("")),
        ] {
            let found = without(b"Cookie", field.as_bytes(), "sid");
            assert_eq!(found.as_deref(), left.map(str::as_bytes), "{field}");
        }
        assert_eq!(without(b"set-cookie", b"sid=x", "sid").as_deref(), Some(&b"sid=x"[..]));
    }
}
