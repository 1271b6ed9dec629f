//! Messages made up from a seed: mostly right, often a little wrong.

use fastrand::Rng;

/// One of them; usually the first.
fn usually<'a>(random: &mut Rng, options: &[&'a str]) -> &'a str {
    if random.u8(..8) > 0 { options[0] } else { options[random.usize(..options.len())] }
}

fn any<'a>(random: &mut Rng, options: &[&'a str]) -> &'a str {
    options[random.usize(..options.len())]
}

const METHODS: &[&str] = &[
    "GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "CONNECT", "TRACE", "get", "M-SEARCH", "G@T",
];
const TARGETS: &[&str] = &[
    "/",
    "/a/b?c=d",
    "*",
    "//a",
    "http://h/",
    "http://h",
    "HTTP://h:80?q",
    "https://[::1]:8/a",
    "http://u@h/",
    "/a#b",
    "/a\\b",
    "/\u{e9}",
    "a",
    "h:80",
    "http:///a",
    "/|\"<>",
    "/%zz",
    "ftp://h/",
    "http://h%2g/",
];
const VERSIONS: &[&str] = &["HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 "];
const HOSTS: &[&str] = &[
    "h", "", "h:80", "[::1]:8", "[::1", "a b", "a,b", "h:", ":8", "h:99999", "h%41", "h%4", "u@h", "a_b",
    "\u{e9}",
];
const NAMES: &[&str] = &[
    "X-A",
    "accept",
    "x_a",
    "Cookie",
    "TE",
    "Upgrade",
    "Expect",
    "Connection",
    "Via",
    "X-Forwarded-For",
    "Trailer",
    "Keep-Alive",
    "Content-Length",
    "Transfer-Encoding",
    "Host",
    "!#$%&'*+-.^`|~09",
    "X-A ",
    "",
    "X A",
    "\u{e9}",
    "X-\u{1}",
    "Proxy-Connection",
];
const VALUES: &[&str] = &[
    "b",
    "",
    "a, b",
    " \t padded \t ",
    "caf\u{e9}",
    "close",
    "keep-alive, x-a",
    "100-continue",
    "200-ok",
    "trailers",
    "websocket",
    "upgrade",
    "a\tb",
    "\"q\"",
    "a\r b",
    "a\r\n b",
    "a\u{7f}",
    "a\0",
    "0",
    "5",
    "5, 5",
    "+5",
    "chunked",
    "gzip, chunked",
    "9223372036854775808",
];
const LENGTHS: &[&str] = &[
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Content-Length: 0",
    "Content-Length: 05",
    "content-length:5\r\nContent-Length: 5",
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Content-Length: 5 5",
    "Content-Length:",
    "Content-Length: 18446744073709551616",
    "Content-Length: -1",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer_Encoding: chunked",
    "Content-Length: 5;",
    "Transfer-Encoding: chunked;q=1",
];
const STATUSES: &[&str] = &[
    "200 OK",
    "404 Not Found",
    "204 ",
    "304 Not Modified",
    "100 Continue",
    "101 Switching Protocols",
    "099 Low",
    "999 High",
    "200",
    "20 OK",
    "2000 OK",
    "200  two",
    "500 \u{e9}",
    "200\tOK",
    "503 a\u{1}",
    "+20 OK",
];
const LINE_ENDS: &[&str] = &["\r\n", "\n", "\r", "\r\r\n", " \r\n", "\r\n ", "\0\r\n"];
const BEFORE: &[&str] = &["", "\r\n", "\r\n\r\n", "\n", "\r", " "];

/// The head of a request and sometimes something behind it.
pub(crate) fn request(random: &mut Rng) -> Vec<u8> {
    let mut text = usually(random, BEFORE).to_owned();
    let method = any(random, METHODS);
    let method = usually(random, &["GET", method]);
    let target = any(random, TARGETS);
    let target = usually(random, &["/a?b", target]);
    text += &format!("{method}{}{target}", usually(random, &[" ", "  ", "\t"]));
    text += &format!(" {}{}", usually(random, VERSIONS), end(random));
    let host = any(random, HOSTS);
    let host = usually(random, &["h", host]);
    match random.u8(..20) {
        0 => {}
        1 => text += &format!("Host: {host}\r\nhost: {host}\r\n"),
        _ => text += &format!("Host: {host}{}", end(random)),
    }
    fields(random, &mut text);
    text.into_bytes()
}

