//! What may be told of a file, and to whom: values that may be secrets are shown to nobody, and whoever is
//! not at this machine is told of places, not of lines.

use std::ops::Range;

/// What stands for a value that is not told.
const LEFT_OUT: &str = "\"…\"";
/// What stands for each character that is not shown.
const HIDDEN: char = '*';

/// A message without the values that it quotes.
pub(crate) fn without_values(message: &str) -> String {
    let mut told = String::new();
    let mut characters = message.chars();
    while let Some(character) = characters.next() {
        if character != '"' {
            told.push(character);
            continue;
        }
        // To the end of the quotation; a backslash takes the next one with it.
        while let Some(quoted) = characters.next().filter(|quoted| *quoted != '"') {
            if quoted == '\\' {
                characters.next();
            }
        }
        told.push_str(LEFT_OUT);
    }
    told
}

/// A line that begins at this place of the file, with what must not be seen of it covered, character by
/// character.
pub(crate) fn covered(line: &str, start: usize, hidden: &[Range<usize>]) -> String {
    let is_hidden = |at: usize| hidden.iter().any(|span| span.contains(&(start + at)));
    line.char_indices().map(|(at, character)| if is_hidden(at) { HIDDEN } else { character }).collect()
}

/// The values that may be those of an `env` in a text that is no TOML, where nobody can know: from a line
/// that names it to the next header, what stands behind the first equals sign, or all of a line without.
pub(crate) fn suspects(text: &str) -> Vec<Range<usize>> {
    let mut suspects = Vec::new();
    let (mut start, mut is_env) = (0, false);
    for line in text.split_inclusive('\n') {
        let key = line.split('=').next().unwrap_or_default();
        let names_env = key.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == "env");
        let is_header = line.trim_start().starts_with('[');
        // A table may stand in braces on one line, with the key somewhere in it.
        is_env = names_env || line.contains("env ") || line.contains("env=") || (is_env && !is_header);
        if is_env && !is_header {
            let value = line.find('=').map_or(start, |equals| start + equals + 1);
            suspects.push(value..start + line.trim_end().len().max(value - start));
        }
        start += line.len();
    }
    suspects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_words_and_loses_its_values() {
        for (message, told) in [
            ("unknown key `replcas`", "unknown key `replcas`"),
            (
                "`image` must be the name of an image; \"a \\\" b\" is not",
                "`image` must be the name of an image; \"…\" is not",
            ),
            ("two \"a\" and \"b\"", "two \"…\" and \"…\""),
            ("never \"closed", "never \"…\""),
        ] {
            assert_eq!(without_values(message), told);
        }
    }

    #[test]
    fn a_line_keeps_its_length_when_it_is_covered() {
        assert_eq!(covered("a = \"äb\" # c", 10, &[14..16, 16..19]), "a = **** # c");
        assert_eq!(covered("a = 1", 10, &[0..5, 20..30]), "a = 1");
    }

    #[test]
    fn what_may_be_an_environment_is_covered_in_a_broken_file() {
        for text in [
            "[[service]]\nenv = { PASSWORD = \"hunter2 }\nreplicas = 3\n",
            "[[service]]\nname = \"a\"\n[service.env]\nA = \"b\"\nPASSWORD = \"hunter2\n",
            "[[service]]\nenv.PASSWORD = \"hunter2\nreplicas = 3\n",
            "[[service]]\nenv = {\n  A = \"b\",\n  hunter2\n}\n",
            "service = [{ name = \"a\", env = { P = \"hunter2\" ]\n",
        ] {
            let hidden = suspects(text);
            assert!(!covered(text, 0, &hidden).contains("hunter2"), "{text}");
        }
        let text = "replicas = 3 4\n[[service]]\nname = \"environment\n";
        assert_eq!(suspects(text), [], "nothing else is covered");
    }
}
