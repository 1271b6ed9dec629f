//! The text forms of what is said of files that are served: names, endings, media types and what goes with them.
//! Each function is pure; what it finds wrong is worded to follow the name of the key.

use proxy::Statuses;

use crate::value::{Parsed, must_be};

const NAME_BYTES_MAX: usize = 255;
const PATH_BYTES_MAX: usize = 1024;
const MEDIA_TYPE_CHARS_MAX: usize = 200;
const CHARSET_CHARS_MAX: usize = 40;

/// What a file is called, or the end of that.
pub(crate) fn file_name(text: &str) -> Parsed<String> {
    if is_file_name(text) {
        return Ok(text.to_owned());
    }
    Err(must_be("the name of a file, without a slash", text).help("for example \"index.html\""))
}

/// The path of a file below a folder, as it is on the disk, with a slash before it.
pub(crate) fn file_path(text: &str) -> Parsed<String> {
    let names = text.strip_prefix('/').filter(|_| text.len() <= PATH_BYTES_MAX);
    if names.is_some_and(|names| names.split('/').all(is_file_name)) {
        return Ok(text.to_owned());
    }
    let help = "it begins at `root`, for example \"/index.html\"";
    Err(must_be("the path of a file that begins with \"/\", without \".\", \"..\" and empty names", text)
        .help(help))
}

fn is_file_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !matches!(text, "." | "..") && !text.contains(['/', '\0'])
}

/// How the names of some files end.
pub(crate) fn ending(text: &str) -> Parsed<String> {
    if text.starts_with('.') && text.len() > 1 && is_file_name(text) {
        return Ok(text.to_owned());
    }
    Err(must_be("how names end, with a dot before it", text).help("for example \".wasm\""))
}

/// Files below a path, or those with an ending.
pub(crate) fn path_or_ending(text: &str) -> Parsed<String> {
    let path = text.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(text);
    if text == "/" || file_path(path).is_ok() || ending(text).is_ok() {
        return Ok(text.to_owned());
    }
    let help = "for example \"/assets/\" or \".html\"";
    Err(must_be("a path that begins with \"/\", or an ending that begins with \".\"", text).help(help))
}

/// A media type, maybe with parameters.
pub(crate) fn content_type(text: &str) -> Parsed<String> {
    let is_word = |word: &str| {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        !word.is_empty() && word.chars().all(is_legal)
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_type = essence.split_once('/').is_some_and(|(kind, subtype)| is_word(kind) && is_word(subtype));
    let is_plain = parameters.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if text.len() <= MEDIA_TYPE_CHARS_MAX && is_type && is_plain && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(must_be("a media type", text)
        .help("for example \"application/wasm\" or \"text/plain; charset=utf-8\""))
}

/// What the characters of text files are; nothing is said of them if it is empty.
pub(crate) fn charset(text: &str) -> Parsed<Option<String>> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-_.:+".contains(c);
    if text.len() <= CHARSET_CHARS_MAX && text.chars().all(is_legal) {
        return Ok(Some(text.to_owned()).filter(|text| !text.is_empty()));
    }
    Err(must_be("the name of a character set, or empty", text).help("for example \"utf-8\""))
}

/// An error by its status, or all of its kind.
pub(crate) fn statuses(text: &str) -> Parsed<Statuses> {
    let statuses = match text {
        "4xx" => Some(Statuses::Class(4)),
        "5xx" => Some(Statuses::Class(5)),
        _ => text
            .parse()
            .ok()
            .filter(|status| text.len() == 3 && (400..600).contains(status))
            .map(Statuses::One),
    };
    statuses.ok_or_else(|| must_be("a status from 400 to 599, or `4xx` or `5xx`", text))
}
