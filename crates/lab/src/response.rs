//! A response as it stands in the bytes that came: where its head ends, how long its body is, and
//! whether anything follows.
//!
//! Pure. It shares no code with the balancer's own codec: an instrument that is built from what it
//! measures has the same blind spots.

/// The longest head that is read.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The longest body that is read.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

const HEADERS_MAX: usize = 100;

/// What a client got, for the check that a caller gives.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The head as it came, status line included.
    pub head: &'a [u8],
    /// The body, without the framing of chunks.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// The value of the first header with this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let head = std::str::from_utf8(self.head).ok()?;
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// What the head of a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: usize,
    pub(crate) framing: Framing,
    /// Whether another request may follow on the connection.
    pub(crate) keeps: bool,
    /// Whether it carries the id of another request.
    pub(crate) is_for_another: bool,
}

/// The bytes are no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotHttp;

/// Reads the head of a response to the request with this id. Nothing if it is not whole yet.
pub(crate) fn head(bytes: &[u8], id: &str) -> Result<Option<Head>, NotHttp> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(NotHttp),
    };
    let status = response.code.ok_or(NotHttp)?;
    let mut head = Head {
        status,
        length,
        framing: Framing::UntilClose,
        keeps: response.version == Some(1),
        is_for_another: false,
    };
    for header in response.headers.iter() {
        read_header(&mut head, header, id)?;
    }
    if matches!(status, 100..=199 | 204 | 304) {
        head.framing = Framing::Length(0);
    }
    head.keeps &= head.framing != Framing::UntilClose;
    Ok(Some(head))
}

fn read_header(head: &mut Head, header: &httparse::Header<'_>, id: &str) -> Result<(), NotHttp> {
    let value = header.value;
    if header.name.eq_ignore_ascii_case("content-length") {
        let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(NotHttp)?;
        let is_other = matches!(head.framing, Framing::Length(earlier) if earlier != length);
        if is_other || length > BODY_BYTES_MAX {
            return Err(NotHttp);
        }
        if head.framing != Framing::Chunked {
            head.framing = Framing::Length(length);
        }
    } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(NotHttp);
        }
        head.framing = Framing::Chunked;
    } else if header.name.eq_ignore_ascii_case("connection") {
        let mut words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        head.keeps &= !words.any(|word| word.eq_ignore_ascii_case(b"close"));
    } else if header.name.eq_ignore_ascii_case("x-request-id") {
        head.is_for_another = value != id.as_bytes();
    }
    Ok(())
}

/// A chunked body, read as it comes.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// What has been read of the bytes given.
    pub(crate) read: usize,
    /// The body so far.
    pub(crate) body: Vec<u8>,
}

impl Chunks {
    pub(crate) fn clear(&mut self) {
        self.read = 0;
        self.body.clear();
    }

    /// Reads on in the bytes behind a head; says whether the body is whole.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<bool, NotHttp> {
        loop {
            let rest = &bytes[self.read..];
            let (start, size) = match httparse::parse_chunk_size(rest).map_err(|_| NotHttp)? {
                httparse::Status::Complete((start, size)) => {
                    (start, usize::try_from(size).unwrap_or(usize::MAX))
                }
                httparse::Status::Partial => return Ok(false),
            };
            if self.body.len().saturating_add(size) > BODY_BYTES_MAX {
                return Err(NotHttp);
            }
            if size == 0 {
                let Some(trailer) = trailer_length(&rest[start..]) else { return Ok(false) };
                self.read += start + trailer;
                return Ok(true);
            }
            let Some(chunk) = rest.get(start..start + size + 2) else { return Ok(false) };
            if !chunk.ends_with(b"\r\n") {
                return Err(NotHttp);
            }
            self.body.extend_from_slice(&chunk[..size]);
            self.read += start + size + 2;
        }
    }
}

/// The bytes from behind the last chunk to the end of the empty line after the trailers.
fn trailer_length(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|position| position + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, NotHttp> {
        head(text.as_bytes(), "a-1")
    }

    #[test]
    fn the_head_says_how_the_body_ends_and_whether_more_may_follow() {
        for (text, framing, keeps) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: Close\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Framing::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, false),
            ("HTTP/1.1 204 No Content\r\n\r\n", Framing::Length(0), true),
        ] {
            let head = read(text).unwrap().unwrap();
            assert_eq!((head.framing, head.length), (framing, text.len()), "{text}");
            assert_eq!(head.keeps, keeps && framing != Framing::UntilClose, "{text}");
        }
    }

    #[test]
    fn a_head_that_is_not_whole_is_waited_for_and_what_is_no_head_is_not() {
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-le"), Ok(None));
        for text in [
            "hello\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        ] {
            assert_eq!(read(text), Err(NotHttp), "{text}");
        }
    }

    #[test]
    fn an_answer_with_the_id_of_another_request_is_known() {
        let text = |id| format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-request-id: {id}\r\n\r\n");
        assert!(!read(&text("a-1")).unwrap().unwrap().is_for_another);
        assert!(read(&text("a-2")).unwrap().unwrap().is_for_another);
    }

    #[test]
    fn chunks_are_put_together_wherever_they_are_cut() {
        let whole = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nsum: 1\r\n\r\nHTTP";
        for cut in 0..whole.len() {
            let mut chunks = Chunks::default();
            let was_whole = chunks.read(&whole[..cut]).unwrap();
            assert_eq!(was_whole, cut >= whole.len() - 4, "cut at {cut}");
            assert!(was_whole || chunks.read(whole).unwrap());
            assert_eq!((chunks.body.as_slice(), chunks.read), (b"hello world".as_slice(), whole.len() - 4));
        }
        assert!(Chunks::default().read(b"5\r\nhelloXX").is_err());
        assert!(Chunks::default().read(b"ffffffff\r\n").is_err(), "more than is read of a body");
    }

    #[test]
    fn a_header_is_found_whatever_its_case() {
        let head = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-Replica:  web_2 \r\n\r\n";
        let answer = Response { status: 200, head, body: b"" };
        assert_eq!(answer.header("x-replica"), Some("web_2"));
        assert_eq!(answer.header("x-other"), None);
    }
}
