//! What a kept process writes: a file of bounded size and the one before it. Nobody ever waits for
//! it: what a full disk does not take is dropped.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::last_lines::{LAST_LINES_MAX, LastLines};

/// A file that has grown to this is put aside in the place of the one before it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How much of the end is read for the last lines, and how much is shown of one of them.
const TAIL_BYTES_MAX: u64 = 64 << 10;
const LINE_CHARS_MAX: usize = 4096;

/// Of the last life of a seat that is over.
const PREVIOUS: &str = ".previous.log";

/// A log that is written.
pub(super) struct BoundedLog {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl BoundedLog {
    /// Begins a log anew.
    pub(super) fn create(path: &Path) -> Self {
        let mut log = Self { path: path.to_owned(), file: None, bytes: 0 };
        log.open();
        log
    }

    /// Takes in a piece.
    pub(super) fn write(&mut self, piece: &[u8]) {
        if self.bytes >= FILE_BYTES_MAX {
            self.file = None;
            let _ = fs::rename(&self.path, old(&self.path));
        }
        if self.file.is_none() {
            self.open();
        }
        if let Some(file) = &mut self.file
            && file.write_all(piece).is_ok()
        {
            self.bytes += piece.len() as u64;
        }
    }

    fn open(&mut self) {
        // Made anew each time: nothing that somebody else put there is written to.
        let _ = fs::remove_file(&self.path);
        self.file = files::create_new(&self.path, 0o600).ok();
        self.bytes = 0;
    }
}

fn old(path: &Path) -> PathBuf {
    let mut old = path.as_os_str().to_owned();
    old.push(".old");
    old.into()
}

/// The last lines of a log, also of one that was put aside a moment ago.
pub(super) fn last_lines(path: &Path) -> Vec<String> {
    let mut text = end_of_old(path);
    if let Ok(mut file) = File::open(path) {
        read_end(&mut file, &mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let mut lines = LastLines::default();
    for line in text.lines().map(str::trim_end) {
        lines.push(line.chars().take(LINE_CHARS_MAX).collect());
    }
    lines.to_vec()
}

/// The end of the file that was put aside before this log.
pub(super) fn end_of_old(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(old(path)) {
        read_end(&mut file, &mut text);
    }
    text
}

/// Reads the end of a file, up to where it ends now.
pub(super) fn read_end(file: &mut File, text: &mut Vec<u8>) {
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    if file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL_BYTES_MAX))).is_ok() {
        // What could be read of it is better than nothing.
        let _ = file.take(TAIL_BYTES_MAX).read_to_end(text);
    }
}

/// As much of it as has the last lines, and the beginning of the next.
pub(super) fn last_part(text: &[u8]) -> &[u8] {
    let ends = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    let before = ends.map(|(at, _)| at + 1).nth(LAST_LINES_MAX);
    &text[before.unwrap_or(0)..]
}

/// Puts a log aside as its seat's previous one.
pub(super) fn retire(path: &Path) {
    let _ = fs::remove_file(old(path));
    let seat = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next());
    if let Some(seat) = seat {
        let _ = fs::rename(path, path.with_file_name(format!("{seat}{PREVIOUS}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_and_its_last_lines_are_there_across_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.4.log");
        let mut log = BoundedLog::create(&path);
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..5 * FILE_BYTES_MAX / 1024 {
            log.write(line.as_bytes());
        }
        log.write(b"the end\n");
        let sizes = [&path, &old(&path)].map(|path| fs::metadata(path).unwrap().len());
        assert!(sizes.iter().all(|size| *size <= FILE_BYTES_MAX), "{sizes:?}");
        let lines = last_lines(&path);
        assert_eq!((lines.len(), lines.last().unwrap().as_str()), (LAST_LINES_MAX, "the end"));
        assert_eq!(last_part(&end_of_old(&path)).len(), LAST_LINES_MAX * 1024);
        assert_eq!(last_part(b"one\ntw"), b"one\ntw");
        retire(&path);
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(names, ["1.previous.log"]);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_dropped_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/1.4.log");
        let mut log = BoundedLog::create(&path);
        log.write(b"lost\n");
        fs::create_dir(path.parent().unwrap()).unwrap();
        log.write(b"kept\n");
        assert_eq!(last_lines(&path), ["kept"]);
    }
}
