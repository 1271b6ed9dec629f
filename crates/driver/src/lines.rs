//! Lines out of what a replica writes, as many as it may have told: the rest is counted, and that is told.
//!
//! Pure but for the clock, which is an argument. The last lines are kept in any case, because they explain an
//! end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::following::Told;
use crate::last_lines::LAST_LINES_MAX;

/// How much of one stream of a replica is told in a second.
const LINES_PER_SECOND_MAX: u32 = 1000;
const BYTES_PER_SECOND_MAX: usize = 1 << 20;

/// A longer line is passed on in pieces of this size.
const LINE_BYTES_MAX: usize = 4096;

const SECOND: Duration = Duration::from_secs(1);

/// How much was told, in the second that began at some time.
#[derive(Debug)]
pub(crate) struct Allowance {
    since: Instant,
    lines: u32,
    bytes: usize,
}

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, lines: 0, bytes: 0 }
    }

    /// Takes so much of it, if there is so much left.
    pub(crate) fn take(&mut self, lines: u32, bytes: usize) -> bool {
        let is_left =
            self.lines + lines <= LINES_PER_SECOND_MAX && self.bytes + bytes <= BYTES_PER_SECOND_MAX;
        if is_left {
            self.lines += lines;
            self.bytes += bytes;
        }
        is_left
    }

    /// Begins the next second, if it is time; says whether it did.
    pub(crate) fn renew(&mut self, now: Instant) -> bool {
        let is_over = now.saturating_duration_since(self.since) >= SECOND;
        if is_over {
            *self = Self::new(now);
        }
        is_over
    }

    /// When the next second begins.
    pub(crate) fn renewed_at(&self) -> Instant {
        self.since + SECOND
    }
}

/// One stream of a replica.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    allowance: Allowance,
    left_out: u64,
    told: Arc<Told>,
}

impl Lines {
    /// One that begins now; its lines go there, too.
    pub(crate) fn new(now: Instant, told: Arc<Told>) -> Self {
        Self { rest: Vec::new(), allowance: Allowance::new(now), left_out: 0, told }
    }

    /// Whether lines were left out of which nothing was told yet.
    pub(crate) fn has_left_out(&self) -> bool {
        self.left_out > 0
    }

    /// When that is to be told.
    pub(crate) fn due(&self) -> Instant {
        self.allowance.renewed_at()
    }

    /// Takes in what was written, and hands out the lines that may be told.
    pub(crate) fn take(&mut self, block: &[u8], now: Instant, tell: &mut impl FnMut(&str)) {
        self.look(now, tell);
        let mut block = block;
        while let Some(length) = self.line_in(block) {
            if !self.allowance.take(1, self.rest.len() + length) {
                return self.leave_out(block);
            }
            let (line, after) = block.split_at(length);
            self.rest.extend_from_slice(line);
            let text = text(&self.rest);
            tell(&text);
            self.told.tell(text);
            self.rest.clear();
            block = after;
        }
        if self.line_in(block).is_none() {
            self.rest.extend_from_slice(block);
        }
    }

    /// Tells of what was left out, if it is time.
    pub(crate) fn look(&mut self, now: Instant, tell: &mut impl FnMut(&str)) {
        if self.allowance.renew(now) && self.left_out > 0 {
            self.tell_left_out(tell);
        }
    }

    /// The stream has ended.
    pub(crate) fn finish(&mut self, tell: &mut impl FnMut(&str)) {
        if self.left_out > 0 {
            self.tell_left_out(tell);
        }
        if !self.rest.is_empty() {
            let text = text(&std::mem::take(&mut self.rest));
            tell(&text);
            self.told.tell(text);
        }
    }

    /// How long the rest of the line is that ends in this block, or that is as long as one may be.
    fn line_in(&self, block: &[u8]) -> Option<usize> {
        let room = LINE_BYTES_MAX - self.rest.len();
        let end = block.iter().take(room).position(|byte| *byte == b'\n').map(|at| at + 1);
        end.or((block.len() >= room).then_some(room))
    }

