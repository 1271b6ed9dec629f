//! Responses that are compressed: for whom, how their heads say so, and that their bytes are the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc;

use crate::rig::backend::{Backend, Received};
use crate::rig::client::Talk;
use crate::rig::{Balancer, PATIENCE, Rig, client};
use crate::{service, speak};

const BOTH: &str = "[service.compression]\nalgorithms = [\"br\", \"gzip\"]\n";

/// A page of which no two lines are alike.
fn page(bytes: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line| format!("<li>line {line} of {}</li>\n", line * 7919).into_bytes());
    lines.take(bytes).collect()
}

/// Says a page of the size that its path asks for, with a length or in chunks.
fn pages() -> Backend {
    Backend::start(|request, stream| {
        let path = request.line.split(' ').nth(1).unwrap();
        let (kind, size) = path[1..].split_once('/').unwrap();
        let (media_type, body) = (kind.replace('_', "/"), page(size.parse().unwrap()));
        let fields = format!("Content-Type: {media_type}\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\n");
        if request.header("x-chunked").is_empty() {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
            return stream.write_all(&[head.as_bytes(), &body].concat()).is_ok();
        }
        chunked(stream, &fields, &body)
    })
}

fn chunked(stream: &mut TcpStream, fields: &str, body: &[u8]) -> bool {
    let mut text = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(10_007) {
        text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        text.extend_from_slice(&[chunk, b"\r\n"].concat());
    }
    text.extend_from_slice(b"0\r\nX-Sum: 7\r\n\r\n");
    stream.write_all(&text).is_ok()
}

fn balancer(backend: &Backend, lines: &str) -> Balancer {
    Rig::new().config(&service("web", lines, backend)).up()
}

/// A whole answer with its bytes, and the body that its chunks make.
struct Got {
    head: String,
    body: Vec<u8>,
}

fn ask(balancer: &Balancer, method: &str, path: &str, fields: &str) -> Got {
    let mut stream = TcpStream::connect(balancer.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let text = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut body = all.split_off(end);
    let head = String::from_utf8(all).unwrap().to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        body = dechunked(&body);
    }
    Got { head, body }
}

fn dechunked(mut text: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = text.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&text[..end]).unwrap(), 16).unwrap();
        text = &text[end + 2..];
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&text[..size]);
        text = &text[size + 2..];
    }
}

fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap(),
        other => panic!("{other}"),
    };
    out
}

#[test]
fn a_client_gets_the_same_bytes_in_the_coding_that_it_likes_best() {
    let (backend, mut compared) = (pages(), 0);
    let balancer = balancer(&backend, BOTH);
    for (accept, coding) in [("gzip, deflate, br, zstd", "br"), ("gzip", "gzip"), ("br;q=0.1, gzip", "gzip")]
    {
        for size in [1_024, 65_537, 3_000_000] {
            for chunked in ["", "X-Chunked: yes\r\n"] {
                let fields = format!("Accept-Encoding: {accept}\r\n{chunked}");
                let got = ask(&balancer, "GET", &format!("/text_html/{size}"), &fields);
                let has = |line: &str| got.head.contains(&format!("\r\n{line}\r\n"));
                assert!(
                    has(&format!("content-encoding: {coding}")) && has("vary: accept-encoding"),
                    "{}",
                    got.head
                );
                assert!(has("etag: w/\"a\"") && !got.head.contains("accept-ranges"), "{}", got.head);
                assert!(!got.head.contains("content-length"), "{}", got.head);
                assert!(decoded(coding, &got.body) == page(size), "{coding} {size} {chunked}");
                assert!(size < 10_000 || got.body.len() < size / 2, "{coding}: {} of {size}", got.body.len());
                compared += 1;
            }
        }
    }
    let metrics = client::send(balancer.admin, "GET", "/metrics", "").body;
    let line = format!(
        "evenkeel_policies_total{{service=\"web\",policy=\"compression\",outcome=\"compressed\"}} {compared}"
    );
    assert!(metrics.contains(&line), "{metrics}");
    let explained = balancer.command(&["explain", "--path", "/"]);
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("br or gzip for text/html"), "{explained}");
}

#[test]
fn the_same_over_http2() {
    let backend = pages();
    let balancer = balancer(&backend, BOTH);
    speak::run(async {
        let mut client = speak::Client::to(balancer.address).await;
        for (accept, coding) in [("gzip", Some("gzip")), ("br", Some("br")), ("identity", None)] {
            let request = http::Request::get("http://h/application_json/500000");
            let request = request.header("accept-encoding", accept).body(()).unwrap();
            let answer = client.ask(request).await.unwrap();
            assert_eq!(answer.header("content-encoding"), coding);
            assert_eq!(answer.header("vary"), Some("accept-encoding"));
            let body = coding.map_or(answer.body.clone(), |coding| decoded(coding, &answer.body));
            assert!(body == page(500_000), "{accept}");
        }
    });
}

