//! What a container writes, as the engine tells it: both streams, line by line, at a pace that costs nobody
//! else anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use fleet::Life;
use futures_util::stream::StreamExt;

use super::engine::Engine;
use super::errors::CallError;
use super::witness::{LATE_WORDS_LIMIT, Witness};
use crate::Extent;
use crate::following::Told;
use crate::lines::Lines;

/// How much of what is too much is read before others have their turn.
const BLOCK_BYTES: usize = 64 << 10;

/// How long they have it: one that writes too much has some 6 MB a second then.
const PACE: Duration = Duration::from_millis(10);

/// The output of one container.
pub(super) struct Output {
    pub(super) life: Life,
    pub(super) container: String,
    pub(super) witness: Witness,
}

impl Output {
    /// Tells the last lines, and what comes until the container ends.
    pub(super) async fn tell(self, extent: Extent, told: Arc<Told>) {
        let engine = &self.witness.engine;
        match extent {
            Extent::UntilItsEnd => {
                if read(engine, &self.container, extent, &told).await.is_ok() {
                    self.tell_last_words(&told).await;
                }
            }
            Extent::LastLines => {
                let reading = read(engine, &self.container, extent, &told);
                if tokio::time::timeout(LATE_WORDS_LIMIT, reading).await.is_err() {
                    told.broken(&format!("Docker does not tell it within {LATE_WORDS_LIMIT:?}"));
                }
            }
        }
    }

    /// The engine ends what it tells as soon as the container has ended, and may not have told all by then.
    async fn tell_last_words(&self, told: &Told) {
        self.witness.lives.farewell(self.life).await;
        let at_the_end = Arc::<Told>::default();
        let reading = read(&self.witness.engine, &self.container, Extent::LastLines, &at_the_end);
        // Who is gone by now has its last words in the news of its end.
        if let Ok(Ok(())) = tokio::time::timeout(LATE_WORDS_LIMIT, reading).await {
            let missing = missing(&told.last_lines(), at_the_end.last_lines());
            missing.into_iter().for_each(|line| told.tell(line));
        }
    }
}

/// The lines at the end that were not told. Where the two lists have nothing in common, that cannot be known.
fn missing(told: &[String], mut at_the_end: Vec<String>) -> Vec<String> {
    let all = at_the_end.len();
    let are_known = |count: &usize| told.ends_with(&at_the_end[..*count]);
    let fewest = usize::from(!told.is_empty());
    let known = (fewest..=all).rev().find(are_known).unwrap_or(all);
    at_the_end.split_off(known)
}

/// It was told why it cannot be read.
struct Broken;

async fn read(engine: &Engine, container: &str, extent: Extent, told: &Arc<Told>) -> Result<(), Broken> {
    let mut pieces = Box::pin(engine.logs(container, extent));
    // A line of the one stream may come in the middle of one of the other.
    let mut streams = [0, 1].map(|_| Lines::new(Instant::now(), Arc::clone(told)));
    let mut nothing = |_: &str| {};
    let mut read_since_pause = 0;
    loop {
        let due = streams.iter().filter(|lines| lines.has_left_out()).map(Lines::due).min();
        let next = match due {
            // What was left out is told in time also if nothing more comes.
            Some(due) => tokio::time::timeout_at(due.into(), pieces.next()).await,
            None => Ok(pieces.next().await),
        };
        match next {
            Ok(Some(Ok(piece))) => {
                let at = usize::from(matches!(piece, LogOutput::StdErr { .. }));
                let bytes = piece.into_bytes();
                streams[at].take(&bytes, Instant::now(), &mut nothing);
                read_since_pause += bytes.len();
            }
            Ok(Some(Err(error))) => {
                let error = CallError::from(error).during("Docker does not tell what it writes");
                told.broken(&error.in_full());
                return Err(Broken);
            }
            Ok(None) => break,
            Err(_) => streams.iter_mut().for_each(|lines| lines.look(Instant::now(), &mut nothing)),
        }
        if read_since_pause >= BLOCK_BYTES && streams.iter().any(Lines::has_left_out) {
            read_since_pause = 0;
            tokio::time::sleep(PACE).await;
        }
    }
    streams.iter_mut().for_each(|lines| lines.finish(&mut nothing));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_told_at_the_end_is_found_by_what_was() {
        let lines = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (told, at_the_end, expected) in [
            ("a b c", "a b c", ""),
            ("a b c", "a b c d e", "d e"),
            ("a b c", "c d", "d"),
            ("x x", "x x x", "x"),
            ("", "a b", "a b"),
            ("a", "", ""),
            ("a b", "c d", ""),
        ] {
            assert_eq!(missing(&lines(told), lines(at_the_end)), lines(expected), "{told} / {at_the_end}");
        }
    }
}