    /// Counts the lines of a block, and keeps the last of them and the beginning of the next.
    fn leave_out(&mut self, block: &[u8]) {
        let ends = block.iter().filter(|byte| **byte == b'\n').count();
        self.left_out += (ends as u64).max(1);
        let (whole, begun) = match block.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => block.split_at(end + 1),
            None => (&block[..0], block),
        };
        let mut latest: Vec<&[u8]> =
            whole.rsplit(|byte| *byte == b'\n').skip(1).take(LAST_LINES_MAX).collect();
        latest.reverse();
        self.told.keep(latest.into_iter().map(|line| text(&line[..line.len().min(LINE_BYTES_MAX)])));
        self.rest.clear();
        self.rest.extend_from_slice(&begun[..begun.len().min(LINE_BYTES_MAX - 1)]);
    }

    fn tell_left_out(&mut self, tell: &mut impl FnMut(&str)) {
        let count = std::mem::take(&mut self.left_out);
        let plural = if count == 1 { "" } else { "s" };
        let words = format!(
            "… {count} line{plural} left out: it writes more than {LINES_PER_SECOND_MAX} lines or 1 MiB a second"
        );
        tell(&words);
        self.told.remark(&words);
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(blocks: &[&[u8]]) -> [Vec<String>; 2] {
        let now = Instant::now();
        let (kept, mut told) = (Arc::<Told>::default(), Vec::new());
        let mut lines = Lines::new(now, Arc::clone(&kept));
        for block in blocks {
            lines.take(block, now, &mut |line| told.push(line.to_owned()));
        }
        lines.finish(&mut |line| told.push(line.to_owned()));
        [told, kept.last_lines()]
    }

    #[test]
    fn lines_are_told_whole_however_they_come() {
        let [lines, last] = told(&[b"one\ntw", b"o\r\n\nthr", b"ee"]);
        assert_eq!(lines, ["one", "two", "", "three"]);
        assert_eq!(lines, last);
    }

    #[test]
    fn a_line_without_an_end_is_told_in_pieces() {
        let [lines, _] = told(&[&[b'x'; 3000], &[b'y'; 3000], b"\n"]);
        assert_eq!(
            lines.iter().map(String::len).collect::<Vec<_>>(),
            [LINE_BYTES_MAX, 6000 - LINE_BYTES_MAX]
        );
    }

    #[test]
    fn what_is_too_much_is_counted_and_its_last_lines_are_kept() {
        let many: String = (0..5000).map(|number| format!("line {number}\n")).collect();
        let [lines, last] = told(&[many.as_bytes(), b"the end\n"]);
        assert_eq!(lines.len(), LINES_PER_SECOND_MAX as usize + 1);
        assert!(lines[1000].starts_with("… 4001 lines left out"), "{}", lines[1000]);
        assert_eq!(last.len(), LAST_LINES_MAX);
        assert_eq!((last[18].as_str(), last[19].as_str()), ("line 4999", "the end"));
    }

    #[test]
    fn every_second_has_its_own_allowance_and_begins_with_what_was_left_out() {
        let begun = Instant::now();
        let (mut lines, mut told) = (Lines::new(begun, Arc::default()), Vec::new());
        let mut tell = |line: &str| told.push(line.to_owned());
        let long = [b'x'; LINE_BYTES_MAX - 1];
        for _ in 0..300 {
            lines.take(&long, begun, &mut tell);
            lines.take(b"\n", begun, &mut tell);
        }
        assert!(lines.has_left_out());
        lines.take(b"again\n", lines.due(), &mut tell);
        assert_eq!(told.len(), BYTES_PER_SECOND_MAX / LINE_BYTES_MAX + 2);
        assert!(told[256].starts_with("… 44 lines left out") && told[257] == "again", "{:?}", &told[256..]);
    }
}
