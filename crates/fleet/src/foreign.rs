//! Text that others wrote, made harmless for whoever reads it.
//!
//! A replica, an image, an engine or a client chooses what stands in its words. On a terminal some
//! characters are orders, and in a log some look like the end of a line. Here they become visible and
//! mean nothing any more; every way out goes through one of these functions.

use std::borrow::Cow;
use std::fmt::Write;

/// More characters of one text than these are not shown where there is one line for it.
pub const FOREIGN_CHARS_MAX: usize = 16 * 1024;

/// How a character is written that must not pass.
#[derive(Clone, Copy)]
enum Notation {
    /// As Rust writes it: `\u{1b}`, `\r`.
    Text,
    /// As JSON writes it in a string: `\u001b`.
    Json,
}

/// A text for one line: control characters of all kinds, line ends too, become visible, and what is
/// longer than [`FOREIGN_CHARS_MAX`] is cut and says so. A tab stays.
///
/// ```
/// assert_eq!(fleet::harmless("\u{1b}[2Jall is well\r\n"), r"\u{1b}[2Jall is well\r\n");
/// assert_eq!(fleet::harmless("grüße"), "grüße");
/// ```
pub fn harmless(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(FOREIGN_CHARS_MAX) {
        None => escaped(text, Notation::Text, |character| character == '\t'),
        Some((end, _)) => {
            let start = escaped(&text[..end], Notation::Text, |character| character == '\t');
            Cow::Owned(format!("{start}… ({} more bytes)", text.len() - end))
        }
    }
}

/// A text of several lines, whose ends stay. Whoever puts lines of others into it has made them
/// [`harmless`] before, each for itself.
pub fn harmless_lines(text: &str) -> Cow<'_, str> {
    escaped(text, Notation::Text, |character| matches!(character, '\t' | '\n'))
}

/// A text that is JSON, with the same meaning: what would be an order to a terminal stands in it as JSON
/// can write it, too. Characters of that kind outside of strings are no JSON.
///
/// ```
/// let json = "{\"last_output\":\"\u{9b}2J\"}";
/// assert_eq!(fleet::harmless_json(json), r#"{"last_output":"\u009b2J"}"#);
/// ```
pub fn harmless_json(text: &str) -> Cow<'_, str> {
    escaped(text, Notation::Json, |character| matches!(character, '\t' | '\n'))
}

fn escaped(text: &str, notation: Notation, may_stay: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_plain = |byte: &u8| (b' '..0x7f).contains(byte);
    if text.as_bytes().iter().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let must_go = |character: char| is_order(character) && !may_stay(character);
    if !text.contains(must_go) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match (must_go(character), notation) {
            (false, _) => escaped.push(character),
            (true, Notation::Text) => escaped.extend(character.escape_default()),
            (true, Notation::Json) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(escaped, "\\u{unit:04x}").expect("a string takes all that is written");
                }
            }
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character does something instead of standing for something: C0, DEL and C1, line and
/// paragraph separators, and what turns the direction of text or hides in it.
fn is_order(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character that is an order, as the standards list them.
    fn orders() -> impl Iterator<Item = char> {
        let c0 = '\0'..='\u{1f}';
        let c1 = '\u{7f}'..='\u{9f}';
        let bidi = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        c0.chain(c1).chain(bidi).chain(['\u{2028}', '\u{2029}', '\u{200e}', '\u{200f}', '\u{e0041}'])
    }

    #[test]
    fn no_order_passes_on_any_way_out() {
        for order in orders() {
            let text = format!("a{order}b");
            let one = harmless(&text).into_owned();
            assert_eq!(one.contains(order), order == '\t', "{order:?} in {one}");
            let lines = harmless_lines(&text).into_owned();
            assert_eq!(lines.contains(order), matches!(order, '\t' | '\n'), "{order:?} in {lines}");
        }
    }

    #[test]
    fn json_means_the_same_afterwards() {
        for order in orders() {
            let text = format!("ä{order}\"\\b");
            let json = serde_json::to_string(&text).unwrap();
            let shown = harmless_json(&json);
            assert!(!shown.contains(order), "{order:?} in {shown}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }

    #[test]
    fn what_is_harmless_is_not_copied() {
        for text in ["", "plain", "grüße, 世界 🦀 👩‍🚒", "tab\tstays"] {
            assert!(matches!(harmless(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn what_has_no_end_is_cut_and_says_so() {
        let shown = harmless(&"ä".repeat(FOREIGN_CHARS_MAX + 2)).into_owned();
        assert!(shown.ends_with("ä… (4 more bytes)"), "{}", &shown[shown.len() - 40..]);
        assert_eq!(shown.chars().count(), FOREIGN_CHARS_MAX + "… (4 more bytes)".chars().count());
    }
}