#[test]
fn what_is_not_to_be_compressed_passes_as_it_is() {
    let backend = pages();
    let balancer = balancer(&backend, BOTH);
    let accept = "Accept-Encoding: gzip, br\r\n";
    for (method, path, fields) in [
        ("GET", "/text_html/1023", accept.to_owned()),
        ("GET", "/image_png/5000", accept.to_owned()),
        ("GET", "/text_event-stream/5000", accept.to_owned()),
        ("GET", "/text_event-stream/5000", format!("{accept}X-Chunked: yes\r\n")),
        ("GET", "/text_html/5000", String::new()),
        ("GET", "/text_html/5000", "Accept-Encoding: gzip;q=0, *;q=0\r\n".to_owned()),
    ] {
        let got = ask(&balancer, method, path, &fields);
        assert!(
            !got.head.contains("content-encoding") && got.head.contains("etag: \"a\""),
            "{path}: {}",
            got.head
        );
        let size = path.rsplit('/').next().unwrap().parse().unwrap();
        assert!(got.body == page(size), "{path}");
    }
    // Where nothing is said of it, nothing is looked at.
    let plain = Rig::new().config(&service("web", "", &backend)).up();
    let got = ask(&plain, "GET", "/text_html/5000", accept);
    assert!(!got.head.contains("content-encoding") && !got.head.contains("vary"), "{}", got.head);
}

/// A replica that answers with this, whatever it is asked for.
fn saying(text: &'static [u8]) -> Backend {
    Backend::start(move |_: &Received, stream| stream.write_all(text).is_ok())
}

#[test]
fn what_a_replica_has_compressed_is_left_to_it_and_so_is_what_is_counted_in_bytes() {
    for (text, is_vary_expected) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: br\r\nContent-Length: 3000\r\n\r\n"[..], false),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Type: text/html\r\nContent-Range: bytes 0-2999/9000\r\nContent-Length: 3000\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: no-transform\r\nContent-Length: 3000\r\n\r\n", false),
    ] {
        let backend = Backend::start(move |_: &Received, stream| {
            stream.write_all(&[text, &page(3000)[..]].concat()).is_ok()
        });
        let balancer = balancer(&backend, BOTH);
        let got = ask(&balancer, "GET", "/", "Accept-Encoding: gzip, br\r\n");
        assert!(got.body == page(3000), "{}", got.head);
        assert!(got.head.contains("content-length: 3000"), "{}", got.head);
        assert_eq!(got.head.contains("vary"), is_vary_expected, "{}", got.head);
    }
    let head = saying(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3000\r\n\r\n");
    let balancer = balancer(&head, BOTH);
    let got = ask(&balancer, "HEAD", "/", "Accept-Encoding: gzip\r\n");
    assert!(got.head.contains("content-length: 3000") && got.body.is_empty(), "{}", got.head);
    assert!(got.head.contains("vary: accept-encoding"), "as for GET: {}", got.head);
}

#[test]
fn nobody_waits_for_the_rest_of_a_stream_to_see_its_beginning() {
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let backend = Backend::start(move |_, stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        let is_begun = stream.write_all(head).is_ok();
        may_go.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        is_begun && stream.write_all(b"5\r\n last\r\n0\r\n\r\n").is_ok()
    });
    let balancer = balancer(&backend, BOTH);
    let mut talk = Talk::to(balancer.address);
    talk.say("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    assert_eq!(talk.head().header("content-encoding"), Some("gzip"));
    let mut decoder = flate2::read::GzDecoder::new(Dechunked { talk, chunk: Vec::new() });
    let mut first = [0; 5];
    decoder.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first");
    go.send(()).unwrap();
    let mut rest = String::new();
    decoder.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, " last");
}

/// The bytes within the chunks of a conversation.
struct Dechunked {
    talk: Talk,
    chunk: Vec<u8>,
}

impl Read for Dechunked {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.chunk.is_empty() {
            let size = usize::from_str_radix(&self.talk.line(), 16).unwrap();
            self.chunk = self.talk.bytes(size + 2);
            assert_eq!(self.chunk.split_off(size), b"\r\n");
        }
        let count = into.len().min(self.chunk.len());
        into[..count].copy_from_slice(&self.chunk[..count]);
        self.chunk.drain(..count);
        Ok(count)
    }
}

#[test]
fn a_replica_that_breaks_off_does_not_look_like_the_end() {
    let backend = Backend::start(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 900000\r\n\r\n";
        let _ = stream.write_all(&[&head[..], &page(400_000)[..]].concat());
        false
    });
    let balancer = balancer(&backend, BOTH);
    let mut stream = TcpStream::connect(balancer.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    assert!(String::from_utf8_lossy(&all).contains("content-encoding: gzip"));
    assert!(!all.ends_with(b"0\r\n\r\n"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let backend = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for (lines, message) in [
        ("algorithms = [\"bzip2\"]", "`algorithms` cannot be \"bzip2\""),
        ("algorithms = \"gzip\"", "`algorithms` must be an array"),
        ("algorithms = [\"gzip\"]\ntypes = [\"html\"]", "must be a media type"),
        ("algorithms = [\"gzip\"]\ntypes = [\"text/html; charset=utf-8\"]", "must be a media type"),
        ("algorithms = [\"gzip\"]\nmin_size = 10", "`min_size` must be a size"),
        ("algorithm = [\"gzip\"]", "unknown key `algorithm`"),
    ] {
        let config = service("web", &format!("[service.compression]\n{lines}\n"), &backend);
        let said = Rig::new().config(&config).try_up().map(drop).unwrap_err();
        assert!(said.contains(message), "{lines}: {said}");
    }
}
