//! The bytes of a body among the bytes of a connection.

use crate::chunked::Chunked;
use crate::{BadBody, BodyLength, Fields, HeadLimits, Look};

/// Finds out which bytes of a connection are the body of a message.
#[derive(Clone, Debug)]
pub struct BodyReader {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Exact(u64),
    Chunked(Box<Chunked>),
    UntilClose,
}

impl BodyReader {
    /// A reader at the beginning of a body of this length. Its trailers may be as large as a head.
    pub fn new(length: BodyLength, limits: &HeadLimits) -> Self {
        let kind = match length {
            BodyLength::None => Kind::Exact(0),
            BodyLength::Exact(length) => Kind::Exact(length),
            BodyLength::Chunked => Kind::Chunked(Box::new(Chunked::new(limits))),
            BodyLength::UntilClose => Kind::UntilClose,
        };
        Self { kind }
    }

    /// What these bytes are, which are the next ones of the connection. The caller takes the bytes to
    /// skip off at once, and those of the body with [`BodyReader::take`] as it uses them. With nothing
    /// to use, more bytes are needed.
    pub fn look(&mut self, input: &[u8]) -> Result<Look, BadBody> {
        match &mut self.kind {
            Kind::Exact(left) => {
                let data = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                Ok(Look { skip: 0, data, is_end: *left == 0 })
            }
            Kind::Chunked(chunked) => chunked.look(input),
            Kind::UntilClose => Ok(Look { skip: 0, data: input.len(), is_end: false }),
        }
    }

    /// This many bytes of the body were used, at most as many as the last look has found.
    pub fn take(&mut self, taken: usize) {
        match &mut self.kind {
            Kind::Exact(left) => *left = left.saturating_sub(taken as u64),
            Kind::Chunked(chunked) => chunked.take(taken),
            Kind::UntilClose => {}
        }
    }

    /// Whether all of it was found.
    pub fn is_end(&self) -> bool {
        match &self.kind {
            Kind::Exact(left) => *left == 0,
            Kind::Chunked(chunked) => chunked.is_end(),
            Kind::UntilClose => false,
        }
    }

    /// How many bytes are missing, where that was said before.
    pub fn bytes_left(&self) -> Option<u64> {
        match &self.kind {
            Kind::Exact(left) => Some(*left),
            Kind::Chunked(_) | Kind::UntilClose => None,
        }
    }

