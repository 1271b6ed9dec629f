//! A plain client for the few calls that are no load: one request, one answer, one connection, and
//! a limit on all of it. It blocks.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fleet::Address;

use crate::response::{self, BODY_BYTES_MAX, Chunks, Framing, NotHttp};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The head as it came, status line included.
    pub head: Vec<u8>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of the first header with this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        response::Response { status: self.status, head: &self.head, body: &self.body }.header(name)
    }
}

/// A call that brought no response.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody could be reached, or the response broke off.
    #[error("{url} does not answer")]
    Io {
        /// What was called.
        url: String,
        /// What the system says.
        source: io::Error,
    },
    /// What came is no HTTP.
    #[error("what {url} answers is no HTTP")]
    NotHttp {
        /// What was called.
        url: String,
    },
}

trait Stream: Read + Write {
    fn limit(&self, left: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

impl Stream for UnixStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, with a query if there is one.
    pub path: &'a str,
    /// The body. One that is not empty is announced as JSON.
    pub body: &'a str,
}

/// The admin API of a balancer, and the token that it asks for.
#[derive(Clone)]
pub struct AdminApi {
    /// Where it is.
    pub address: Address,
    /// What it lets us in for, if it asks for anything.
    pub token: Option<String>,
}

impl AdminApi {
    /// `GET` of a path.
    pub(crate) fn get(&self, path: &str, limit: Duration) -> Result<Reply, CallError> {
        let token = self.token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n"));
        let (host, token) = (host_of(&self.address), token.unwrap_or_default());
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{token}\r\n");
        send(&self.address, &request, Instant::now() + limit)
    }
}

impl fmt::Debug for AdminApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminApi").field("address", &self.address).finish_non_exhaustive()
    }
}

/// One request to this address. Fails if there is no whole response within the limit.
pub(crate) fn call(address: &Address, call: &Call<'_>, limit: Duration) -> Result<Reply, CallError> {
    let Call { method, path, body } = *call;
    let announced = match (method, body.len()) {
        ("GET", 0) => String::new(),
        (_, length) => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
    };
    let host = host_of(address);
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{announced}\r\n");
    send(address, &(head + body), Instant::now() + limit)
}

fn host_of(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(_) => "localhost".into(),
    }
}

/// `GET` of a path of this host.
pub(crate) fn get_of(address: &Address, host: &str, path: &str, limit: Duration) -> Result<Reply, CallError> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    send(address, &request, Instant::now() + limit)
}

/// `GET` of a path.
pub(crate) fn get(address: &Address, path: &str, limit: Duration) -> Result<Reply, CallError> {
    call(address, &Call { method: "GET", path, body: "" }, limit)
}

fn send(address: &Address, request: &str, end: Instant) -> Result<Reply, CallError> {
    let failed = |source| CallError::Io { url: address.url(), source };
    let left = || end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream: Box<dyn Stream> = match address {
        Address::Tcp(address) => Box::new(TcpStream::connect_timeout(address, left()).map_err(failed)?),
        Address::Unix(path) => Box::new(UnixStream::connect(path).map_err(failed)?),
    };
    stream.limit(left()).map_err(failed)?;
    // A server that says no early may not read all; the response tells.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    let mut is_over = false;
    loop {
        match reply(&bytes, is_over) {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) if is_over => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(None) => {}
            Err(NotHttp) => return Err(CallError::NotHttp { url: address.url() }),
        }
        if Instant::now() >= end {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
        stream.limit(left()).map_err(failed)?;
        let mut read = [0; 16 * 1024];
        let count = stream.read(&mut read).map_err(|error| failed(timed_out(error)))?;
        bytes.extend_from_slice(&read[..count]);
        is_over = count == 0;
    }
}

/// A limit on a socket that has passed looks like a socket that would block.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

/// The response in these bytes, if it is whole; `is_over` says that no more will come.
fn reply(bytes: &[u8], is_over: bool) -> Result<Option<Reply>, NotHttp> {
    if bytes.len() > BODY_BYTES_MAX + response::HEAD_BYTES_MAX {
        return Err(NotHttp);
    }
    let Some(head) = response::head(bytes, "")? else { return Ok(None) };
    let rest = &bytes[head.length..];
    let body = match head.framing {
        Framing::Length(length) => rest.get(..length).map(<[u8]>::to_vec),
        Framing::UntilClose => is_over.then(|| rest.to_vec()),
        Framing::Chunked => {
            let mut chunks = Chunks::default();
            chunks.read(rest)?.then_some(chunks.body)
        }
    };
    Ok(body.map(|body| Reply { status: head.status, head: bytes[..head.length].to_vec(), body }))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection with these bytes.
    fn served(bytes: &'static str) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(bytes.as_bytes()).unwrap();
        });
        address.into()
    }

    #[test]
    fn an_answer_is_whole_by_its_length_its_chunks_or_its_end() {
        for bytes in [
            "HTTP/1.1 200 OK\r\nX-A: b\r\ncontent-length: 2\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nx-a: b\r\n\r\nhi",
        ] {
            let reply = get(&served(bytes), "/", Duration::from_secs(10)).unwrap();
            assert_eq!((reply.status, reply.text().as_str(), reply.header("x-a")), (200, "hi", Some("b")));
        }
    }

    #[test]
    fn half_an_answer_and_nonsense_are_errors() {
        let half =
            get(&served("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi"), "/", Duration::from_secs(10));
        assert!(
            matches!(half, Err(CallError::Io { source, .. }) if source.kind() == io::ErrorKind::UnexpectedEof)
        );
        let nonsense = get(&served("hello\r\n\r\n"), "/", Duration::from_secs(10));
        assert!(matches!(nonsense, Err(CallError::NotHttp { .. })));
    }
}