/// The head of an answer.
pub(crate) fn response(random: &mut Rng) -> Vec<u8> {
    let mut text = usually(random, BEFORE).to_owned();
    text += &format!("{} ", usually(random, VERSIONS));
    text += any(random, STATUSES);
    text += end(random);
    fields(random, &mut text);
    text.into_bytes()
}

fn end(random: &mut Rng) -> &'static str {
    if random.u8(..12) > 0 { "\r\n" } else { usually(random, LINE_ENDS) }
}

fn fields(random: &mut Rng, text: &mut String) {
    if random.u8(..3) == 0 {
        let lengths = any(random, LENGTHS);
        *text += usually(random, &[LENGTHS[0], lengths]);
        *text += end(random);
    }
    let count = if random.u8(..200) == 0 { 103 } else { random.usize(..5) };
    for _ in 0..count {
        let (name, value) = (any(random, NAMES), any(random, VALUES));
        let (name, value) = (usually(random, &["X-B", name]), usually(random, &["c", value]));
        let repeated = if random.u16(..1000) == 0 { value.repeat(2000) } else { value.to_owned() };
        *text += &format!("{name}:{}{repeated}{}", usually(random, &[" ", ""]), end(random));
    }
    *text += usually(random, &["\r\n", "\n", "", "\r\n\r\n", "\r\nbody"]);
}

/// A chunked body and something behind it.
pub(crate) fn chunked(random: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..random.usize(..5) {
        let size = random.usize(1..20);
        let digits = match random.u8(..24) {
            0 => format!("{size:X}"),
            1 => format!("{size:06x}"),
            2 => format!("{size:017x}"),
            _ => format!("{size:x}"),
        };
        let odd = any(random, &["", ";a=b", ";a=\"b;\t\"", " ;a", " ", "\t", ";\u{e9}", ";\0", ";a\rb", "h"]);
        let extension = usually(random, &["", odd]);
        // As long as a line may be, or a little less or more.
        let is_long = random.u16(..500) == 0;
        let long = if is_long { ";".repeat(random.usize(1018..1030)) } else { String::new() };
        body.extend(format!("{digits}{extension}{long}{}", end(random)).bytes());
        body.extend((0..size).map(|_| random.choice(b"0a\r\n;:").expect("there are some")));
        body.extend(end(random).bytes());
    }
    let last = usually(random, &["0", "000", "0;a", "", "00000000000000000"]);
    body.extend(format!("{last}{}", end(random)).bytes());
    for _ in 0..random.usize(..8).saturating_sub(5) {
        let (name, value) = (any(random, NAMES), any(random, VALUES));
        body.extend(format!("{name}: {value}{}", end(random)).bytes());
    }
    body.extend(usually(random, &["\r\n", "\n", "", "\r\n\r\n", "\r\nGET / HTTP/1.1\r\n"]).bytes());
    body
}

/// Changes a few bytes.
pub(crate) fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    const ODD: &[u8] = b"\r\n\r\n \t:;,/\\#?*0159aAfFgGhH%@_-\0\x01\x7f\x80\xff\x0b\"";
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let odd = random.choice(ODD).copied().expect("there are some");
        match random.u8(..6) {
            0 => bytes.insert(at, odd),
            1 if at < bytes.len() => bytes[at] = odd,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] = random.u8(..),
            4 if random.u8(..4) == 0 => bytes.truncate(at),
            5 => {
                let end = (at + random.usize(..12)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = random.usize(..=bytes.len());
                bytes.splice(to..to, part);
            }
            _ => {}
        }
    }
}
