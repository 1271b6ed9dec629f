//! The text forms of what requests are routed by: hosts, paths, names of listeners, and where they are sent
//! elsewhere. Each function is pure; what it finds wrong is worded to follow the name of the key.

use proxy::PathPattern;

use crate::entry::{Entry, Kind};
use crate::form::{Form, List, Text};
use crate::problem::Wrong;
use crate::value::{Parsed, must_be};

const HOST_CHARS_MAX: usize = 253;
const PATH_CHARS_MAX: usize = 1024;
const MEDIA_TYPE_CHARS_MAX: usize = 100;
/// What `paths` was set to before it listed paths.
const OLD_VALUES_OF_PATHS: [&str; 3] = ["normalize", "refuse", "as-sent"];

/// `*`, a host name, or `*.` and a host name; in lower case.
pub(crate) fn host(text: &str) -> Parsed<String> {
    let host = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_framed = label.starts_with('-') || label.ends_with('-');
        (1..=63).contains(&label.len()) && label.chars().all(is_legal) && !is_framed
    };
    let name = host.strip_prefix("*.").unwrap_or(&host);
    if host == "*" || (host.len() <= HOST_CHARS_MAX && name.split('.').all(is_label)) {
        return Ok(host);
    }
    let help = if host.contains(':') {
        "a host is named without its scheme and port"
    } else {
        "for example \"example.org\", \"*.example.org\", or \"*\" for every host"
    };
    Err(must_be("a host name", text).help(help))
}

/// The name of a host, in lower case.
pub(crate) fn host_name(text: &str) -> Parsed<String> {
    let help = "each name that is meant stands for itself, for example \"balancer.example.org\"";
    let name = host(text).ok().filter(|host| !host.starts_with('*'));
    name.ok_or_else(|| must_be("the name of a host, without a port", text).help(help))
}

/// What services call a listener by.
pub(crate) fn listener_name(text: &str) -> Parsed<String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let fits = (1..=32).contains(&text.len()) && text.chars().all(is_legal);
    let form = "1 to 32 characters of A-Z, a-z, 0-9, \"_\" and \"-\"";
    fits.then(|| text.to_owned()).ok_or_else(|| must_be(form, text))
}

/// Which paths are meant: one and those below it, or behind a `=` one alone.
pub(crate) fn path_pattern(text: &str) -> Parsed<PathPattern> {
    match text.strip_prefix(PathPattern::EXACT_SIGN) {
        Some(path) => plain_path(path.trim_start()).map(PathPattern::Exact),
        None => plain_path(text).map(PathPattern::Prefix),
    }
}

/// A path in its normal form.
pub(crate) fn plain_path(text: &str) -> Parsed<String> {
    let path = path_without(text, &['?', '#'], "a path that begins with \"/\", without a query")?;
    let mut normal = Vec::new();
    match h1::normal_path(path.as_bytes(), &mut normal) {
        Ok(()) if normal == path.as_bytes() => Ok(path),
        // Requests come in the normal form only.
        Ok(()) => {
            let normal = String::from_utf8_lossy(&normal);
            Err(Wrong::new(format!("must be in normal form; {text:?} is not"))
                .help(format!("write {normal:?}")))
        }
        Err(odd) => Err(Wrong::new(format!("cannot be {text:?}: {odd}"))),
    }
}

/// The beginning of paths: a path in its normal form, without a slash at its end.
pub(crate) fn prefix(text: &str) -> Parsed<String> {
    let path = plain_path(text)?;
    if path.ends_with('/') {
        let wrong = must_be("a path without a slash at its end", text);
        let shorter = path.trim_end_matches('/');
        return Err(if shorter.is_empty() { wrong } else { wrong.help(format!("write {shorter:?}")) });
    }
    Ok(path)
}

