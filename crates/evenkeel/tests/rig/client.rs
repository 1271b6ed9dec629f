//! A small HTTP client that shows every byte of an answer and hides nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The admin API of a balancer, with what it asks for.
#[derive(Clone, Copy, Debug)]
pub struct AdminApi {
    pub address: SocketAddr,
    /// In a test nobody has to forget it.
    pub token: &'static str,
}

impl std::fmt::Display for AdminApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

/// Whom a request is for.
#[derive(Clone, Copy, Debug)]
pub enum Whom {
    Anybody(SocketAddr),
    Admin(AdminApi),
}

impl From<SocketAddr> for Whom {
    fn from(address: SocketAddr) -> Self {
        Self::Anybody(address)
    }
}

impl From<AdminApi> for Whom {
    fn from(admin: AdminApi) -> Self {
        Self::Admin(admin)
    }
}

/// One request on a connection of its own. To an admin API it brings what that asks for.
pub fn send(whom: impl Into<Whom>, method: &str, path: &str, body: &str) -> Answer {
    try_send(whom, method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// The same, where nobody may be there any more.
pub fn try_send(whom: impl Into<Whom>, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
    let (address, fields) = match whom.into() {
        Whom::Anybody(address) => (address, "Host: test\r\n".to_owned()),
        Whom::Admin(AdminApi { address, token }) => {
            let authorization =
                format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
            (address, format!("Host: {address}\r\n{authorization}"))
        }
    };
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!("{method} {path} HTTP/1.1\r\n{fields}Connection: close\r\n{length}\r\n{body}");
    raw(address, request.as_bytes())
}

/// Sends bytes as they are and reads one answer to the end of the connection.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    // The answer may come, and the connection end, before everything is sent.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let end = stream.read_to_end(&mut text);
    if text.is_empty() {
        end?;
    }
    parse(&String::from_utf8_lossy(&text)).ok_or_else(|| std::io::Error::other("not an answer"))
}

/// A conversation with the balancer, step by step. Waits are bounded; what does not come fails the test.
pub struct Talk {
    pub stream: BufReader<TcpStream>,
}

impl Talk {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        stream.set_write_timeout(Some(super::PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Says that nothing more will be said.
    pub fn end(&self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// The head of the next answer.
    pub fn head(&mut self) -> Answer {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut text).unwrap(), 0, "it ends within a head: {text:?}");
        }
        parse(&text).unwrap_or_else(|| panic!("no answer: {text:?}"))
    }

    /// The next answer, with the body that its length or its chunks say.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            answer.body = String::from_utf8(self.bytes(length)).unwrap();
        } else if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk() {
                answer.body.push_str(&chunk);
            }
            assert_eq!(self.line(), "");
        }
        answer
    }

    /// The next chunk; none at the last one, behind which trailers may follow.
    pub fn chunk(&mut self) -> Option<String> {
        let size = self.line();
        let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("no size: {size:?}"));
        if size == 0 {
            return None;
        }
        let mut chunk = self.bytes(size + 2);
        assert_eq!(chunk.split_off(size), b"\r\n");
        Some(String::from_utf8(chunk).unwrap())
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("no whole line: {line:?}")).to_owned()
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything to the end of the connection, or how it broke.
    pub fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).map(|_| rest)
    }
}

pub fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
    Some(Answer { status, headers, body: body.to_string() })
}
