//! The words of commands, and the places in them that are filled in.

use driver::{WordPart, word_parts};

use crate::problem::Wrong;
use crate::suggest;
use crate::value::{Parsed, must_be};

/// The placeholders of a command.
const PLACEHOLDERS: [&str; 4] = ["port", "socket", "name", "seat"];

/// One word of a command, with its placeholders checked.
pub(crate) fn command_word(text: &str) -> Parsed<String> {
    if text.contains('\0') {
        return Err(must_be("without NUL characters", text));
    }
    for part in word_parts(text) {
        let WordPart::Placeholder(name) = part else { continue };
        if !PLACEHOLDERS.contains(&name) {
            let placeholders = PLACEHOLDERS.map(|known| format!("{{{known}}}"));
            let known = placeholders.each_ref().map(String::as_str);
            let help = suggest::help(&format!("{{{name}}}"), &known, '`');
            let help = format!("{help} (`{{{{{name}}}}}` is the very word in braces)");
            return Err(Wrong::new(format!("has no placeholder `{{{name}}}`")).help(help));
        }
    }
    Ok(text.to_owned())
}

/// Whether something is to be filled in there that is called so.
pub(crate) fn has_placeholder(word: &str, name: &str) -> bool {
    word_parts(word).contains(&WordPart::Placeholder(name))
}
