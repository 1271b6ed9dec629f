//! Keys from a file or from standard input, one per line, one at a time: a file may be larger than memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The longest key that is read; a file without line ends must not fill the memory.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// The keys of a file. Empty lines are none; a key is bytes, without the end of its line.
pub(super) struct KeyLines {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    lines: u64,
}

/// The keys could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnreadableKeys {
    /// The file is not there, or may not be read.
    #[error("{name} cannot be read")]
    File { name: String, source: io::Error },
    /// This can hardly be a list of keys.
    #[error("line {line} of {name} is longer than {KEY_BYTES_MAX} bytes")]
    Long { name: String, line: u64 },
}

impl KeyLines {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self, UnreadableKeys> {
        let (name, reader): (String, Box<dyn Read>) = if path == Path::new("-") {
            ("standard input".into(), Box::new(io::stdin().lock()))
        } else {
            let name = path.display().to_string();
            match File::open(path) {
                Ok(file) => (name, Box::new(file)),
                Err(source) => return Err(UnreadableKeys::File { name, source }),
            }
        };
        Ok(Self { name, reader: BufReader::new(reader), lines: 0 })
    }

    /// Whether the next line may not have been written yet.
    pub(super) fn would_wait(&self) -> bool {
        self.reader.buffer().is_empty()
    }

    /// The next line without its end; nothing at the end of the file.
    fn line(&mut self) -> Result<Option<Vec<u8>>, UnreadableKeys> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(KEY_BYTES_MAX + 1);
        let read = limited.read_until(b'\n', &mut line);
        read.map_err(|source| UnreadableKeys::File { name: self.name.clone(), source })?;
        self.lines += 1;
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            line.pop_if(|byte| *byte == b'\r');
        } else if line.len() as u64 > KEY_BYTES_MAX {
            return Err(UnreadableKeys::Long { name: self.name.clone(), line: self.lines });
        }
        Ok(Some(line))
    }
}

impl Iterator for KeyLines {
    type Item = Result<Vec<u8>, UnreadableKeys>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.line() {
                Ok(Some(line)) if line.is_empty() => {}
                other => return other.transpose(),
            }
        }
    }
}
