//! The compressors of other crates, as one: bytes go in, and what is ready is taken out. All of their memory is
//! the allocator's, which is asked how much all clients make us keep.

use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::coding::Coding;

/// How hard it is tried, from 0 to 9, and from 0 to 11: what pages are smaller by with more is not worth the time
/// that their readers wait.
const GZIP_LEVEL: u32 = 4;
const BROTLI_QUALITY: i32 = 3;
/// How far back a page may repeat itself, as a power of two: 64 KiB. It is most of a compressor's memory; with
/// four times as much, or quality 4, that would be two to four times as much for a few per cent.
const BROTLI_WINDOW: i32 = 16;
/// What brotli writes in one piece, in bytes.
const BROTLI_PIECE: usize = 4 << 10;

/// One body on its way into a coding.
pub(super) enum Encoder {
    Gzip(Option<Box<GzEncoder<Vec<u8>>>>),
    Brotli(Option<Box<CompressorWriter<Vec<u8>>>>),
}

impl Encoder {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => {
                Self::Gzip(Some(Box::new(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL)))))
            }
            Coding::Brotli => {
                let parameters = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW,
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(Vec::new(), BROTLI_PIECE, &parameters);
                Self::Brotli(Some(Box::new(writer)))
            }
        }
    }

    /// Takes some more of the body.
    pub(super) fn write(&mut self, bytes: &[u8], ready: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(Some(encoder)) => {
                encoder.write_all(bytes)?;
                ready.append(encoder.get_mut());
            }
            Self::Brotli(Some(encoder)) => {
                encoder.write_all(bytes)?;
                ready.append(encoder.get_mut());
            }
            Self::Gzip(None) | Self::Brotli(None) => {}
        }
        Ok(())
    }

    /// Gives out all that was taken, so that a reader need not wait for more.
    pub(super) fn flush(&mut self, ready: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(Some(encoder)) => {
                encoder.flush()?;
                ready.append(encoder.get_mut());
            }
            Self::Brotli(Some(encoder)) => {
                encoder.flush()?;
                ready.append(encoder.get_mut());
            }
            Self::Gzip(None) | Self::Brotli(None) => {}
        }
        Ok(())
    }

    /// Gives out the end, and the memory back.
    pub(super) fn finish(&mut self, ready: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => {
                if let Some(encoder) = encoder.take() {
                    ready.append(&mut encoder.finish()?);
                }
            }
            Self::Brotli(encoder) => {
                if let Some(encoder) = encoder.take() {
                    ready.append(&mut encoder.into_inner());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap(),
        };
        out
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        let page: Vec<u8> = (0..40_000).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
        for coding in Coding::ALL {
            for piece in [1 << 10, 10_007, 1 << 20] {
                let (mut encoder, mut ready) = (Encoder::new(coding), Vec::new());
                page.chunks(piece).for_each(|bytes| encoder.write(bytes, &mut ready).unwrap());
                encoder.finish(&mut ready).unwrap();
                assert_eq!(decoded(coding, &ready), page, "{coding:?}");
                assert!(ready.len() < page.len() / 3, "{coding:?}: {} of {}", ready.len(), page.len());
            }
        }
    }

    #[test]
    fn what_is_flushed_can_be_read() {
        for coding in Coding::ALL {
            let (mut encoder, mut ready) = (Encoder::new(coding), Vec::new());
            encoder.write(b"first", &mut ready).unwrap();
            encoder.flush(&mut ready).unwrap();
            let mut first = [0; 5];
            match coding {
                Coding::Gzip => flate2::read::GzDecoder::new(&ready[..]).read_exact(&mut first).unwrap(),
                Coding::Brotli => brotli::Decompressor::new(&ready[..], 64).read_exact(&mut first).unwrap(),
            }
            assert_eq!(&first, b"first", "{coding:?}");
        }
    }
}
