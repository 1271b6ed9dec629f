//! Blocks, one after the other, each of which may name what earlier ones have said.

use crate::table::Table;
use crate::{BadBlock, huffman, integer};

/// How much memory for texts is kept from one block to the next.
const KEPT_MAX: usize = 4 << 10;

/// Reads the blocks of one direction of one connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    table_max: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// One whose other side was told that the table has this size, in bytes; without being told it is 4096.
    pub fn new(table_max: usize) -> Self {
        Self { table: Table::new(table_max), table_max, name: Vec::new(), value: Vec::new() }
    }

    /// Calls back with the name and the value of each field of a block. To go on after an error is of no
    /// use: what later blocks mean is not known then.
    pub fn decode(&mut self, block: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Result<(), BadBlock> {
        let mut rest = block;
        let mut has_fields = false;
        while let Some(&first) = rest.first() {
            if first & 0xe0 == 0x20 {
                let size = integer::read(&mut rest, 5)?;
                if has_fields || size > self.table_max {
                    return Err(BadBlock::TableSize);
                }
                self.table.set_size_max(size);
                continue;
            }
            has_fields = true;
            if first & 0x80 != 0 {
                let number = integer::read(&mut rest, 7)?;
                let (name, value) = self.table.field(number).ok_or(BadBlock::Unknown)?;
                each(name, value);
            } else {
                let is_kept = first & 0x40 != 0;
                self.read_literal(&mut rest, if is_kept { 6 } else { 4 })?;
                each(&self.name, &self.value);
                if is_kept {
                    self.table.add(&self.name, &self.value);
                }
            }
        }
        self.name.shrink_to(KEPT_MAX);
        self.value.shrink_to(KEPT_MAX);
        Ok(())
    }

    fn read_literal(&mut self, rest: &mut &[u8], bits: u8) -> Result<(), BadBlock> {
        let Self { table, name, value, .. } = self;
        let number = integer::read(rest, bits)?;
        if number == 0 {
            read_text(rest, name)?;
        } else {
            let (known, _) = table.field(number).ok_or(BadBlock::Unknown)?;
            name.clear();
            name.extend_from_slice(known);
        }
        read_text(rest, value)
    }
}

