//! The thread that writes the access log: it keeps the file open across rotations, full disks and
//! broken pipes. It is the only one that waits for any of them.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::{Batch, State};
use super::settings::AccessLogDestination;

/// How often the file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a destination that takes nothing now, but does not let us wait either, is left alone.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// The log says who asked for what: not everybody may read a file that we create.
const FILE_MODE: u32 = 0o640;

pub(super) struct Writer {
    destination: AccessLogDestination,
    file: File,
    state: Arc<State>,
    looked_at: Instant,
    /// The last write stopped in the middle of a line.
    is_torn: bool,
    /// The log has been told that writing or opening fails.
    is_failing: bool,
}

/// Why nothing more comes.
enum Quiet {
    ForNow,
    ForEver,
}

impl Writer {
    pub(super) fn open(destination: AccessLogDestination, state: Arc<State>) -> io::Result<Self> {
        let file = open(&destination)?;
        let looked_at = Instant::now();
        Ok(Self { destination, file, state, looked_at, is_torn: false, is_failing: false })
    }

    /// Writes until the log is finished and nothing is left, or nobody is left to record.
    pub(super) fn run(mut self, batches: &Receiver<Batch>) {
        loop {
            match self.next(batches) {
                Ok(batch) => self.write(&batch),
                Err(Quiet::ForNow) => (),
                Err(Quiet::ForEver) => return,
            }
            self.look_at_file();
        }
    }

    fn next(&self, batches: &Receiver<Batch>) -> Result<Batch, Quiet> {
        if self.state.is_finishing.load(Ordering::Relaxed) {
            return batches.try_recv().map_err(|_| Quiet::ForEver);
        }
        batches.recv_timeout(LOOK_INTERVAL).map_err(|error| match error {
            RecvTimeoutError::Timeout => Quiet::ForNow,
            RecvTimeoutError::Disconnected => Quiet::ForEver,
        })
    }

    fn write(&mut self, batch: &Batch) {
        if batch.lines == 0 {
            return;
        }
        let (count, outcome) = self.write_bytes(&batch.bytes);
        let (taken, rest) = batch.bytes.split_at(count);
        let lost = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.state.written.fetch_add(batch.lines - lost, Ordering::Relaxed);
        self.state.drop_lines(lost);
        if let Some(last) = taken.last() {
            self.is_torn = *last != b'\n';
        }
        match outcome {
            Ok(()) if self.is_failing => {
                let dropped = self.state.dropped.load(Ordering::Relaxed);
                tracing::info!(dropped, "the access log is written again");
                self.is_failing = false;
            }
            Ok(()) => (),
            Err(error) => self.complain(&error, "the access log cannot be written, lines are lost"),
        }
    }

    /// How many bytes the system took, and why not all.
    fn write_bytes(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        if self.is_torn {
            match self.write_some(b"\n") {
                Ok(_) => self.is_torn = false,
                Err(error) => return (0, Err(error)),
            }
        }
        let mut count = 0;
        while count < bytes.len() {
            match self.write_some(&bytes[count..]) {
                Ok(more) => count += more,
                Err(error) => return (count, Err(error)),
            }
        }
        (count, Ok(()))
    }

    /// Writes at least a byte, however long it takes.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                // Somebody whom we share a pipe or terminal with has asked not to wait.
                Err(error)
                    if error.kind() == ErrorKind::WouldBlock
                        && !self.state.is_finishing.load(Ordering::Relaxed) =>
                {
                    thread::sleep(RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Follows the path to another file when the one that is open is not there any more.
    fn look_at_file(&mut self) {
        let is_asked = self.state.is_reopening.swap(false, Ordering::Relaxed);
        if !is_asked && self.looked_at.elapsed() < LOOK_INTERVAL {
            return;
        }
        self.looked_at = Instant::now();
        let AccessLogDestination::File(path) = &self.destination else {
            return;
        };
        if !is_asked && self.is_there(path) {
            return;
        }
        match open(&self.destination) {
            Ok(file) => {
                self.is_torn &= identity(&file) == identity(&self.file);
                self.file = file;
            }
            Err(error) => self.complain(&error, "the access log cannot be opened, the old file is used"),
        }
    }

    fn is_there(&self, path: &Path) -> bool {
        let there = std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        there.is_some() && there == identity(&self.file)
    }

    fn complain(&mut self, error: &io::Error, text: &'static str) {
        if !self.is_failing {
            tracing::warn!(%error, "{text}");
        }
        self.is_failing = true;
    }
}

fn identity(file: &File) -> Option<(u64, u64)> {
    file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Without the standard library's buffers: a batch is a buffer already.
fn open(destination: &AccessLogDestination) -> io::Result<File> {
    match destination {
        AccessLogDestination::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        AccessLogDestination::Stderr => io::stderr().as_fd().try_clone_to_owned().map(File::from),
        AccessLogDestination::File(path) => {
            OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)
        }
    }
}
