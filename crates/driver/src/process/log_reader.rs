//! Reads what a keeper writes down of its replica: the end of the log, and then what is added to it, from
//! file to file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::log;
use crate::following::{Extent, Told};
use crate::lines::Lines;

/// How often it is looked whether something was added. A keeper writes at most some 1.6 MB a second, so no
/// file is put aside twice in between.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How much is read at once.
const BLOCK_BYTES: usize = 64 << 10;

/// A log that is read.
pub(super) struct LogReader {
    path: PathBuf,
    file: Option<File>,
}

impl LogReader {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Tells the last lines, and what comes until the process has ended and all is read.
    pub(super) async fn tell(
        mut self,
        extent: Extent,
        mut has_exited: watch::Receiver<bool>,
        told: Arc<Told>,
    ) {
        let mut lines = Lines::new(Instant::now(), told);
        let mut nothing = |_: &str| {};
        let end = self.end_of_log();
        lines.take(log::last_part(&end), Instant::now(), &mut nothing);
        if extent == Extent::LastLines {
            return lines.finish(&mut nothing);
        }
        loop {
            // First whether it has ended: what was written before that is there then.
            let is_over = *has_exited.borrow() || has_exited.has_changed().is_err();
            while let Some(block) = self.added() {
                lines.take(&block, Instant::now(), &mut nothing);
                tokio::task::yield_now().await;
            }
            lines.look(Instant::now(), &mut nothing);
            if is_over {
                break;
            }
            let _ = tokio::time::timeout(LOOK_EVERY, has_exited.changed()).await;
        }
        lines.finish(&mut nothing);
    }

    /// The end of what there is, with the file that was put aside before.
    fn end_of_log(&mut self) -> Vec<u8> {
        let mut end = log::end_of_old(&self.path);
        self.file = File::open(&self.path).ok();
        if let Some(file) = &mut self.file {
            log::read_end(file, &mut end);
        }
        end
    }

    /// The next that was added; nothing if there is nothing more at present.
    fn added(&mut self) -> Option<Vec<u8>> {
        if let Some(block) = self.file.as_mut().and_then(|file| block(file).ok().flatten()) {
            return Some(block);
        }
        if self.is_current() {
            return None;
        }
        // What was added to the one before it was put aside is read first.
        if let Some(block) = self.file.as_mut().and_then(|file| block(file).ok().flatten()) {
            return Some(block);
        }
        self.file = Some(File::open(&self.path).ok()?);
        self.file.as_mut().and_then(|file| block(file).ok().flatten())
    }

    /// Whether the file that is read is still the one that is written, or there is no other.
    fn is_current(&self) -> bool {
        let inode = |metadata: fs::Metadata| metadata.ino();
        let Ok(current) = fs::metadata(&self.path).map(inode) else { return true };
        self.file.as_ref().and_then(|file| file.metadata().ok()).map(inode) == Some(current)
    }
}

fn block(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let mut block = vec![0; BLOCK_BYTES];
    let length = file.read(&mut block)?;
    block.truncate(length);
    Ok((length > 0).then_some(block))
}
