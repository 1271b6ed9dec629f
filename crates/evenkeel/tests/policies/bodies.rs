//! How large a body may be: at the limit and beyond it, with a length and without one, and what a replica sees of
//! what is too much.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use crate::rig::Rig;
use crate::rig::backend::{Backend, answer, read_body};
use crate::rig::client::{Answer, Talk};
use crate::speak;
use crate::{ask, service};

/// A backend that says how much it got.
fn counting() -> Backend {
    Backend::start(|request, stream| answer(stream, "200 OK", &request.body.len().to_string()))
}

const LINES: &str = "max_body = \"10B\"\n[[service.location]]\npath = \"/large\"\nmax_body = \"20B\"\n\
                     [[service.location]]\npath = \"=/none\"\nmax_body = \"0B\"\n";

/// A body of this length over HTTP/1, in each of its forms.
fn http1_with(address: SocketAddr, path: &str, length: usize) -> Vec<(&'static str, Answer)> {
    let body = "x".repeat(length);
    let (one, rest) = body.split_at(length / 2);
    let pieces = [one, rest].into_iter().filter(|piece| !piece.is_empty());
    let chunks: String = pieces.map(|piece| format!("{:04x}\r\n{piece}\r\n", piece.len())).collect();
    let forms = [
        ("POST with a length", "POST", format!("Content-Length: {length}\r\n\r\n{body}")),
        ("PUT with a length", "PUT", format!("Content-Length: {length}\r\n\r\n{body}")),
        ("POST in chunks", "POST", format!("Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")),
    ];
    let ask = |(form, method, rest)| {
        let mut talk = Talk::to(address);
        let text = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{rest}");
        // The answer may come before all of it is sent.
        let _ = talk.stream.get_mut().write_all(text.as_bytes());
        (form, talk.answer())
    };
    forms.into_iter().map(ask).collect()
}

/// The same over HTTP/2, without a length and with it.
fn http2_with(address: SocketAddr, path: &str, length: usize) -> Vec<(&'static str, Answer)> {
    let ask = |(form, has_length)| {
        let mut request = speak::request("POST", path);
        if has_length {
            request.headers_mut().insert("content-length", length.into());
        }
        let got = speak::run(async {
            let mut client = speak::Client::to(address).await;
            let (answer, mut stream) = client.begin(request, length == 0).await;
            let _ = speak::send(&mut stream, "x".repeat(length).into(), true).await;
            speak::whole(answer.await.unwrap()).await.unwrap()
        });
        let body = got.text().to_owned();
        (form, Answer { status: got.status, headers: Vec::new(), body })
    };
    [("HTTP/2", false), ("HTTP/2 with a length", true)].into_iter().map(ask).collect()
}

