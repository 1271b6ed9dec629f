//! Paths that replicas get in another form than clients write them: one prefix is taken off, another put on.
//! What clients get in return (a `Location`, the path of a cookie, links) is passed on as the replica writes it.

use std::fmt;

use h1::{OddPath, RequestHead, widest_path};

/// What becomes of the path of a request on its way to a replica. Each prefix is a path in its normal form
/// without a slash at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathRewrite {
    /// It is taken off, from paths that have it.
    pub strip: Option<String>,
    /// It is put before what is left.
    pub add: Option<String>,
}

impl PathRewrite {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.strip.is_none() && self.add.is_none()
    }

    /// Whether a request with this path gets there with another one.
    pub(crate) fn changes(&self, path: &[u8]) -> bool {
        self.add.is_some() || self.stripped(path).is_some()
    }

    /// The prefix that is taken off this path, if it has it.
    pub(crate) fn stripped(&self, path: &[u8]) -> Option<&str> {
        let prefix = self.strip.as_deref()?;
        below(prefix.as_bytes(), path).map(|_| prefix)
    }

    /// Whether the replica can read the new path in one way only, as far as it could the old one. A path in its
    /// normal form passes; of those that are sent on as they came, some readings must not leave a prefix that
    /// the written form keeps, nor name a host.
    pub(crate) fn check(&self, path: &[u8]) -> Result<(), OddPath> {
        if path == b"*" {
            return Ok(());
        }
        let widest = widest_path(path);
        let strip = self.strip.as_deref().unwrap_or_default().as_bytes();
        let rest = below(strip, path);
        if rest.is_some() != below(&widest_prefix(strip), &widest).is_some() {
            return Err(OddPath::OutsidePrefix);
        }
        let rest = rest.unwrap_or(path);
        let add = self.add.as_deref().unwrap_or_default().as_bytes();
        let whole = widest_path(&[add, rest].concat());
        if rest.starts_with(b"//") || below(&widest_prefix(add), &whole).is_none() {
            return Err(OddPath::OutsidePrefix);
        }
        Ok(())
    }

    /// The path that becomes this one, if there is one; of two, the one that is written as `like` is.
    pub(crate) fn undone(&self, path: &[u8], like: &[u8]) -> Option<Vec<u8>> {
        let rest = below(self.add.as_deref().unwrap_or_default().as_bytes(), path)?;
        let strip = self.stripped(like).unwrap_or_default();
        Some([strip.as_bytes(), rest].concat())
    }

    /// Writes path and query as the replica gets them. `OPTIONS *` has no path.
    pub(crate) fn write(&self, head: &RequestHead, out: &mut Vec<u8>) {
        let path = head.path();
        if path == b"*" {
            return head.write_origin(out);
        }
        let strip = self.strip.as_deref().unwrap_or_default();
        let rest = below(strip.as_bytes(), path).unwrap_or(path);
        let start = out.len();
        out.extend_from_slice(self.add.as_deref().unwrap_or_default().as_bytes());
        out.extend_from_slice(rest);
        if out.len() == start {
            out.push(b'/');
        }
        if let Some(query) = head.query() {
            out.push(b'?');
            out.extend_from_slice(query);
        }
    }
}

impl fmt::Display for PathRewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strip = self.strip.as_ref().map(|prefix| format!("takes {prefix} off the path"));
        let add = self.add.as_ref().map(|prefix| format!("puts {prefix} before the path"));
        f.write_str(&strip.into_iter().chain(add).collect::<Vec<_>>().join(", "))
    }
}

/// What stands behind a prefix, if whole segments of the path are it.
fn below<'a>(prefix: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// A prefix in its widest reading; none stays none.
fn widest_prefix(prefix: &[u8]) -> Vec<u8> {
    if prefix.is_empty() { Vec::new() } else { widest_path(prefix) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(strip: &str, add: &str, target: &str) -> String {
        let own = |prefix: &str| Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty());
        let rewrite = PathRewrite { strip: own(strip), add: own(add) };
        let mut head = RequestHead::default();
        head.start(b"OPTIONS", target.as_bytes(), Some(b"h")).unwrap();
        if rewrite.check(head.path()).is_err() {
            return "refused".to_owned();
        }
        let mut out = Vec::new();
        rewrite.write(&head, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prefixes_are_whole_segments_and_the_query_stays() {
        for (strip, add, target, expected) in [
            ("/api", "", "/api/x?y=/api", "/x?y=/api"),
            ("/api", "", "/api", "/"),
            ("/api", "", "/api/", "/"),
            ("/api", "", "/api?x", "/?x"),
            ("/api", "", "/apis/x", "/apis/x"),
            ("/api", "", "/x/api", "/x/api"),
            ("/api", "", "/api/api/x", "/api/x"),
            ("/api", "", "*", "*"),
            ("", "/app", "/", "/app/"),
            ("", "/app", "/x?", "/app/x?"),
            ("/old", "/new", "/old", "/new"),
            ("/old", "/new", "/old/", "/new/"),
            ("/old", "/new", "/old/x", "/new/x"),
            ("/old", "/new", "/x", "/new/x"),
        ] {
            assert_eq!(rewritten(strip, add, target), expected, "{strip} {add} {target}");
        }
    }

    #[test]
    fn what_could_be_read_as_leaving_a_prefix_is_refused() {
        for (strip, add, target) in [
            ("/api", "", "/api//evil.example/x"),
            ("/api", "", "/api/../admin"),
            ("/api", "", "/api/%2e%2e/admin"),
            ("/api", "", "/api/..%2fadmin"),
            ("/api", "", "/api/..;/admin"),
            ("/api", "", "/x/../api/y"),
            ("/api", "", "/%61pi/x"),
            ("/api", "", "/api%2fx"),
            ("/api", "", "/api;v=1/x"),
            ("", "/app", "/../x"),
            ("", "/app", "/%2e%2e%2fx"),
            ("", "/app", "//x"),
            ("/api", "/app", "/api/x/../../.."),
        ] {
            assert_eq!(rewritten(strip, add, target), "refused", "{strip} {add} {target}");
        }
        for (strip, add, target, expected) in [
            ("/api", "", "/api/a%2Fb//c", "/a%2Fb//c"),
            ("/api", "/app", "/api/x/../y", "/app/x/../y"),
            ("/api", "", "/api/a;v=1", "/a;v=1"),
        ] {
            assert_eq!(rewritten(strip, add, target), expected, "{strip} {add} {target}");
        }
    }
    #[test]
    fn a_new_path_leads_back_to_the_one_that_was_written() {
        for (strip, add, path, like, expected) in [
            ("/app", "", "/x/index.html", "/app/x/", Some("/app/x/index.html")),
            ("/app", "", "/x/index.html", "/x/", Some("/x/index.html")),
            ("/app", "/v2", "/v2/x", "/app/y", Some("/app/x")),
            ("", "/v2", "/v2/x", "/y", Some("/x")),
            ("", "/v2", "/x", "/y", None),
        ] {
            let own = |prefix: &str| Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty());
            let rewrite = PathRewrite { strip: own(strip), add: own(add) };
            let undone = rewrite.undone(path.as_bytes(), like.as_bytes());
            assert_eq!(undone.as_deref(), expected.map(str::as_bytes), "{strip} {add} {path}");
        }
    }
}
