//! From the path of a request to a path below the folder: what each segment names, once it is decoded. What names
//! no file here in any reading leads nowhere, and neither does what is hidden.

use crate::documents::fault::FileFault;

/// The one name with a dot before it that is for everybody: RFC 8615.
const WELL_KNOWN: &[u8] = b".well-known";

/// Where a file may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Below the folder, without a slash at its beginning or end; empty for the folder itself.
    pub(crate) path: Vec<u8>,
    /// Whether it was written as a folder is: with a slash at its end.
    pub(crate) is_open: bool,
}

impl Place {
    /// Where this path leads. Names with a dot before them lead somewhere only if they are wanted.
    pub(crate) fn of(path: &[u8], has_hidden: bool) -> Result<Self, FileFault> {
        let rest = path.strip_prefix(b"/").ok_or(FileFault::Missing)?;
        let is_open = rest.is_empty() || rest.ends_with(b"/");
        let mut place = Self { path: Vec::with_capacity(rest.len()), is_open };
        if rest.is_empty() {
            return Ok(place);
        }
        let rest = rest.strip_suffix(b"/").unwrap_or(rest);
        for (number, segment) in rest.split(|byte| *byte == b'/').enumerate() {
            let name = decoded(segment).ok_or(FileFault::Missing)?;
            let is_well_known = number == 0 && name == WELL_KNOWN;
            let is_hidden = name.starts_with(b".") && !has_hidden && !is_well_known;
            if is_hidden || !is_name(&name) {
                return Err(FileFault::Missing);
            }
            if number > 0 {
                place.path.push(b'/');
            }
            place.path.extend_from_slice(&name);
        }
        Ok(place)
    }
}

/// Whether a file can have this name, and nothing else is meant by it.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// What stands behind the escapes of a segment; nothing if one is none.
fn decoded(segment: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            name.push(byte);
            continue;
        }
        let (digits, behind) = behind.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
        name.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_file_or_nowhere() {
        for (path, expected, is_open) in [
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/b.html", "a/b.html", false),
            ("/a%20b/%C3%A9", "a b/é", false),
            ("/a;v=1", "a;v=1", false),
            ("/.well-known/acme-challenge/x", ".well-known/acme-challenge/x", false),
            ("/%2Ewell-known/", ".well-known", true),
            ("/a..b/c.", "a..b/c.", false),
        ] {
            let place = Place { path: expected.into(), is_open };
            assert_eq!(Place::of(path.as_bytes(), false), Ok(place), "{path}");
        }
    }

    #[test]
    fn no_spelling_leads_out_or_to_what_is_hidden() {
        for path in [
            "*",
            "",
            "a",
            "//a",
            "/a//b",
            "//",
            "/..",
            "/../x",
            "/a/../b",
            "/a/..",
            "/./a",
            "/%2e%2e/x",
            "/%2e%2e%2fx",
            "/a%2fb",
            "/a%00.html",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/.git/config",
            "/%2egit/config",
            "/.env",
            "/a/.env",
            "/a/.well-known/x",
            "/.well-known/.hidden",
            "/.well-knowns/x",
            "/...",
        ] {
            assert_eq!(Place::of(path.as_bytes(), false), Err(FileFault::Missing), "{path}");
        }
        for path in ["/..", "/a/%2e%2e/b", "/.", "/%2e/a"] {
            assert_eq!(Place::of(path.as_bytes(), true), Err(FileFault::Missing), "{path}");
        }
        assert!(Place::of(b"/.env", true).is_ok());
    }
}
