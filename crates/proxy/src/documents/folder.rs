//! The folder that a service answers from, and what is said of its files: where it is, which file stands for a
//! folder, what is tried where there is none, and for how long browsers may keep one. It reads nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::policies::compression::coding::Coding;

/// What is said of a file of which nothing else is known.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Which files a service has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where they are. It may be a symbolic link, and is found anew for each request.
    pub root: PathBuf,
    /// The names of the file that stands for a folder; the first that there is.
    pub index: Vec<String>,
    /// What is put behind a path that has no file, as `.html`; the first that leads to one.
    pub suffixes: Vec<String>,
    /// The path of the file that is sent where there is none.
    pub fallback: Option<String>,
    /// Whether names that begin with a dot are for clients, beside `/.well-known`.
    pub has_hidden: bool,
    /// In which codings there may be a file beside another one: `app.js.br` beside `app.js`.
    pub precompressed: Vec<Coding>,
    /// What the characters of text files are; nothing is said of them without it.
    pub charset: Option<String>,
    /// Media types by the endings of names, as `.wasm`, before those that are usual.
    pub content_types: BTreeMap<String, String>,
    /// `Cache-Control` of all files,
    pub cache_control: Option<String>,
    /// and of those below some paths (`/assets/`) or with some endings (`.html`); the longest path counts, then
    /// the longest ending.
    pub cache_control_of: BTreeMap<String, String>,
}

impl Default for Folder {
    fn default() -> Self {
        Self {
            root: PathBuf::new(),
            index: vec!["index.html".to_owned()],
            suffixes: Vec::new(),
            fallback: None,
            has_hidden: false,
            precompressed: Vec::new(),
            charset: Some("utf-8".to_owned()),
            content_types: BTreeMap::new(),
            cache_control: None,
            cache_control_of: BTreeMap::new(),
        }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answers with a file below {}", self.root.display())?;
        if let Some(fallback) = &self.fallback {
            write!(f, ", or else with {fallback}")?;
        }
        Ok(())
    }
}

impl Folder {
    /// The `Content-Type` of a file with this name.
    pub(crate) fn content_type(&self, path: &[u8]) -> String {
        if let Some((_, given)) = longest(&self.content_types, |ending| path.ends_with(ending)) {
            return given.clone();
        }
        usual_type(path, self.charset.as_deref())
    }

    /// The `Cache-Control` of a file with this path, which begins with a slash.
    pub(crate) fn cache_control(&self, path: &[u8]) -> Option<&str> {
        let is_path = |given: &[u8]| {
            let Some(rest) = path.strip_prefix(given) else { return false };
            given.starts_with(b"/") && (given.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/"))
        };
        let is_ending = |given: &[u8]| !given.starts_with(b"/") && path.ends_with(given);
        let special =
            longest(&self.cache_control_of, is_path).or_else(|| longest(&self.cache_control_of, is_ending));
        special.map(|(_, given)| given).or(self.cache_control.as_ref()).map(String::as_str)
    }
}

/// What files with such a name usually are; text is in these characters.
pub(crate) fn usual_type(path: &[u8], charset: Option<&str>) -> String {
    let name = String::from_utf8_lossy(path);
    let guessed = mime_guess::from_path(&*name).first_raw().unwrap_or(UNKNOWN_TYPE);
    match charset {
        Some(charset) if guessed.starts_with("text/") => format!("{guessed}; charset={charset}"),
        _ => guessed.to_owned(),
    }
}

/// The one with the longest name of those that fit.
fn longest(all: &BTreeMap<String, String>, fits: impl Fn(&[u8]) -> bool) -> Option<(&String, &String)> {
    all.iter().filter(|(name, _)| fits(name.as_bytes())).max_by_key(|(name, _)| name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_file_is_of_the_type_that_its_name_says() {
        let folder = Folder {
            content_types: table(&[(".log", "text/plain"), (".tar.gz", "application/x-tar+gzip")]),
            ..Folder::default()
        };
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/app.js", "text/javascript; charset=utf-8"),
            ("a/app.mjs", "application/javascript"),
            ("style.CSS", "text/css; charset=utf-8"),
            ("data.json", "application/json"),
            ("module.wasm", "application/wasm"),
            ("logo.svg", "image/svg+xml"),
            ("photo.jpeg", "image/jpeg"),
            ("font.woff2", "font/woff2"),
            ("x.log", "text/plain"),
            ("x.tar.gz", "application/x-tar+gzip"),
            ("no ending", "application/octet-stream"),
            ("x.who-knows", "application/octet-stream"),
        ] {
            assert_eq!(folder.content_type(path.as_bytes()), expected, "{path}");
        }
        let silent = Folder { charset: None, ..Folder::default() };
        assert_eq!(silent.content_type(b"index.html"), "text/html");
    }

    #[test]
    fn the_longest_path_says_how_long_a_file_may_be_kept_and_then_the_longest_ending() {
        let folder = Folder {
            cache_control: Some("max-age=60".to_owned()),
            cache_control_of: table(&[
                ("/assets", "immutable"),
                ("/assets/raw/", "no-store"),
                (".html", "no-cache"),
                (".min.html", "private"),
            ]),
            ..Folder::default()
        };
        for (path, expected) in [
            ("/x.png", "max-age=60"),
            ("/index.html", "no-cache"),
            ("/index.min.html", "private"),
            ("/assets/index.html", "immutable"),
            ("/assets", "immutable"),
            ("/assets2/x.png", "max-age=60"),
            ("/assets/raw/x", "no-store"),
        ] {
            assert_eq!(folder.cache_control(path.as_bytes()), Some(expected), "{path}");
        }
        assert_eq!(Folder::default().cache_control(b"/x"), None);
    }
}
