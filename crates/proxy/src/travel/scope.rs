//! Which requests a service or a redirect is for, as the configuration says it. How it is looked for among
//! many is in `routes`.

use std::fmt;

/// Which requests somebody is for: those to one of these hosts with one of these paths, on these listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Each `*`, a host name in lower case, or `*.` and the rest of one.
    pub hosts: Vec<String>,
    /// Which paths.
    pub paths: Vec<PathPattern>,
    /// The names of the listeners that requests may come in by; without any, they may by each.
    pub listeners: Vec<String>,
    /// Whether those are meant, too, that nobody else is for.
    pub is_default: bool,
}

/// Which paths are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This one, and those below it. Begins with a slash.
    Prefix(String),
    /// This one alone. Begins with a slash.
    Exact(String),
}

impl Scope {
    /// Every request with a path at or below this one.
    pub fn at(path: &str) -> Self {
        Self { paths: vec![PathPattern::Prefix(path.to_owned())], ..Self::default() }
    }

    /// No request.
    pub fn nothing() -> Self {
        Self { hosts: Vec::new(), paths: Vec::new(), ..Self::default() }
    }
}

impl Default for Scope {
    /// Every request.
    fn default() -> Self {
        Self {
            hosts: vec!["*".to_owned()],
            paths: vec![PathPattern::Prefix("/".to_owned())],
            listeners: Vec::new(),
            is_default: false,
        }
    }
}

impl PathPattern {
    /// What stands before a path that alone is meant, as nginx has it.
    pub const EXACT_SIGN: char = '=';

    /// The path, without what says how it is meant.
    pub fn path(&self) -> &str {
        match self {
            Self::Prefix(path) | Self::Exact(path) => path,
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(path) => f.write_str(path),
            Self::Exact(path) => write!(f, "{}{path}", Self::EXACT_SIGN),
        }
    }
}
