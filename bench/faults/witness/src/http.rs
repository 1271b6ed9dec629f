//! As much of HTTP/1.1 as a witness needs: a request from a connection, and an answer to it.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;

const LINE_MAX: u64 = 16 * 1024;
const HEADERS_MAX: usize = 100;
const BODY_MAX: u64 = 1024 * 1024;

/// One request, its body read and forgotten.
#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub id: String,
    pub closes: bool,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn line(reader: &mut BufReader<&TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    reader.by_ref().take(LINE_MAX).read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(invalid("a line without its end")),
    }
}

/// The next request; an error where there is none any more.
pub fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Request> {
    let first = line(reader)?;
    let mut words = first.split(' ');
    let mut request = Request {
        method: words.next().unwrap_or_default().into(),
        path: words.next().ok_or_else(|| invalid("no path"))?.into(),
        ..Request::default()
    };
    let mut length = 0;
    for _ in 0..HEADERS_MAX {
        let header = line(reader)?;
        let Some((name, value)) = header.split_once(':') else { break };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("x-request-id", value) => request.id = value.into(),
            ("content-length", value) => length = value.parse().map_err(|_| invalid("a wrong length"))?,
            ("transfer-encoding", _) => return Err(invalid("a body of unknown length")),
            ("connection", value) => request.closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    if length > BODY_MAX {
        return Err(invalid("a body that is too long"));
    }
    io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
    Ok(request)
}

/// An answer in JSON.
pub fn answer(status: &str, body: &str, closes: bool) -> String {
    let connection = if closes { "connection: close\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{connection}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