#[test]
fn a_body_passes_up_to_the_limit_and_not_a_byte_beyond() {
    let backend = counting();
    let balancer = Rig::new().config(&service("web", LINES, &backend)).up();
    let mut refused = 0;
    for (path, length, status) in [
        ("/", 0, 200),
        ("/", 10, 200),
        ("/", 11, 413),
        ("/", 100_000, 413),
        ("/large", 20, 200),
        ("/large/x", 21, 413),
        ("//large", 20, 200),
        ("/larger", 11, 413),
        ("/none", 0, 200),
        ("/none", 1, 413),
        ("/none/x", 10, 200),
    ] {
        let answers = http1_with(balancer.address, path, length);
        for (form, got) in answers.into_iter().chain(http2_with(balancer.address, path, length)) {
            assert_eq!(got.status, status, "{form}: {length} for {path}: {got:?}");
            let is_told = status != 200 || got.body == length.to_string();
            assert!(is_told, "{form}: {length} for {path}: {got:?}");
            refused += u64::from(status == 413);
        }
    }
    assert!(backend.received().iter().all(|got| got.body.len() <= 20), "no replica got too much");
    let name = "evenkeel_policies_total{service=\"web\",policy=\"max_body\",outcome=\"refused\"}";
    assert_eq!(balancer.figure(name), refused);
    let output = balancer.command(&["explain"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("max_body: at most 10 bytes") && said.contains("max_body: /large: at most 20"),
        "{said}"
    );
}

#[test]
fn what_stands_around_a_body_does_not_count() {
    let backend = counting();
    let balancer = Rig::new().config(&service("web", LINES, &backend)).up();
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = "e".repeat(64);
    for (chunks, status) in [
        (format!("a;name={long}\r\n0123456789\r\n0\r\nTrailer-Field: {long}\r\n\r\n"), 200),
        ("1\r\na\r\n".repeat(10) + "0\r\n\r\n", 200),
        ("1\r\na\r\n".repeat(11) + "0\r\n\r\n", 413),
        (format!("0000000a\r\n0123456789\r\n1;{long}\r\nx\r\n0\r\n\r\n"), 413),
        ("7fffffffffffffff\r\n0123456789".to_owned(), 200),
        ("ffffffffffffffffff\r\n0123456789".to_owned(), 400),
        ("-1\r\n0123456789".to_owned(), 400),
    ] {
        let mut talk = Talk::to(balancer.address);
        talk.say(format!("{head}{chunks}"));
        if chunks.starts_with("7f") {
            // Of an endless chunk, what is allowed comes in; the next byte is one too much.
            talk.say("x");
            assert_eq!(talk.answer().status, 413, "{chunks:?}");
            continue;
        }
        assert_eq!(talk.answer().status, status, "{chunks:?}");
    }
}

#[test]
fn who_asks_whether_to_send_hears_413_and_no_100() {
    let backend = counting();
    let balancer = Rig::new().config(&service("web", LINES, &backend)).up();
    let mut talk = Talk::to(balancer.address);
    talk.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    let answer = talk.answer();
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")), "{answer:?}");
    assert_eq!(backend.received().len(), 0);
    // With a body that is here, the connection goes on.
    let mut talk = Talk::to(balancer.address);
    talk.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n0123456789aGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!([talk.answer().status, talk.answer().status], [413, 200]);
}

#[test]
fn a_replica_sees_that_what_it_gets_is_broken_off() {
    let (sender, seen) = std::sync::mpsc::channel();
    let backend = Backend::at_heads(move |head, reader: &mut BufReader<TcpStream>| {
        sender.send("head").unwrap();
        let is_whole = read_body(head, reader).is_some();
        // Nothing more comes on this connection, either.
        let is_over = !is_whole && reader.fill_buf().map_or(true, <[u8]>::is_empty);
        sender.send(if is_over { "broken off" } else { "whole" }).unwrap();
        is_whole && answer(reader.get_mut(), "200 OK", "ok")
    });
    let balancer = Rig::new().config(&service("web", LINES, &backend)).up();
    let mut talk = Talk::to(balancer.address);
    talk.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_eq!(seen.recv_timeout(crate::rig::PATIENCE), Ok("head"));
    talk.say("6\r\nworld!\r\n");
    let refused = talk.answer();
    assert_eq!((refused.status, refused.header("connection")), (413, Some("close")), "{refused:?}");
    assert_eq!(seen.recv_timeout(crate::rig::PATIENCE), Ok("broken off"));
    assert_eq!(ask(balancer.address, "h", "/").status, 200);
}

#[test]
fn an_answer_that_has_begun_breaks_off() {
    let backend = Backend::at_heads(|_, reader: &mut BufReader<TcpStream>| {
        let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
        let mut line = String::new();
        reader.get_mut().write_all(begun.as_bytes()).is_ok()
            && reader.read_line(&mut line).is_ok_and(|read| read > 0)
            && {
                let _ = std::io::copy(reader, &mut std::io::sink());
                false
            }
    });
    let balancer = Rig::new().config(&service("web", LINES, &backend)).up();
    let mut talk = Talk::to(balancer.address);
    talk.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_eq!(talk.head().status, 200);
    assert_eq!(talk.chunk().as_deref(), Some("ok"));
    talk.say("6\r\nworld!\r\n");
    let rest = talk.rest().unwrap_or_default();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&rest));
}