/// A media type, all subtypes of one, or a suffix of subtypes; in lower case.
pub(crate) fn media_type(text: &str) -> Parsed<String> {
    let is_word = |word: &str| {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        (1..=MEDIA_TYPE_CHARS_MAX).contains(&word.len()) && word.chars().all(is_legal)
    };
    let is_one = match text.split_once('/') {
        Some(("*", "*")) => true,
        Some((kind, "*")) => is_word(kind),
        Some((kind, subtype)) => is_word(kind) && is_word(subtype),
        None => text.strip_prefix('+').is_some_and(is_word),
    };
    let help = "for example \"text/html\", \"text/*\", or \"+json\" for all that end so; without parameters";
    is_one.then(|| text.to_ascii_lowercase()).ok_or_else(|| must_be("a media type", text).help(help))
}

/// What a heartbeat requests; a query is allowed.
pub(crate) fn heartbeat_path(text: &str) -> Parsed<String> {
    path_without(text, &['#'], "a path that begins with \"/\"")
}

fn path_without(text: &str, forbidden: &[char], form: &str) -> Parsed<String> {
    let is_legal = |c: char| c.is_ascii_graphic() && !forbidden.contains(&c);
    if text.starts_with('/') && text.len() <= PATH_CHARS_MAX && text.chars().all(is_legal) {
        return Ok(text.to_owned());
    }
    let wrong = must_be(form, text);
    Err(if text.starts_with('/') { wrong } else { wrong.help(format!("perhaps \"/{text}\"")) })
}

/// Where requests are sent elsewhere: a path here, or another host by its scheme. Nothing in it can be read as
/// another host than the one that is written there.
pub(crate) fn redirect_target(text: &str) -> Parsed<String> {
    let help = "for example \"https://example.org\", \"https://example.org/new\" or \"/new\"";
    let form = "a path, or https:// and a host, and maybe a path";
    let wrong = || must_be(form, text).help(help);
    let is_legal = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
    if text.len() > PATH_CHARS_MAX || !text.chars().all(is_legal) {
        return Err(wrong());
    }
    let rest = text.strip_prefix("https://").or(text.strip_prefix("http://"));
    let Some(rest) = rest else {
        // A second slash would make a host of what follows.
        let is_path = text.starts_with('/') && !text.starts_with("//");
        return is_path.then(|| text.to_owned()).ok_or_else(wrong);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (name, port) = match rest[..end].rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (&rest[..end], None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0));
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host_name(name).is_ok(),
    };
    if is_host && is_port { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// The host that such a target names, in lower case and without its port; none if it is a path here.
pub(crate) fn host_of_target(target: &str) -> Option<String> {
    let rest = target.split_once("://")?.1;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let name = match rest[..end].rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => &rest[..end],
    };
    Some(name.to_ascii_lowercase())
}

/// The path of such a target, without what follows it; a slash if there is none.
pub(crate) fn path_of_target(target: &str) -> &str {
    let rest =
        target.split_once("://").map_or(target, |(_, rest)| &rest[rest.find('/').unwrap_or(rest.len())..]);
    let path = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    if path.is_empty() { "/" } else { path }
}

/// A list of paths under a key that had another meaning before.
#[derive(Clone, Copy)]
pub(crate) struct Paths {
    pub(crate) most: usize,
}

impl Paths {
    fn list(self) -> List<Text<PathPattern>> {
        let each = Text::of("string", path_pattern);
        List { each, example: "paths = [\"/api\", \"=/health\"]", most: Some(self.most) }
    }
}

impl Form<Vec<PathPattern>> for Paths {
    fn kind(&self) -> &'static str {
        "array of strings"
    }

    fn limits(&self) -> String {
        self.list().limits()
    }

    fn show(&self, value: &Vec<PathPattern>) -> String {
        self.list().show(value)
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<Vec<PathPattern>> {
        let old = entry.value.get_ref().as_str().filter(|text| OLD_VALUES_OF_PATHS.contains(text));
        if let Some(old) = old {
            let wrong = Wrong::new(format!("must be an array of {}, not a string", Kind::Text.are()));
            entry.note(
                wrong.help(format!(
                    "what becomes of odd paths is `path_form` now: write path_form = \"{old}\""
                )),
            );
            return None;
        }
        self.list().read(entry)
    }
}
