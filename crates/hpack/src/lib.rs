//! Blocks of fields as HTTP/2 compresses them (RFC 7541), read without input or output.
//!
//! It says which bytes stand for which fields, and judges nothing about them: a name with a line end in it is
//! a name here. What it keeps is bounded by the table's size and by the length of a block, whatever is in it.
//!
//! ```
//! let mut decoder = hpack::Decoder::new(4096);
//! let mut fields = Vec::new();
//! let block = [0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
//! decoder.decode(&block, |name, value| fields.push((name.to_vec(), value.to_vec())))?;
//! assert_eq!(fields[0], (b":method".to_vec(), b"GET".to_vec()));
//! assert_eq!(fields[3], (b":authority".to_vec(), b"www.example.com".to_vec()));
//! # Ok::<(), hpack::BadBlock>(())
//! ```
//!
//! # Why a decoder of our own
//!
//! The one inside of HTTP/2's library is not to be had alone, and refuses with the whole connection what is
//! wrong with one field. Of those that are published by themselves the youngest release (`loona-hpack` 0.4.3) is
//! of November 2024, and mended a panic.

mod fault;
mod integer;
mod huffman;
mod table;
mod decoder;

pub use decoder::Decoder;
pub use fault::BadBlock;
