//! The words of a command, and the places in them that are filled in: `{port}`, and `{{port}}` where the very
//! characters `{port}` are meant.

/// A part of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordPart<'w> {
    /// What stands there is meant.
    Text(&'w str),
    /// Something is to be filled in that is called so.
    Placeholder(&'w str),
}

/// The parts of a word. Braces around anything but a name, as in JSON, are text, and so is a name in double braces,
/// which are single ones then.
pub fn word_parts(word: &str) -> Vec<WordPart<'_>> {
    let (mut parts, mut text_from, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = word[at..].find('{') {
        let open = at + found;
        let is_doubled = word[open + 1..].starts_with('{');
        let name_from = open + 1 + usize::from(is_doubled);
        let Some(name) = name(&word[name_from..]) else {
            at = open + 1;
            continue;
        };
        let close = name_from + name.len() + 1;
        parts.push(WordPart::Text(&word[text_from..open]));
        match is_doubled {
            true => parts.push(WordPart::Text(&word[open + 1..close])),
            false => parts.push(WordPart::Placeholder(name)),
        }
        at = close + usize::from(is_doubled && word[close..].starts_with('}'));
        text_from = at;
    }
    parts.push(WordPart::Text(&word[text_from..]));
    parts.retain(|part| *part != WordPart::Text(""));
    parts
}

/// The name that a text begins with and that a brace closes.
fn name(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))?;
    (end > 0 && text[end..].starts_with('}')).then_some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_filled_in_and_those_in_double_ones_are_meant() {
        for (word, expected) in [
            ("--port={port}", "--port=<port>"),
            ("{name}-{seat}", "<name>-<seat>"),
            ("{{port}}", "{port}"),
            ("{{port}", "{port}"),
            ("a{{b}}{c}", "a{b}<c>"),
            ("{{{user}}}", "{{user}}"),
            ("{\"json\": {}}", "{\"json\": {}}"),
            ("{{.Go}} {{ jinja }}", "{{.Go}} {{ jinja }}"),
            ("{", "{"),
            ("{port", "{port"),
            ("{ä}", "{ä}"),
            ("", ""),
        ] {
            let told: String = word_parts(word)
                .into_iter()
                .map(|part| match part {
                    WordPart::Text(text) => text.to_owned(),
                    WordPart::Placeholder(name) => format!("<{name}>"),
                })
                .collect();
            assert_eq!(told, expected, "{word}");
        }
    }
}
