//! One connection of a client: a request goes out, a response comes in and is checked. Whatever goes
//! wrong is named.
//!
//! It never sends anything twice: that a request has to be repeated is a finding.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::check::Check;
use crate::response::{self, BODY_BYTES_MAX, Chunks, Framing, Head, NotHttp, Response};
use crate::tally::Loss;

const BUFFER_BYTES: usize = 2048;
/// How much of a wrong response is shown.
const SHOWN_BYTES: usize = 120;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// The response as it came.
    buffer: Vec<u8>,
    /// Where the response ends in the buffer. What is behind it, nobody has asked for.
    end: usize,
    /// The body of the response, if it came in chunks.
    chunks: Chunks,
    keeps: bool,
}

/// A failure with its details.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) loss: Loss,
    pub(crate) detail: String,
}

/// What a connection that is not used looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing has come, it can be used.
    Fine,
    /// The other end has closed it.
    Closed,
    /// Something came that nobody asked for.
    Unasked,
}

impl From<Loss> for Failed {
    fn from(loss: Loss) -> Self {
        Self { loss, detail: String::new() }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        let loss = match error.kind() {
            ErrorKind::ConnectionRefused => Loss::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Loss::Reset,
            ErrorKind::UnexpectedEof | ErrorKind::NotConnected => Loss::Closed,
            ErrorKind::TimedOut => Loss::Timeout,
            ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => Loss::NotSent,
            _ if is_out_of_descriptors(&error) => Loss::NotSent,
            _ => Loss::Unreachable,
        };
        Self { loss, detail: error.to_string() }
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let number = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| number == Some(errno.raw_os_error()))
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Ok(Self { stream, buffer, end: 0, chunks: Chunks::default(), keeps: true })
    }

    /// Whether another request may follow.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }

    pub(crate) fn rest(&self) -> Rest {
        if self.buffer.len() > self.end {
            return Rest::Unasked;
        }
        match self.stream.try_read(&mut [0; 1]) {
            Ok(0) => Rest::Closed,
            Ok(_) => Rest::Unasked,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Rest::Fine,
            Err(_) => Rest::Closed,
        }
    }

    /// One request and its response; the name of who gave it. After a failure, or a wait that was given
    /// up, the connection must not be used again.
    pub(crate) async fn exchange(&mut self, request: &str, id: &str, check: &Check) -> Result<&str, Failed> {
        self.buffer.clear();
        self.chunks.clear();
        // A server that says no early may have closed its side; what it said can be read.
        let written = self.stream.write_all(request.as_bytes()).await;
        let head = match self.head(id).await {
            Ok(head) => head,
            Err(error) => return Err(written.err().map_or(error, Failed::from)),
        };
        self.end = self.body_end(&head).await?;
        self.keeps = head.keeps && written.is_ok();
        if head.is_for_another {
            let detail = "the answer carries the id of another request".into();
            return Err(Failed { loss: Loss::Garbled, detail });
        }
        let body = match head.framing {
            Framing::Chunked => self.chunks.body.as_slice(),
            Framing::Length(_) | Framing::UntilClose => &self.buffer[head.length..self.end],
        };
        let response = Response { status: head.status, head: &self.buffer[..head.length], body };
        check(&response).map_err(|loss| Failed { loss, detail: shown(&response) })
    }

    /// The head of the response, those of interim responses passed over.
    async fn head(&mut self, id: &str) -> Result<Head, Failed> {
        loop {
            match response::head(&self.buffer, id) {
                Ok(Some(head)) if matches!(head.status, 100 | 102..=199) => {
                    self.buffer.drain(..head.length);
                }
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {
                    self.read_more().await?;
                }
                Err(NotHttp) => return Err(self.garbled()),
            }
        }
    }

    /// Where the response ends in the buffer, once it is there.
    async fn body_end(&mut self, head: &Head) -> Result<usize, Failed> {
        loop {
            match head.framing {
                Framing::Length(length) if self.buffer.len() >= head.length + length => {
                    return Ok(head.length + length);
                }
                Framing::Length(_) => self.read_more().await?,
                Framing::Chunked => match self.chunks.read(&self.buffer[head.length..]) {
                    Ok(true) => return Ok(head.length + self.chunks.read),
                    Ok(false) => self.read_more().await?,
                    Err(NotHttp) => return Err(self.garbled()),
                },
                Framing::UntilClose if self.buffer.len() > head.length + BODY_BYTES_MAX => {
                    return Err(self.garbled());
                }
                Framing::UntilClose => {
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        return Ok(self.buffer.len());
                    }
                }
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), Failed> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => {
                let detail = format!("after {} bytes of an answer", self.buffer.len());
                Err(Failed { loss: Loss::Closed, detail })
            }
            _ => Ok(()),
        }
    }

    fn garbled(&self) -> Failed {
        Failed { loss: Loss::Garbled, detail: beginning(&self.buffer) }
    }
}

fn shown(response: &Response<'_>) -> String {
    format!("{} {}", response.status, beginning(response.body))
}

fn beginning(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]).into_owned()
}
