//! The last lines that a replica wrote, which explain its exit.

use std::collections::VecDeque;

/// How many are kept.
pub(crate) const LAST_LINES_MAX: usize = 20;

/// The last [`LAST_LINES_MAX`] lines of an output.
#[derive(Debug, Default)]
pub(crate) struct LastLines(VecDeque<String>);

impl LastLines {
    /// Takes in the next line; the oldest goes when there are too many.
    pub(crate) fn push(&mut self, line: String) {
        if self.0.len() == LAST_LINES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// The lines, the oldest first.
    pub(crate) fn to_vec(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_line_goes_when_there_are_too_many() {
        let mut lines = LastLines::default();
        for number in 0..LAST_LINES_MAX + 2 {
            lines.push(number.to_string());
        }
        let kept = lines.to_vec();
        assert_eq!((kept.len(), kept[0].as_str(), kept[19].as_str()), (LAST_LINES_MAX, "2", "21"));
    }
}