    /// Whether the end of the connection is the end of the body.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.kind, Kind::UntilClose)
    }

    /// The trailers of a body that has ended.
    pub fn trailers(&self) -> Option<&Fields> {
        match &self.kind {
            Kind::Chunked(chunked) => chunked.trailer_fields().filter(|fields| !fields.is_empty()),
            Kind::Exact(_) | Kind::UntilClose => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small ones, and the usual names.
    fn limits() -> HeadLimits {
        HeadLimits { head_max: 8 << 10, fields_max: 32, ..HeadLimits::default() }
    }

    /// What a reader finds that is given the input in pieces of this size, and what it leaves.
    fn read(length: BodyLength, input: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>, bool), BadBody> {
        let mut reader = BodyReader::new(length, &limits());
        let (mut held, mut body) = (Vec::new(), Vec::new());
        let mut pieces = input.chunks(piece);
        loop {
            let look = reader.look(&held)?;
            body.extend_from_slice(&held[look.skip..look.skip + look.data]);
            reader.take(look.data);
            held.drain(..look.skip + look.data);
            if look.is_end {
                held.extend(pieces.flatten());
                return Ok((body, held, true));
            }
            if look.data == 0 && look.skip == 0 {
                match pieces.next() {
                    Some(piece) => held.extend_from_slice(piece),
                    None => return Ok((body, held, reader.is_end())),
                }
            }
        }
    }

    #[test]
    fn bodies_are_found_however_they_are_cut() {
        let chunked = b"4\r\nWiki\r\n00006;x=\"y\"\r\npedia \r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        for piece in 1..=chunked.len() {
            let (body, rest, is_end) = read(BodyLength::Chunked, chunked, piece).unwrap();
            assert_eq!((&body[..], &rest[..], is_end), (&b"Wikipedia "[..], &b"GET /"[..], true), "{piece}");
            let (body, rest, is_end) = read(BodyLength::Exact(5), b"helloGET", piece).unwrap();
            assert_eq!((&body[..], &rest[..], is_end), (&b"hello"[..], &b"GET"[..], true), "{piece}");
        }
    }

    #[test]
    fn chunks_that_are_none() {
        let cases: [&[u8]; 23] = [
            b"\r\n",
            b";a\r\n",
            b"+4\r\n",
            b"-1\r\n",
            b"0x4\r\n",
            b" 4\r\n",
            b"4 \r\n",
            b"4 ;a\r\n",
            b"4\n",
            b"4\r\r\n",
            b"g\r\n",
            b"4;a\0\r\n",
            b"4;a\rb\r\n",
            b"8000000000000000\r\n",
            b"10000000000000000\r\n",
            b"00000000000000004\r\n",
            b"4\r\nWikiX",
            b"4\r\nWiki\n",
            b"4\r\nWiki\rX",
            b"0\r\n\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\na: b\r\n c\r\n\r\n",
            b"0\r\na : b\r\n\r\n",
        ];
        for input in cases {
            for piece in [1, input.len()] {
                let read = read(BodyLength::Chunked, input, piece);
                assert_eq!(read, Err(BadBody::Malformed), "{}", input.escape_ascii());
            }
        }
    }

    #[test]
    fn trailers_are_there_only_when_all_of_them_are_fine() {
        let trailers = |input: &[u8]| {
            let mut reader = BodyReader::new(BodyLength::Chunked, &limits());
            let _ = reader.look(input);
            reader.trailers().map(Fields::len)
        };
        assert_eq!(trailers(b"0\r\na: b\r\n\r\n"), Some(1));
        assert_eq!(trailers(b"0\r\n\r\n"), None);
        assert_eq!(trailers(b"0\r\na: b\r\n"), None);
        assert_eq!(trailers(b"0\r\na: b\r\nc\r\n\r\n"), None);
    }

    #[test]
    fn a_fault_stays_one_whatever_follows() {
        let mut reader = BodyReader::new(BodyLength::Chunked, &limits());
        assert_eq!(reader.look(b"0\r\nno colon\r\n\r\n"), Err(BadBody::Malformed));
        assert_eq!(reader.look(b"\r\n"), Err(BadBody::Malformed));
        assert!(!reader.is_end());
    }

    #[test]
    fn framing_has_limits() {
        let line = [b"1;".to_vec(), vec![b'a'; 2000], b"\r\n".to_vec()].concat();
        assert_eq!(read(BodyLength::Chunked, &line, 7), Err(BadBody::TooLong));
        let chunk = [b"1;".to_vec(), vec![b'a'; 1000], b"\r\nx\r\n".to_vec()].concat();
        assert_eq!(read(BodyLength::Chunked, &chunk.repeat(20), 4096), Err(BadBody::TooLong));
        let trailers = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(2000)].concat();
        assert_eq!(read(BodyLength::Chunked, &trailers, 100), Err(BadBody::TooLong));
        let many = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(33), b"\r\n".to_vec()].concat();
        assert_eq!(read(BodyLength::Chunked, &many, 100), Err(BadBody::Malformed));
    }

    #[test]
    fn limits_of_framing_are_exact_however_it_is_cut() {
        let size = |length: usize, end: &str| [&b"1;"[..], &vec![b'a'; length - 2], end.as_bytes()].concat();
        let trailers =
            |length: usize, end: &str| [&b"0\r\na:"[..], &vec![b'b'; length - 6], end.as_bytes()].concat();
        let cases = [
            (size(1024, "\r\n"), None),
            (size(1025, "\r\n"), Some(BadBody::TooLong)),
            (size(1030, "\n"), Some(BadBody::TooLong)),
            (trailers(8192, "\r\n\r\n"), None),
            (trailers(8193, "\r\n\r\n"), Some(BadBody::TooLong)),
            (trailers(8200, "\n"), Some(BadBody::TooLong)),
        ];
        for (input, fault) in cases {
            for piece in [1, 2, 3, 1024, 1025, 1026, input.len()] {
                let read = read(BodyLength::Chunked, &input, piece);
                assert_eq!(read.err(), fault, "{} bytes by {piece}", input.len());
            }
        }
    }

    #[test]
    fn a_body_without_a_length_takes_everything() {
        assert_eq!(read(BodyLength::UntilClose, b"all of it", 2), Ok((b"all of it".to_vec(), vec![], false)));
    }
}
