//! Chunked bodies, read by h1 in pieces and by a plain decoder byte by byte.

use h1::{BadBody, BodyLength, BodyReader, HeadLimits};

use crate::tally::{Tally, unexplained};

/// What became of a body.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) fate: Fate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Fate {
    #[default]
    Unfinished,
    /// It ended with so many bytes read.
    Ended(usize),
    Fault(BadBody),
}

/// Reads the bytes as a chunked body: at once, byte by byte, in pieces that end at these cuts, and with
/// the plain decoder.
pub(crate) fn check_chunked(bytes: &[u8], cuts: &[usize], tally: &mut Tally) {
    let plain = decode_plainly(bytes);
    match plain.fate {
        Fate::Ended(_) => tally.accepted += 1,
        Fate::Unfinished => tally.unfinished += 1,
        Fate::Fault(_) => tally.refused += 1,
    }
    let everywhere: Vec<usize> = (0..bytes.len()).collect();
    for cuts in [&[], cuts, &everywhere] {
        for take_max in [usize::MAX, 3] {
            let decoded = decode(BodyLength::Chunked, bytes, cuts, take_max);
            if decoded != plain {
                unexplained(bytes, &format!("plainly {plain:?}\nbut {decoded:?}\ncut at {cuts:?}"));
            }
        }
    }
}

/// What h1 reads that gets the bytes up to each cut in turn and then all, by a caller that takes no more
/// at once than it is told.
pub(crate) fn decode(length: BodyLength, bytes: &[u8], cuts: &[usize], take_max: usize) -> Decoded {
    // Small ones, so that trailers reach them.
    let limits = HeadLimits { head_max: 8 << 10, fields_max: 32, ..HeadLimits::default() };
    let mut reader = BodyReader::new(length, &limits);
    let (mut decoded, mut start) = (Decoded::default(), 0);
    for end in cuts.iter().copied().chain([bytes.len()]).filter(|end| *end <= bytes.len()) {
        while start <= end && decoded.fate == Fate::Unfinished {
            let look = match reader.look(&bytes[start..end]) {
                Ok(look) => look,
                Err(fault) => {
                    decoded.fate = Fate::Fault(fault);
                    break;
                }
            };
            let taken = look.data.min(take_max);
            start += look.skip;
            decoded.body.extend_from_slice(&bytes[start..start + taken]);
            reader.take(taken);
            start += taken;
            if look.is_end {
                decoded.fate = Fate::Ended(start);
            } else if look.skip + taken == 0 {
                break;
            }
            assert_eq!(look.is_end && taken == 0, reader.is_end() && taken == 0);
        }
    }
    for field in reader.trailers().into_iter().flat_map(h1::Fields::iter) {
        decoded.trailers.push((field.name_bytes.to_vec(), field.value.to_vec()));
    }
    decoded
}

enum Expects {
    SizeLine,
    Data(u128),
    CarriageReturn,
    LineFeed,
    TrailerLine,
}

/// RFC 9112, 7.1, byte by byte, with the policy's refusals.
fn decode_plainly(bytes: &[u8]) -> Decoded {
    let mut decoded = Decoded::default();
    let (mut expects, mut line) = (Expects::SizeLine, Vec::new());
    let (mut extension_bytes, mut trailer_bytes, mut trailer_lines) = (0, 0, Vec::new());
    for (index, byte) in bytes.iter().copied().enumerate() {
        expects = match expects {
            Expects::Data(left) => {
                decoded.body.push(byte);
                if left == 1 { Expects::CarriageReturn } else { Expects::Data(left - 1) }
            }
            Expects::CarriageReturn if byte == b'\r' => Expects::LineFeed,
            Expects::LineFeed if byte == b'\n' => Expects::SizeLine,
            Expects::CarriageReturn | Expects::LineFeed => return decoded.fail(BadBody::Malformed),
            Expects::SizeLine => {
                line.push(byte);
                // 1024 bytes, and then the line end.
                if line.len() > 1026 || (line.len() == 1026 && byte != b'\n') {
                    return decoded.fail(BadBody::TooLong);
                }
                if byte != b'\n' {
                    Expects::SizeLine
                } else {
                    match size_of(&std::mem::take(&mut line), &mut extension_bytes) {
                        Ok(0) => Expects::TrailerLine,
                        Ok(size) => Expects::Data(size),
                        Err(fault) => return decoded.fail(fault),
                    }
                }
            }
            Expects::TrailerLine => {
                line.push(byte);
                trailer_bytes += 1;
                if trailer_bytes > 8192 {
                    return decoded.fail(BadBody::TooLong);
                }
                if byte == b'\n' {
                    let Some(text) = line.strip_suffix(b"\r\n") else {
                        return decoded.fail(BadBody::Malformed);
                    };
                    if text.is_empty() {
                        return decoded.end(&trailer_lines, index + 1);
                    }
                    trailer_lines.push(text.to_vec());
                    line.clear();
                }
                Expects::TrailerLine
            }
        };
    }
    decoded
}

fn size_of(line: &[u8], extension_bytes: &mut usize) -> Result<u128, BadBody> {
    let line = line.strip_suffix(b"\r\n").ok_or(BadBody::Malformed)?;
    let semicolon = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let (digits, extension) = line.split_at(semicolon);
    let is_size = digits.iter().all(u8::is_ascii_hexdigit) && (1..=16).contains(&digits.len());
    if !is_size || !extension.iter().all(|byte| may_stand_in_value(*byte)) {
        return Err(BadBody::Malformed);
    }
    *extension_bytes += extension.len();
    if *extension_bytes > 16 * 1024 {
        return Err(BadBody::TooLong);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| BadBody::Malformed)?;
    let size = u128::from_str_radix(digits, 16).map_err(|_| BadBody::Malformed)?;
    if size >> 63 == 0 { Ok(size) } else { Err(BadBody::Malformed) }
}

fn may_stand_in_value(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..=0xff)
}

impl Decoded {
    fn fail(mut self, fault: BadBody) -> Self {
        self.fate = Fate::Fault(fault);
        // What came in trailers of a body that failed is nobody's.
        self.trailers.clear();
        self
    }

    fn end(mut self, lines: &[Vec<u8>], read: usize) -> Self {
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                return self.fail(BadBody::Malformed);
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let may_stand_in_name =
                |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
            let is_field = !name.is_empty()
                && name.iter().all(may_stand_in_name)
                && line[colon + 1..].iter().all(|byte| may_stand_in_value(*byte));
            if !is_field {
                return self.fail(BadBody::Malformed);
            }
            if !name.contains(&b'_') {
                self.trailers.push((name.to_vec(), value.to_vec()));
            }
        }
        if self.trailers.len() > 32 {
            return self.fail(BadBody::Malformed);
        }
        self.fate = Fate::Ended(read);
        self
    }
}
