//! Which paths are meant by a pattern, in each of the readings that a path has.

use h1::widest_path;

use crate::travel::scope::PathPattern;

/// How a path is to be understood that something is looked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As it is written.
    Narrow,
    /// As the most generous server might.
    Widest,
}

/// A pattern, ready to be compared with paths.
#[derive(Clone, Debug)]
pub(crate) struct PathRule {
    pub(crate) pattern: PathPattern,
    /// What a path must begin with, without the slash that it may end with, or must be.
    narrow: Box<[u8]>,
    /// The same in its widest reading.
    widest: Box<[u8]>,
}

impl PathRule {
    pub(crate) fn new(pattern: &PathPattern) -> Self {
        let read = |bytes: &[u8]| match pattern {
            PathPattern::Prefix(_) => without_end(bytes).into(),
            PathPattern::Exact(_) => bytes.into(),
        };
        Self {
            pattern: pattern.clone(),
            narrow: read(pattern.path().as_bytes()),
            widest: read(&widest_path(pattern.path().as_bytes())),
        }
    }

    /// A prefix ends at a slash: /api is for /api and /api/x, not for /apis.
    pub(crate) fn is_for(&self, path: &[u8], reading: Reading) -> bool {
        let pattern = match reading {
            Reading::Narrow => &*self.narrow,
            Reading::Widest => &*self.widest,
        };
        match self.pattern {
            PathPattern::Exact(_) => path == pattern,
            PathPattern::Prefix(_) => {
                path.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            }
        }
    }

    /// The greater, the earlier it counts: a path alone before those below another, and of these the longest.
    pub(crate) fn rank(&self) -> (bool, usize) {
        (matches!(self.pattern, PathPattern::Exact(_)), self.narrow.len())
    }
}

fn without_end(path: &[u8]) -> &[u8] {
    let slashes = path.iter().rev().take_while(|byte| **byte == b'/').count();
    &path[..path.len() - slashes]
}
