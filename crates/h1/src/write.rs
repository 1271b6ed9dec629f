//! The parts of a message that we write.

/// What stands behind the last chunk of a body without trailers.
pub const CHUNK_END: &[u8] = b"0\r\n\r\n";

/// Writes the line before a chunk of this many bytes, at least one.
pub fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|place| DIGITS[size >> (4 * place) & 15]));
    out.extend_from_slice(b"\r\n");
}

/// Writes a field line; name and value are known to be valid.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number.
pub fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for number in [0, 1, 9, 10, 15, 16, 255, 256, 4095, 4096, 65_535, 1 << 20, usize::MAX] {
            let mut out = Vec::new();
            write_decimal(&mut out, number as u64);
            write_chunk_size(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number}{number:x}\r\n"));
        }
    }
}
