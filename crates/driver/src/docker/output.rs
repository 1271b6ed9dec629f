//! What a container wrote, as the engine gives it away: in pieces that do not end with lines.

use crate::last_lines::LastLines;

/// How much of each line is kept.
const LINE_BYTES_MAX: usize = 400;

/// Keeps the last lines of an output that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct Output {
    whole: LastLines,
    rest: Vec<u8>,
}

impl Output {
    /// Takes in the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.rest.len());
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            self.rest.extend(text.iter().take(room));
            if text.len() < part.len() {
                self.end_line();
            }
        }
    }

    /// The last lines, the oldest first.
    pub(super) fn finish(mut self) -> Vec<String> {
        self.end_line();
        self.whole.to_vec()
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.rest).trim_end().to_string();
        self.rest.clear();
        if !line.is_empty() {
            self.whole.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::last_lines::LAST_LINES_MAX;

    #[test]
    fn only_the_last_lines_are_kept_and_only_their_beginnings() {
        let mut lines = Output::default();
        for number in 0..30 {
            lines.push(format!("line {number}\r\n\n").as_bytes());
        }
        lines.push(b"in two ");
        lines.push(b"pieces\nand unfinished ");
        lines.push(&[b'x'; 1000]);
        let lines = lines.finish();
        assert_eq!(lines.len(), LAST_LINES_MAX);
        assert_eq!((lines[0].as_str(), lines[18].as_str()), ("line 12", "in two pieces"));
        assert_eq!(lines[19].len(), LINE_BYTES_MAX);
    }
}
