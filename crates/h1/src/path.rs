//! How a path can be read: as it is written, in its normal form, and in the widest way in which a server
//! behind us may take it. Where two of them differ, a rule about paths could be walked round.

use std::fmt;

/// Why a path has no normal form: it can be read in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OddPath {
    /// `%2F` or `%5C`: a slash for some, a part of a name for others.
    EncodedSlash,
    /// `%00`, where some stop reading.
    EncodedNul,
    /// A percent sign without two hexadecimal digits behind it.
    BadEscape,
    /// Bytes that a careless reader of UTF-8 takes for ASCII, as `%C0%AF`.
    Overlong,
    /// `..;x`: a dot segment for readers that know parameters.
    DotParameters,
    /// It has a normal form, and this is not it.
    NotNormal,
    /// Other rules hold for it as it is written than as some servers read it: another service, or another of its
    /// locations.
    TwoServices,
    /// As it is written it is below a prefix that is replaced, as some servers read it it is not.
    OutsidePrefix,
}

impl fmt::Display for OddPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EncodedSlash => "the path has an encoded slash or backslash, which can be read in two ways",
            Self::EncodedNul => "the path has an encoded NUL",
            Self::BadEscape => "the path has a percent sign without two hexadecimal digits behind it",
            Self::Overlong => "the path has an encoded character that is longer than it may be",
            Self::DotParameters => "the path has a dot segment with parameters",
            Self::NotNormal => {
                "the path has dot segments, empty segments, or characters that need not be encoded"
            }
            Self::TwoServices => "the path can be read in two ways, for which different rules hold",
            Self::OutsidePrefix => {
                "the path can be read in two ways, of which one leaves a prefix that is replaced"
            }
        })
    }
}

/// Whether there is only one way to read a path: no escapes, parameters, empty segments or dot segments.
/// (A segment that only begins with a dot needs a second look, which finds nothing.)
pub(crate) fn is_plain(path: &[u8]) -> bool {
    let mut last = 0;
    !path.iter().any(|byte| {
        let before = std::mem::replace(&mut last, *byte);
        matches!(byte, b'%' | b';') | (before == b'/' && matches!(byte, b'/' | b'.'))
    })
}

/// The normal form of a path: what need not be encoded is not, escapes are in upper case (RFC 3986, 6.2.2), dot
/// segments are followed (5.2.4), and of several slashes one is left. Appends it, or says why there is none.
///
/// ```
/// let normal = |path: &str| {
///     let mut out = Vec::new();
///     h1::normal_path(path.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
/// };
/// assert_eq!(normal("/x/..//%61dmin/./%c3%a9").as_deref(), Ok("/admin/%C3%A9"));
/// assert_eq!(normal("/a%2fb"), Err(h1::OddPath::EncodedSlash));
/// ```
pub fn normal_path(path: &[u8], out: &mut Vec<u8>) -> Result<(), OddPath> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    let mut last_decoded = 0;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            plain.push(byte);
            last_decoded = byte;
            continue;
        }
        let (digits, behind) = behind.split_at_checked(2).ok_or(OddPath::BadEscape)?;
        let decoded = hexadecimal(digits).ok_or(OddPath::BadEscape)?;
        rest = behind;
        match decoded {
            b'/' | b'\\' => return Err(OddPath::EncodedSlash),
            0 => return Err(OddPath::EncodedNul),
            0x80..=0xbf if matches!(last_decoded, 0xc0 | 0xc1) => return Err(OddPath::Overlong),
            _ if is_unreserved(decoded) => plain.push(decoded),
            _ => plain.extend([b'%', digits[0].to_ascii_uppercase(), digits[1].to_ascii_uppercase()]),
        }
        last_decoded = decoded;
    }
    if segments(&plain).any(|segment| is_dots(without_parameters(segment)) && segment.contains(&b';')) {
        return Err(OddPath::DotParameters);
    }
    follow(segments(&plain), out);
    Ok(())
}

