//! The bytes of a file on their way: a piece at a time, read when its client takes it. Towards the client it looks
//! like a replica that sends a body.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use h1::Fields;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::documents::aside::Aside;
use crate::documents::shown::Piece;
use crate::wire::peer::{Broken, Peer};

/// How much is read at a time, in bytes.
const READ_MAX: u64 = 64 << 10;
/// The same while memory is short.
const READ_MAX_SHORT: u64 = 8 << 10;
/// How much is sent before others have a turn: a fraction of a millisecond.
const TURN_BYTES: usize = 512 << 10;

/// A body out of pieces of a file.
pub(super) struct FileBody {
    file: Arc<File>,
    /// What is left. Of the first, what was sent is gone already.
    pieces: VecDeque<Piece>,
    /// What was read of the first, from where it begins now.
    read: Vec<u8>,
    /// How much of that was sent, or of the text if the first is one.
    sent: usize,
    aside: Option<Aside<Read>>,
    read_max: u64,
    /// What was sent since others had a turn.
    turn: usize,
    /// Why it ended early.
    pub(super) fault: Option<io::Error>,
}

/// What came of a read.
struct Read {
    bytes: Vec<u8>,
    count: io::Result<usize>,
}

impl FileBody {
    pub(super) fn new(file: File, pieces: Vec<Piece>, is_short: bool) -> Self {
        let is_empty = |piece: &Piece| matches!(piece, Piece::Part(part) if part.is_empty());
        let pieces = pieces.into_iter().filter(|piece| !is_empty(piece)).collect();
        Self {
            file: Arc::new(file),
            pieces,
            read: Vec::new(),
            sent: 0,
            aside: None,
            read_max: if is_short { READ_MAX_SHORT } else { READ_MAX },
            turn: 0,
            fault: None,
        }
    }

    /// Keeps nothing: its client takes nothing now, and it can be read again.
    pub(super) fn release(&mut self) {
        if matches!(self.pieces.front(), Some(Piece::Part(_))) {
            self.sent = 0;
        }
        self.read = Vec::new();
    }

    /// Reads more of the first piece, if that is needed.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(Piece::Part(part)) = self.pieces.front() else { return Poll::Ready(Ok(())) };
        if self.sent < self.read.len() {
            return Poll::Ready(Ok(()));
        }
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (start, length) = (part.start, (part.end - part.start).min(self.read_max));
        let done = match &mut self.aside {
            Some(aside) => ready!(Pin::new(aside).poll(context)),
            None => {
                let mut bytes = std::mem::take(&mut self.read);
                bytes.resize(usize::try_from(length).unwrap_or_default(), 0);
                match read_from_memory(&self.file, &mut bytes, start) {
                    Some(count) => Some(Read { bytes, count }),
                    None => {
                        let file = Arc::clone(&self.file);
                        let aside =
                            self.aside.insert(Aside::begin(move || read_from_disk(&file, bytes, start)));
                        ready!(Pin::new(aside).poll(context))
                    }
                }
            }
        };
        self.aside = None;
        self.take(done)
    }

    fn take(&mut self, done: Option<Read>) -> Poll<Result<(), Broken>> {
        let count = match done {
            Some(Read { mut bytes, count: Ok(count) }) if count > 0 => {
                bytes.truncate(count);
                (self.read, self.sent) = (bytes, 0);
                return Poll::Ready(Ok(()));
            }
            Some(Read { count, .. }) => count,
            None => Err(io::Error::other("the balancer ends")),
        };
        // What was promised is not there any more, and nothing else may stand for it.
        let shorter = || io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter");
        self.fault = Some(count.err().unwrap_or_else(shorter));
        Poll::Ready(Err(Broken::Gone))
    }
}

impl Peer for FileBody {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        ready!(self.poll_read(context))?;
        Poll::Ready(Ok(match self.pieces.front() {
            None => &[],
            Some(Piece::Text(text)) => &text[self.sent..],
            Some(Piece::Part(_)) => &self.read[self.sent..],
        }))
    }

    fn consume(&mut self, count: usize) {
        self.sent += count;
        self.turn += count;
        let is_over = match self.pieces.front_mut() {
            None => false,
            Some(Piece::Text(text)) => self.sent == text.len(),
            Some(Piece::Part(part)) => {
                part.start += count as u64;
                part.is_empty()
            }
        };
        if is_over {
            self.pieces.pop_front();
            self.sent = 0;
            self.read.clear();
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        None
    }

    // Nobody sends anything to a file.
    fn poll_send(&mut self, _context: &mut Context<'_>, _bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        Poll::Ready(Err(Broken::Gone))
    }

    fn finish(&mut self, _trailers: Option<&Fields>) {}

    fn poll_flush(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads what the system has in memory; nothing if it has none of it, or cannot say so.
fn read_from_memory(file: &File, bytes: &mut [u8], start: u64) -> Option<io::Result<usize>> {
    match preadv2(file, &mut [IoSliceMut::new(bytes)], start, ReadWriteFlags::NOWAIT) {
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::INTR) => None,
        read => Some(read.map_err(io::Error::from)),
    }
}

/// Reads, however long that takes.
fn read_from_disk(file: &File, mut bytes: Vec<u8>, start: u64) -> Read {
    loop {
        match file.read_at(&mut bytes, start) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            count => return Read { bytes, count },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    async fn next(body: &mut FileBody, most: usize) -> Result<Vec<u8>, Broken> {
        let bytes = poll_fn(|context| body.poll_body(context).map_ok(<[u8]>::to_vec)).await?;
        let count = bytes.len().min(most);
        body.consume(count);
        Ok(bytes[..count].to_vec())
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_body_is_its_pieces_however_little_is_taken_at_a_time_and_whatever_is_read_again() {
        let all: Vec<u8> = (0..300_000_u32).flat_map(|number| number.to_le_bytes()).collect();
        let pieces = || {
            vec![
                Piece::Text(b"first".to_vec()),
                Piece::Part(10..200_010),
                Piece::Part(0..0),
                Piece::Text(b"then".to_vec()),
                Piece::Part(1_199_999..1_200_000),
            ]
        };
        let expected = [b"first", &all[10..200_010], b"then", &all[1_199_999..]].concat();
        run(async {
            for most in [1_013, 65_536, usize::MAX] {
                let mut body = FileBody::new(file(&all), pieces(), false);
                let (mut got, mut reads) = (Vec::new(), 0);
                loop {
                    let bytes = next(&mut body, most).await.unwrap();
                    if bytes.is_empty() {
                        break;
                    }
                    got.extend(bytes);
                    reads += 1;
                    if reads % 3 == 0 {
                        body.release();
                        assert_eq!(body.read.capacity(), 0);
                    }
                }
                assert!(got == expected, "{most}: {} of {}", got.len(), expected.len());
            }
        });
    }

    #[test]
    fn a_file_that_becomes_shorter_ends_as_a_failure() {
        run(async {
            let file = file(&[7; 100_000]);
            let shortened = file.try_clone().unwrap();
            let mut body = FileBody::new(file, vec![Piece::Part(0..100_000)], false);
            assert_eq!(next(&mut body, usize::MAX).await.unwrap().len(), READ_MAX as usize);
            shortened.set_len(70_000).unwrap();
            assert_eq!(next(&mut body, usize::MAX).await.unwrap().len(), 70_000 - READ_MAX as usize);
            assert_eq!(next(&mut body, usize::MAX).await, Err(Broken::Gone));
            assert!(body.fault.is_some());
        });
    }
}
