//! The access log: one line for each request. Workers hand over whole lines in batches and never
//! wait for a disk or a pipe: what the writer cannot keep up with is dropped and counted.

pub(crate) mod settings;

pub(crate) mod line;

mod batch;
mod writer;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use batch::{BATCH_BYTES, Batch, State};
use line::Entry;
use settings::{AccessLogFormat, AccessLogSettings};
use writer::Writer;

/// How many batches of all workers wait for the writer; with the size of one, 8 MiB.
const WAITING_BATCHES_MAX: usize = 256;
/// How long a line waits in a batch that does not get full.
const FLUSH_INTERVAL: Duration = Duration::from_millis(250);
/// How long the start waits for the file to be open. A named pipe that nobody reads takes longer.
const OPEN_PATIENCE: Duration = Duration::from_secs(1);
/// How often somebody who waits for the writer to end looks whether it has.
const END_POLL: Duration = Duration::from_millis(2);

/// The running access log. Clones are the same log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: AccessLogFormat,
    batches: SyncSender<Batch>,
    state: Arc<State>,
    writer: Arc<JoinHandle<()>>,
}

impl AccessLog {
    /// Opens the destination and starts the thread that writes. An error is the system's answer to
    /// opening the file. A named pipe that nobody reads is no error: it is opened when somebody does.
    pub fn start(settings: &AccessLogSettings) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let (batches, arriving) = mpsc::sync_channel(WAITING_BATCHES_MAX);
        let (opened, opening) = mpsc::sync_channel(1);
        let (destination, writers_state) = (settings.destination.clone(), Arc::clone(&state));
        let write = move || {
            let writer = Writer::open(destination, writers_state);
            let (writer, outcome) = match writer {
                Ok(writer) => (Some(writer), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Whoever started this may have gone on without waiting any longer.
            let _ = opened.send(outcome);
            if let Some(writer) = writer {
                writer.run(&arriving);
            }
        };
        let writer = thread::Builder::new().name("access-log".to_string()).spawn(write)?;
        match opening.recv_timeout(OPEN_PATIENCE) {
            Ok(outcome) => outcome?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                tracing::warn!("nobody reads the access log yet");
            }
        }
        Ok(Self { format: settings.format, batches, state, writer: Arc::new(writer) })
    }

    /// Lines that were lost since the start, because the destination was full, slow or gone.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Lines that the system took since the start.
    pub fn written(&self) -> u64 {
        self.state.written.load(Ordering::Relaxed)
    }

    /// Opens the file anew, soon. What was recorded before may still go to the old one.
    pub fn reopen(&self) {
        self.state.is_reopening.store(true, Ordering::Relaxed);
        self.wake_writer();
    }

    /// Waits, for as long as `patience`, until all that was handed over is written, and ends the
    /// writer. To be called when the workers have ended, and not on a thread that serves. Whether
    /// all was written, or dropped and counted; if not, the writer is stuck in the system.
    pub fn finish(&self, patience: Duration) -> bool {
        self.state.is_finishing.store(true, Ordering::Relaxed);
        self.wake_writer();
        let deadline = Instant::now() + patience;
        while !self.writer.is_finished() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(END_POLL);
        }
        true
    }

    /// Where one worker records.
    pub(crate) fn recorder(&self) -> Recorder {
        Recorder {
            format: self.format,
            batch: RefCell::default(),
            batches: self.batches.clone(),
            state: Arc::clone(&self.state),
        }
    }

    fn wake_writer(&self) {
        // When there is no room for it, the writer is awake.
        let _ = self.batches.try_send(Batch::default());
    }
}

/// A worker's end of the log.
#[derive(Debug)]
pub(crate) struct Recorder {
    format: AccessLogFormat,
    batch: RefCell<Batch>,
    batches: SyncSender<Batch>,
    state: Arc<State>,
}

impl Recorder {
    /// Writes down a request, or counts it as dropped. Never waits.
    pub(crate) fn record(&self, entry: &Entry<'_>) {
        let mut batch = self.batch.borrow_mut();
        if batch.is_full() && !self.hand_over(&mut batch) {
            self.state.drop_lines(1);
            return;
        }
        if batch.bytes.capacity() == 0 {
            batch.bytes.reserve(BATCH_BYTES + BATCH_BYTES / 8);
        }
        line::write(self.format, entry, &mut batch.bytes);
        batch.lines += 1;
        if batch.is_full() {
            self.hand_over(&mut batch);
        }
    }

    /// Hands over what there is. What the writer has no room for stays here until the next time.
    pub(crate) fn flush(&self) {
        let mut batch = self.batch.borrow_mut();
        if batch.lines > 0 {
            self.hand_over(&mut batch);
        }
    }

    /// Flushes several times a second, for ever.
    pub(crate) async fn flush_regularly(&self) {
        loop {
            tokio::time::sleep(FLUSH_INTERVAL).await;
            self.flush();
        }
    }

    /// Whether there is room for another line here now.
    fn hand_over(&self, batch: &mut Batch) -> bool {
        match self.batches.try_send(std::mem::take(batch)) {
            Ok(()) => true,
            Err(TrySendError::Full(returned)) => {
                *batch = returned;
                false
            }
            Err(TrySendError::Disconnected(lost)) => {
                self.state.drop_lines(lost.lines);
                true
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
        self.state.drop_lines(self.batch.borrow().lines);
    }
}
