//! What every file owes its reader: what it owns, an end in sight, and no unfinished thought.

use crate::house::{Source, sources};

const FILE_LINES_MAX: usize = 500;
/// A file that the program is made of has one idea. Tests may have a longer list of cases.
const SOURCE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Words that stand for a thought that was not finished. They are put together here, so that this
/// file does not hold them.
fn banned() -> Vec<String> {
    let words =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["todo", "!("], ["unimplemented", "!("], ["dbg", "!("]];
    words.iter().map(|parts| parts.concat()).collect()
}

#[test]
fn every_file_says_what_it_owns_and_stays_short() {
    for Source { path, text, is_test, .. } in sources() {
        assert!(text.starts_with("//!"), "{} does not say what it owns", path.display());
        let most = if is_test { FILE_LINES_MAX } else { SOURCE_LINES_MAX };
        let lines = text.lines().count();
        assert!(lines <= most, "{} has {lines} lines, of {most} at most", path.display());
    }
}

#[test]
fn every_function_fits_on_a_screen() {
    for Source { path, text, .. } in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if !is_function(line.trim_start()) {
                continue;
            }
            // The code is formatted: a function ends at the first brace on its own indentation.
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|line| **line == end).unwrap_or(0) + 1;
            assert!(length <= FUNCTION_LINES_MAX, "{}:{} has {length} lines", path.display(), start + 1);
        }
    }
}

fn is_function(line: &str) -> bool {
    let words = line.split(' ').take_while(|word| !word.contains('('));
    let mut words = words.chain(line.split('(').next().and_then(|head| head.split(' ').next_back()));
    line.contains("fn ") && !line.ends_with(';') && !line.starts_with("//") && words.any(|word| word == "fn")
}

#[test]
fn no_unfinished_thought_is_left_in_the_code() {
    for Source { path, text, is_test, .. } in sources() {
        for word in banned() {
            assert!(!text.contains(&word), "{} contains {word}", path.display());
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert!(
            is_test || !code.contains("use super::*"),
            "{} imports everything from above",
            path.display()
        );
    }
}