/// The widest reading of a path: everything decoded, backslashes are slashes, segments have no parameters, and
/// dot segments are followed. Some server takes it for this; nothing is sent on like this.
///
/// ```
/// assert_eq!(h1::widest_path(br"/open%2f..%5cadmin;x=1//y"), b"/admin/y");
/// ```
pub fn widest_path(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        let escape = behind.split_at_checked(2).filter(|_| byte == b'%');
        let found = escape.and_then(|(digits, behind)| Some((hexadecimal(digits)?, behind)));
        let (byte, behind) = found.unwrap_or((byte, behind));
        decoded.push(if byte == b'\\' { b'/' } else { byte });
        rest = behind;
    }
    let mut out = Vec::with_capacity(decoded.len());
    follow(segments(&decoded).map(without_parameters), &mut out);
    out
}

/// Between the slashes; nothing stands before the first.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/')
}

fn without_parameters(segment: &[u8]) -> &[u8] {
    memchr::memchr(b';', segment).map_or(segment, |end| &segment[..end])
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// Appends the path that these segments lead to.
fn follow<'a>(segments: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut is_open = false;
    for segment in segments {
        // What ends with a slash or dots is a folder, and its path ends with a slash.
        is_open = segment.is_empty() || is_dots(segment);
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = out[start..].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(start + parent);
            }
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if is_open || out.len() == start {
        out.push(b'/');
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(value(digits[0])? * 16 + value(digits[1])?).ok()
}

/// RFC 3986, 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> Result<String, OddPath> {
        let mut out = Vec::new();
        normal_path(path.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn normal_forms() {
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("//admin", "/admin"),
            ("/./admin", "/admin"),
            ("/x/../admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/%41", "/A"),
            ("/admin/%2e%2e/open", "/open"),
            ("/admin/.%2E/open", "/open"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/../../a", "/a"),
            ("/a///b//", "/a/b/"),
            ("/a/..", "/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a;b=c/d", "/a;b=c/d"),
            ("/%c3%a9", "/%C3%A9"),
            ("/%e9%25%20", "/%E9%25%20"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/@%40:%3a", "/@%40:%3A"),
        ] {
            assert_eq!(normal(path).as_deref(), Ok(expected), "{path}");
            assert_eq!(normal(expected).as_deref(), Ok(expected), "{expected} is normal");
        }
    }

    #[test]
    fn paths_without_a_normal_form() {
        for (path, odd) in [
            ("/a%2fb", OddPath::EncodedSlash),
            ("/a%2Fb", OddPath::EncodedSlash),
            ("/..%5cadmin", OddPath::EncodedSlash),
            ("/a%00", OddPath::EncodedNul),
            ("/%", OddPath::BadEscape),
            ("/%2", OddPath::BadEscape),
            ("/%zz", OddPath::BadEscape),
            ("/%+1", OddPath::BadEscape),
            ("/%c0%ae%c0%ae/admin", OddPath::Overlong),
            ("/%c1%9cadmin", OddPath::Overlong),
            ("/..;/admin", OddPath::DotParameters),
            ("/x/.%2e;a=b/admin", OddPath::DotParameters),
            ("/.;", OddPath::DotParameters),
        ] {
            assert_eq!(normal(path), Err(odd), "{path}");
        }
    }

    #[test]
    fn the_widest_reading_goes_wherever_some_server_may_go() {
        for (path, expected) in [
            ("/admin", "/admin"),
            ("/a%2fb", "/a/b"),
            ("/x%2f..%2fadmin", "/admin"),
            (r"/x\..\admin", "/admin"),
            ("/admin;v=1/x", "/admin/x"),
            ("/..;/admin", "/admin"),
            ("/%3b/x", "/x"),
            ("/%40me", "/@me"),
            ("/%zz", "/%zz"),
            ("/a/", "/a/"),
        ] {
            assert_eq!(widest_path(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn what_is_plain_has_one_reading() {
        for path in ["/", "/a/b", "/a.b", "/a/b.", "/a-_~!$&'()*+,=:@b/", "*"] {
            assert!(is_plain(path.as_bytes()), "{path}");
            if path != "*" {
                assert_eq!(normal(path).as_deref(), Ok(path));
                assert_eq!(widest_path(path.as_bytes()), path.as_bytes());
            }
        }
        for path in ["//", "/.", "/a//b", "/a/./b", "/a/../b", "/%61", "/a;b", "/.well-known"] {
            assert!(!is_plain(path.as_bytes()), "{path}");
        }
    }
}
