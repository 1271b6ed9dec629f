//! Numbers of any length that begin within a byte: RFC 7541, 5.1.

use crate::BadBlock;

/// More than any block is long.
const MAX: usize = 1 << 28;

/// Reads a number that begins in the last `bits` of the first byte; the rest of the bytes is left.
pub(crate) fn read(bytes: &mut &[u8], bits: u8) -> Result<usize, BadBlock> {
    let (first, mut rest) = bytes.split_first().ok_or(BadBlock::CutOff)?;
    let most = (1_usize << bits) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        let mut shift = 0;
        loop {
            let (byte, behind) = rest.split_first().ok_or(BadBlock::CutOff)?;
            rest = behind;
            number += usize::from(byte & 0x7f) << shift;
            if number > MAX || shift > 28 {
                return Err(BadBlock::Number);
            }
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
    }
    *bytes = rest;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_standard() {
        for (bytes, bits, expected, left) in [
            (&[0b1110_1010_u8][..], 5, Ok(10), 0),
            (&[0b0001_1111, 0b1001_1010, 0b0000_1010, 7], 5, Ok(1337), 1),
            (&[42], 8, Ok(42), 0),
            (&[0x7f, 0x00], 7, Ok(127), 0),
            (&[0x7f, 0x80, 0x80, 0x00], 7, Ok(127), 0),
            (&[], 7, Err(BadBlock::CutOff), 0),
            (&[0x7f], 7, Err(BadBlock::CutOff), 0),
            (&[0x7f, 0x80], 7, Err(BadBlock::CutOff), 0),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f], 7, Err(BadBlock::Number), 0),
            (&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 7, Err(BadBlock::Number), 0),
        ] {
            let mut rest = bytes;
            let read = read(&mut rest, bits);
            assert_eq!(read, expected, "{bytes:x?}");
            assert!(read.is_err() || rest.len() == left, "{bytes:x?}");
        }
    }
}
