//! An error and all its causes, in words for one line.

use std::error::Error;

/// The error and its causes from the outermost to the innermost, with colons between them.
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn every_cause_is_told_once_the_outermost_first() {
        let inner = Layer("the disk is full", None);
        let outer = Layer("cannot store", Some(Box::new(Layer("cannot write", Some(Box::new(inner))))));
        assert_eq!(in_full(&outer), "cannot store: cannot write: the disk is full");
        assert_eq!(in_full(&Layer("alone", None)), "alone");
    }
}
