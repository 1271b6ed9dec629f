//! Text in the code of RFC 7541, appendix B. The code is canonical: how long each symbol's code is says which
//! code it has.

use crate::BadBlock;

/// One more than the bytes: the end of a text, which stands in none.
const SYMBOLS: usize = 257;
const END: u16 = 256;
const LENGTH_MAX: usize = 30;

/// How many bits each symbol takes.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15,
    6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20,
    20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23,
    24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
    22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27,
    24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26,
    26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

static CODE: Code = code();

struct Code {
    /// By the first eight bits, what has no more: symbol and length. A length of 0 is a longer code.
    short: [(u8, u8); 256],
    /// All symbols, by the lengths of their codes.
    symbols: [u16; SYMBOLS],
    /// By length, the first code that is longer than that, from the left.
    limits: [u64; LENGTH_MAX + 1],
    /// By length, the first code.
    first_codes: [u32; LENGTH_MAX + 1],
    /// By length, the place of its first symbol.
    first_places: [usize; LENGTH_MAX + 1],
}

const fn code() -> Code {
    let mut made = Code {
        short: [(0, 0); 256],
        symbols: [0; SYMBOLS],
        limits: [0; LENGTH_MAX + 1],
        first_codes: [0; LENGTH_MAX + 1],
        first_places: [0; LENGTH_MAX + 1],
    };
    let (mut length, mut place, mut next) = (1, 0, 0_u32);
    while length <= LENGTH_MAX {
        next <<= 1;
        (made.first_codes[length], made.first_places[length]) = (next, place);
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                made.symbols[place] = symbol as u16;
                let mut short = 0;
                while length <= 8 && short < 1 << (8 - length) {
                    made.short[((next as usize) << (8 - length)) + short] = (symbol as u8, length as u8);
                    short += 1;
                }
                place += 1;
                next += 1;
            }
            symbol += 1;
        }
        made.limits[length] = (next as u64) << (32 - length);
        length += 1;
    }
    made
}

/// The symbol that these bits begin with, and how many it takes.
fn symbol(bits: u32) -> (u16, usize) {
    let (symbol, length) = CODE.short[(bits >> 24) as usize];
    if length > 0 {
        return (u16::from(symbol), usize::from(length));
    }
    let mut length = 9;
    while length < LENGTH_MAX && u64::from(bits) >= CODE.limits[length] {
        length += 1;
    }
    let place = (bits >> (32 - length)) - CODE.first_codes[length];
    (CODE.symbols[CODE.first_places[length] + place as usize], length)
}

/// Adds a text in clear. At most eight bytes come of five.
pub(crate) fn read(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadBlock> {
    let (mut bits, mut count) = (0_u64, 0);
    let mut rest = bytes.iter();
    loop {
        while count <= 56
            && let Some(byte) = rest.next()
        {
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        if count == 0 {
            return Ok(());
        }
        // What is not there is ones, as the filling of the last byte.
        let filling = if count < 32 { u32::MAX >> count } else { 0 };
        let window = (bits >> 32) as u32 | filling;
        let (symbol, length) = symbol(window);
        if length > count {
            return if count < 8 && window == u32::MAX { Ok(()) } else { Err(BadBlock::Text) };
        }
        if symbol == END {
            return Err(BadBlock::Text);
        }
        out.push(symbol as u8);
        bits <<= length;
        count -= length;
    }
}

#[cfg(test)]
pub(crate) fn write(text: &[u8]) -> Vec<u8> {
    let code = |wanted: u16| {
        let place = CODE.symbols.iter().position(|symbol| *symbol == wanted).expect("all have one");
        let length = usize::from(LENGTHS[usize::from(wanted)]);
        (CODE.first_codes[length] as usize + place - CODE.first_places[length], length)
    };
    let mut bits: Vec<bool> = Vec::new();
    for byte in text {
        let (code, length) = code(u16::from(*byte));
        bits.extend((0..length).rev().map(|place| code >> place & 1 == 1));
    }
    bits.resize(bits.len().next_multiple_of(8), true);
    bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clear(bytes: &[u8]) -> Result<Vec<u8>, BadBlock> {
        let mut out = Vec::new();
        read(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn texts_of_the_standard() {
        for (code, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x64, 0x02], "302"),
            (
                &[
                    0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae,
                    0x43, 0xd3,
                ],
                "https://www.example.com",
            ),
            (&[], ""),
        ] {
            assert_eq!(clear(code), Ok(text.as_bytes().to_vec()), "{text}");
            assert_eq!(write(text.as_bytes()), code, "{text}");
        }
    }

    #[test]
    fn every_byte_has_a_code_of_its_own() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(clear(&write(&all)), Ok(all));
        // RFC 7541, appendix B, at its corners: NUL, LF, `0`, and 255.
        for (byte, code) in [
            (0_u8, &[0xff, 0xc7][..]),
            (b'\n', &[0xff, 0xff, 0xff, 0xf3]),
            (b'0', &[0x07]),
            (255, &[0xff, 0xff, 0xfb, 0xbf]),
        ] {
            assert_eq!(write(&[byte]), code, "{byte}");
        }
    }

    #[test]
    fn fillings_are_ones_and_short_and_no_text_holds_its_own_end() {
        for wrong in [&[0x00, 0xfe][..], &[0x07, 0xff], &[0xff], &[0xff; 4], &[0xff; 8], &[0x06]] {
            assert_eq!(clear(wrong), Err(BadBlock::Text), "{wrong:x?}");
        }
    }
}
