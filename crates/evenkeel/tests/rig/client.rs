//! A small HTTP client that shows every byte of an answer and hides nothing.

use std::io::{Read, Write};
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

/// One request on a connection of its own.
pub fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{length}\r\n{body}");
    raw(address, request.as_bytes()).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
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

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
    Some(Answer { status, headers, body: body.to_string() })
}
