//! Messages as the tests' own peers read them: strictly. What two readers could read differently is
//! a fault here, whoever wrote it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::notation::shown;

/// The largest head that is read.
const HEAD_MAX: usize = 1 << 18;

#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// In lower case.
    pub(crate) name: String,
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) line: Vec<u8>,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: Vec<Field>,
    /// The connection ended before the body did.
    pub(crate) is_cut: bool,
}

/// Why there is nothing more to read.
#[derive(Clone, Debug)]
pub(crate) enum Unread {
    End,
    Late,
    Bad(String),
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, Unread> {
        let mut lines = lines(bytes)?.into_iter();
        let line = lines.next().unwrap_or_default().to_vec();
        Ok(Self { line, fields: lines.map(field).collect::<Result<_, _>>()? })
    }

    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|field| field.name == name);
        named.map(|field| field.value.as_slice()).collect()
    }

    /// The second word of a request line.
    pub(crate) fn target(&self) -> &[u8] {
        self.line.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
    }

    /// The body's length as the head has it; `otherwise` when it says nothing.
    pub(crate) fn framing(&self, otherwise: Framing) -> Result<Framing, Unread> {
        match (&self.values("content-length")[..], &self.values("transfer-encoding")[..]) {
            ([], []) => Ok(otherwise),
            ([], [b"chunked"]) => Ok(Framing::Chunked),
            ([length], []) if length.iter().all(u8::is_ascii_digit) => {
                let length = String::from_utf8_lossy(length).parse();
                length.map(Framing::Length).map_err(|_| bad("no number", &self.line))
            }
            (lengths, codings) => Err(Unread::Bad(format!("framing: {lengths:?} and {codings:?}"))),
        }
    }
}

fn bad(what: &str, bytes: &[u8]) -> Unread {
    Unread::Bad(format!("{what}: {}", shown(bytes)))
}

/// Lines that end with CR LF and have neither inside.
fn lines(bytes: &[u8]) -> Result<Vec<&[u8]>, Unread> {
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").ok_or_else(|| bad("a bare LF", line))?;
        if line.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()) {
            return Err(bad("a control character", line));
        }
        lines.push(line);
    }
    Ok(lines)
}

fn field(line: &[u8]) -> Result<Field, Unread> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| bad("no colon", line))?;
    let name = &line[..colon];
    let is_token = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    if name.is_empty() || !is_token {
        return Err(bad("not a name", line));
    }
    let name = String::from_utf8_lossy(name).to_lowercase();
    Ok(Field { name, value: line[colon + 1..].trim_ascii().to_vec() })
}

/// One end of a connection.
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Everything that was written and read, to be shown.
    pub(crate) sent: Vec<u8>,
    pub(crate) received: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr, limit: Duration) -> Self {
        Self::new(TcpStream::connect(address).unwrap(), limit)
    }

    /// No read and no write takes longer than `limit`.
    pub(crate) fn new(stream: TcpStream, limit: Duration) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(limit)).unwrap();
        stream.set_write_timeout(Some(limit)).unwrap();
        Self { stream, unread: Vec::new(), sent: Vec::new(), received: Vec::new() }
    }

    /// Whether all of it was taken; the other side may have closed before.
    pub(crate) fn write(&mut self, bytes: &[u8], is_bytewise: bool) -> bool {
        let size = if is_bytewise { 1 } else { bytes.len().max(1) };
        bytes.chunks(size).all(|piece| {
            let is_written = self.stream.write_all(piece).is_ok();
            self.sent.extend_from_slice(piece);
            is_written
        })
    }

    pub(crate) fn finish(&self, side: Shutdown) {
        let _ = self.stream.shutdown(side);
    }

    /// The next head, or the end where a message could begin.
    pub(crate) fn head(&mut self) -> Result<Head, Unread> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Head::parse(&head[..end + 2]);
            }
            if self.unread.len() > HEAD_MAX {
                return Err(bad("a head without end", &self.unread));
            }
            match self.fill() {
                Err(Unread::End) if !self.unread.is_empty() => return Err(bad("half a head", &self.unread)),
                other => other?,
            }
        }
    }

    pub(crate) fn body(&mut self, framing: Framing) -> Result<Body, Unread> {
        let mut body = Body::default();
        let result = match framing {
            Framing::Empty => Ok(()),
            Framing::Length(length) => self.take(length, &mut body.bytes),
            Framing::Chunked => self.chunks(&mut body),
            Framing::UntilClose => match self.take(u64::MAX, &mut body.bytes) {
                Err(Unread::End) => Ok(()),
                other => other,
            },
        };
        match result {
            Err(Unread::End) => body.is_cut = true,
            other => other?,
        }
        Ok(body)
    }

    /// So many bytes, or those before the end.
    pub(crate) fn take(&mut self, count: u64, bytes: &mut Vec<u8>) -> Result<(), Unread> {
        let mut missing = count;
        while missing > 0 {
            if self.unread.is_empty() {
                self.fill()?;
            }
            let ready = usize::try_from(missing).unwrap_or(usize::MAX).min(self.unread.len());
            bytes.extend(self.unread.drain(..ready));
            missing -= ready as u64;
        }
        Ok(())
    }

    fn chunks(&mut self, body: &mut Body) -> Result<(), Unread> {
        loop {
            let line = self.line()?;
            let is_size = !line.is_empty() && line.len() <= 16 && line.iter().all(u8::is_ascii_hexdigit);
            if !is_size {
                return Err(bad("not a chunk size alone", &line));
            }
            let size = u64::from_str_radix(&String::from_utf8_lossy(&line), 16).unwrap();
            if size == 0 {
                break;
            }
            self.take(size, &mut body.bytes)?;
            if !self.line()?.is_empty() {
                return Err(bad("a chunk longer than its size", &body.bytes));
            }
        }
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(());
            }
            body.trailers.push(field(&line)?);
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, Unread> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(lines(&line)?[0].to_vec());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Unread> {
        let mut buffer = [0; 1 << 14];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(Unread::End),
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                self.received.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(Unread::Late)
            }
            // A reset is an end, too: whoever closes need not have read everything.
            Err(_) => Err(Unread::End),
        }
    }
}
