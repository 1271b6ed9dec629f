//! Bodies in chunks: RFC 9112, 7.1, read without any leniency.

use memchr::memchr;

use crate::characters::is_value;
use crate::{BadBody, Fields, HeadLimits, Look};

/// The longest line that gives a chunk's size, with its extensions.
const SIZE_LINE_MAX: usize = 1024;
/// The most digits of a size, with zeros in front of it. Some readers know no more than 64 bits.
const DIGITS_MAX: usize = 16;
/// The most bytes of extensions in a body. They mean nothing here, and cost time to read.
const EXTENSIONS_MAX: usize = 16 << 10;

/// Where in a chunked body the reader is.
#[derive(Clone, Debug)]
pub(crate) struct Chunked {
    at: At,
    extension_bytes: usize,
    trailers: Fields,
    /// What a head may be, its trailers may be.
    limits: HeadLimits,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// The line with the size of the next chunk.
    #[default]
    Size,
    /// How many bytes before the end of a chunk.
    Data(u64),
    /// The line end behind a chunk.
    DataEnd,
    Trailers(Lines),
    End,
    Broken(BadBody),
}

/// How far trailers were looked at that have not ended. They stay where they are until they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    line_start: usize,
    seen: usize,
}

impl Chunked {
    pub(crate) fn new(limits: &HeadLimits) -> Self {
        let (at, trailers) = (At::default(), Fields::default());
        Self { at, extension_bytes: 0, trailers, limits: limits.clone() }
    }

    /// A fault stays one: what follows it could be anything.
    pub(crate) fn look(&mut self, input: &[u8]) -> Result<Look, BadBody> {
        let look = self.look_on(input);
        if let Err(fault) = look {
            self.at = At::Broken(fault);
        }
        look
    }

    fn look_on(&mut self, input: &[u8]) -> Result<Look, BadBody> {
        let mut skip = 0;
        loop {
            let rest = &input[skip..];
            let consumed = match self.at {
                At::Size => self.size_line(rest)?,
                At::Data(left) => {
                    let data = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    return Ok(Look { skip, data, is_end: false });
                }
                At::DataEnd => self.data_end(rest)?,
                At::Trailers(lines) => self.trailers(rest, lines)?,
                At::End => return Ok(Look { skip, data: 0, is_end: true }),
                At::Broken(fault) => return Err(fault),
            };
            match consumed {
                Some(consumed) => skip += consumed,
                None => return Ok(Look { skip, data: 0, is_end: false }),
            }
        }
    }

    pub(crate) fn take(&mut self, taken: usize) {
        if let At::Data(left) = &mut self.at {
            *left = left.saturating_sub(taken as u64);
            if *left == 0 {
                self.at = At::DataEnd;
            }
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.at == At::End
    }

    pub(crate) fn trailer_fields(&self) -> Option<&Fields> {
        self.is_end().then_some(&self.trailers)
    }

    fn size_line(&mut self, input: &[u8]) -> Result<Option<usize>, BadBody> {
        let Some(end) = memchr(b'\n', input) else {
            // A carriage return may follow the line yet.
            return if input.len() > SIZE_LINE_MAX + 1 { Err(BadBody::TooLong) } else { Ok(None) };
        };
        if end > SIZE_LINE_MAX + 1 {
            return Err(BadBody::TooLong);
        }
        let line = input[..end].strip_suffix(b"\r").ok_or(BadBody::Malformed)?;
        let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        let extensions = &line[digits..];
        // White space before the semicolon is "bad" even in the RFC, and readers differ on it.
        if !(1..=DIGITS_MAX).contains(&digits)
            || !(extensions.is_empty() || extensions[0] == b';')
            || !is_value(extensions)
        {
            return Err(BadBody::Malformed);
        }
        self.extension_bytes += extensions.len();
        if self.extension_bytes > EXTENSIONS_MAX {
            return Err(BadBody::TooLong);
        }
        let size = hexadecimal(&line[..digits]).ok_or(BadBody::Malformed)?;
        self.at = if size == 0 { At::Trailers(Lines::default()) } else { At::Data(size) };
        Ok(Some(end + 1))
    }

    fn data_end(&mut self, input: &[u8]) -> Result<Option<usize>, BadBody> {
        match input {
            [b'\r', b'\n', ..] => {
                self.at = At::Size;
                Ok(Some(2))
            }
            [] | [b'\r'] => Ok(None),
            _ => Err(BadBody::Malformed),
        }
    }

    /// All lines are read when the last of them is there.
    fn trailers(&mut self, input: &[u8], mut lines: Lines) -> Result<Option<usize>, BadBody> {
        while let Some(length) = memchr(b'\n', &input[lines.seen..]) {
            let line_feed = lines.seen + length;
            if line_feed >= self.limits.head_max {
                return Err(BadBody::TooLong);
            }
            let line = input[lines.line_start..line_feed].strip_suffix(b"\r").ok_or(BadBody::Malformed)?;
            if line.is_empty() {
                let section = &input[..=line_feed];
                self.trailers.parse(section, &self.limits).map_err(|_| BadBody::Malformed)?;
                self.at = At::End;
                return Ok(Some(section.len()));
            }
            lines = Lines { line_start: line_feed + 1, seen: line_feed + 1 };
        }
        lines.seen = input.len();
        self.at = At::Trailers(lines);
        if input.len() > self.limits.head_max { Err(BadBody::TooLong) } else { Ok(None) }
    }
}

/// At most 2⁶³ − 1.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    let number = digits.iter().try_fold(0_u64, |number, byte| {
        let digit = u64::from((*byte as char).to_digit(16)?);
        number.checked_mul(16)?.checked_add(digit)
    });
    number.filter(|number| i64::try_from(*number).is_ok())
}