fn read_text(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), BadBlock> {
    out.clear();
    let is_encoded = rest.first().ok_or(BadBlock::CutOff)? & 0x80 != 0;
    let length = integer::read(rest, 7)?;
    let (text, behind) = rest.split_at_checked(length).ok_or(BadBlock::CutOff)?;
    *rest = behind;
    if is_encoded {
        huffman::read(text, out)
    } else {
        out.extend_from_slice(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, BadBlock> {
        let mut fields = Vec::new();
        decoder.decode(block, |name, value| {
            fields.push(format!("{}: {}", name.escape_ascii(), value.escape_ascii()));
        })?;
        Ok(fields)
    }

    /// Blocks that follow each other, what they say, and how large the table is then.
    fn check(table_max: usize, blocks: &[(&str, &[&str], usize)]) {
        let mut decoder = Decoder::new(table_max);
        for (block, expected, size) in blocks {
            assert_eq!(read(&mut decoder, &bytes(block)).unwrap(), *expected, "{block}");
            assert_eq!(decoder.table.size(), *size, "{block}");
        }
    }

    const FIRST: [&str; 4] = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
    const SECOND: [&str; 5] = [
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ];
    const THIRD: [&str; 5] = [
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ];

    #[test]
    fn single_fields_of_the_standard() {
        let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
        check(
            4096,
            &[(custom, &["custom-key: custom-header"], 55), ("be", &["custom-key: custom-header"], 55)],
        );
        check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], 0)]);
        check(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"], 0)]);
        check(4096, &[("82", &[":method: GET"], 0)]);
    }

    #[test]
    fn requests_of_the_standard_in_clear_and_encoded() {
        check(
            4096,
            &[
                ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", &FIRST, 57),
                ("8286 84be 5808 6e6f 2d63 6163 6865", &SECOND, 110),
                ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", &THIRD, 164),
            ],
        );
        check(
            4096,
            &[
                ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", &FIRST, 57),
                ("8286 84be 5886 a8eb 1064 9cbf", &SECOND, 110),
                ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", &THIRD, 164),
            ],
        );
    }

    #[test]
    fn responses_of_the_standard_push_each_other_out() {
        let date = "date: Mon, 21 Oct 2013 20:13:21 GMT";
        let location = "location: https://www.example.com";
        let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        check(
            256,
            &[
                (
                    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d \
                 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                    &[":status: 302", "cache-control: private", date, location],
                    222,
                ),
                ("4883 640e ffc1 c0bf", &[":status: 307", "cache-control: private", date, location], 222),
                (
                    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d \
                 d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 \
                 3d50 07",
                    &[
                        ":status: 200",
                        "cache-control: private",
                        "date: Mon, 21 Oct 2013 20:13:22 GMT",
                        location,
                        "content-encoding: gzip",
                        cookie,
                    ],
                    215,
                ),
            ],
        );
    }

    #[test]
    fn blocks_that_cannot_be_read() {
        for (block, fault) in [
            ("80", BadBlock::Unknown),
            ("be", BadBlock::Unknown),
            ("7f00 0161", BadBlock::Unknown),
            ("ff", BadBlock::CutOff),
            ("00", BadBlock::CutOff),
            ("0001 61", BadBlock::CutOff),
            ("0001 6102 62", BadBlock::CutOff),
            ("0081 ff00", BadBlock::Text),
            ("ffff ffff ffff", BadBlock::Number),
            ("3fe2 1f", BadBlock::TableSize),
            ("8220", BadBlock::TableSize),
        ] {
            assert_eq!(read(&mut Decoder::new(4096), &bytes(block)), Err(fault), "{block}");
        }
    }

    #[test]
    fn a_smaller_table_forgets_and_a_field_that_is_too_large_empties_it() {
        let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
        check(4096, &[(custom, &["custom-key: custom-header"], 55), ("20", &[], 0), ("3fe11f", &[], 0)]);
        let large = format!("4001 611e {}", "20".repeat(30));
        let said = format!("a: {}", " ".repeat(30));
        check(60, &[(custom, &["custom-key: custom-header"], 55), (&large, &[&said], 0)]);
        // Named while it is pushed out.
        check(56, &[(custom, &["custom-key: custom-header"], 55), ("7e01 61", &["custom-key: a"], 43)]);
    }

    /// A plain encoder, which chooses at random among all that the standard allows.
    fn encode(fields: &[(Vec<u8>, Vec<u8>)], random: &mut fastrand::Rng) -> Vec<u8> {
        let number = |block: &mut Vec<u8>, pattern: u8, bits: u8, number: usize| {
            let most = (1 << bits) - 1;
            if number < most {
                return block.push(pattern | number as u8);
            }
            block.push(pattern | most as u8);
            let mut rest = number - most;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        };
        let mut block = Vec::new();
        for (name, value) in fields {
            let (pattern, bits) = [(0x40, 6), (0, 4), (0x10, 4)][random.usize(..3)];
            number(&mut block, pattern, bits, 0);
            for text in [name, value] {
                let (flag, text) =
                    if random.bool() { (0x80, huffman::write(text)) } else { (0, text.clone()) };
                number(&mut block, flag, 7, text.len());
                block.extend(text);
            }
        }
        block
    }

    #[test]
    fn what_is_encoded_is_read_and_nothing_is_a_panic() {
        let mut random = fastrand::Rng::with_seed(7541);
        let text = |random: &mut fastrand::Rng| {
            let length = [3, 30, 300][random.usize(..3)];
            (0..random.usize(..length)).map(|_| random.u8(..)).collect::<Vec<u8>>()
        };
        let mut decoder = Decoder::new(4096);
        for round in 0..2_000 {
            let fields: Vec<_> =
                (0..random.usize(..8)).map(|_| (text(&mut random), text(&mut random))).collect();
            let mut block = encode(&fields, &mut random);
            let mut found = Vec::new();
            decoder.decode(&block, |name, value| found.push((name.to_vec(), value.to_vec()))).unwrap();
            assert_eq!(found, fields, "round {round}");
            assert!(decoder.table.size() <= 4096);
            // And the same with some of its bytes broken.
            for _ in 0..random.usize(..4) {
                if let Some(place) = block.len().checked_sub(1).map(|last| random.usize(..=last)) {
                    block[place] = random.u8(..);
                }
            }
            let mut other = Decoder::new(256);
            let mut size = 0;
            let _ = other.decode(&block, |name, value| size += name.len() + value.len());
            assert!(other.table.size() <= 256, "round {round}: {size}");
        }
    }
}
