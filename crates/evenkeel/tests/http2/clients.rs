//! Clients that speak HTTP/2, in front of replicas that speak HTTP/1.1.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, Frames, HEADERS, Outcome, PREFACE, RST_STREAM, SETTINGS, ask, frame,
};
use super::speak::{Client, piece, read, request, run, whole};
use crate::rig::backend::{Backend, answer};
use crate::rig::client::Talk;
use crate::rig::inside::{Inside, Set};
use crate::rig::{Rig, eventually};

fn in_front_of(backend: &Backend) -> Inside {
    Inside::new(&[backend.address], Set::default())
}

#[test]
fn processes_are_reached_over_one_connection() {
    let balancer = Rig::new().replicas(2).up();
    eventually("both are in the table", || balancer.service()["ready"] == 2);
    run(async {
        let mut client = Client::to(balancer.address).await;
        let home = client.get("/home").await;
        assert_eq!((home.status, home.header("content-type")), (200, Some("application/json")));
        assert!(home.text().contains("Hello from Server"), "{home:?}");
        assert_eq!(home.header("content-length").unwrap().parse(), Ok(home.body.len()));
        assert!(home.header("date").is_some() && home.header("x-request-id").is_some());
        let head = client.ask(request("HEAD", "/home")).await.unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert!(head.header("content-length").is_some());
        let missing = client.get("/nowhere").await;
        assert_eq!(missing.status, 400);
        assert!(missing.text().contains("/nowhere"), "{missing:?}");
        // What the balancer answers itself, with a body that comes over HTTP/2.
        let rep = client.get("/rep").await;
        assert!(rep.text().contains("\"N\":2"), "{rep:?}");
        let added = client.post("/add", br#"{"n":1,"hostnames":["h9"]}"#).await.unwrap();
        assert_eq!(added.status, 200, "{added:?}");
        let asked: Vec<_> = (0..100)
            .map(|_| {
                let mut sender = client.sender.clone();
                tokio::spawn(async move {
                    let answer = sender.send_request(request("GET", "/home"), true).unwrap().0;
                    whole(answer.await.unwrap()).await.unwrap().status
                })
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.await.unwrap(), 200);
        }
    });
}

#[test]
fn heads_and_bodies_become_http1() {
    let backend = Backend::start(|request, stream| {
        answer(stream, "200 OK", std::str::from_utf8(&request.body).unwrap())
    });
    let inside = in_front_of(&backend);
    run(async {
        let mut client = Client::to(inside.address).await;
        let odd = Request::get("http://shop:8080/a//../b?c=%2F&&d={}")
            .header("cookie", "a=1")
            .header("x-a", "caf\u{e9}")
            .header("cookie", "b=2")
            .header("te", "trailers")
            .header("x_a", "dropped");
        client.ask(odd.body(()).unwrap()).await.unwrap();
        client.post("/streamed", b"abc").await.unwrap();
        let sized = Request::post("http://h/sized").header("content-length", 3).body(()).unwrap();
        let (answer, mut stream) = client.begin(sized, false).await;
        stream.send_data(Bytes::from_static(b"abc"), true).unwrap();
        assert_eq!(whole(answer.await.unwrap()).await.unwrap().text(), "abc");
        client.ask(request("POST", "/empty")).await.unwrap();
    });
    let [odd, streamed, sized, empty] = &backend.received()[..] else { panic!("{:?}", backend.received()) };
    assert_eq!(odd.line, "GET /b?c=%2F&&d={} HTTP/1.1");
    assert_eq!((odd.header("host"), odd.header("cookie")), (vec!["shop:8080"], vec!["a=1; b=2"]));
    assert_eq!((odd.header("via"), odd.header("x_a").len()), (vec!["2.0 evenkeel"], 0));
    assert_eq!(odd.header("x-a"), ["caf\u{e9}"]);
    let framing = |name| [odd, streamed, sized, empty].map(|request| request.header(name).concat());
    assert_eq!(framing("transfer-encoding"), ["", "chunked", "", ""]);
    assert_eq!(framing("content-length"), ["", "", "3", "0"]);
    assert_eq!((streamed.body.as_slice(), sized.body.as_slice()), (&b"abc"[..], &b"abc"[..]));
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let backend = Backend::start(|request, stream| {
        let text: &[u8] = match request.line.split(['/', ' ']).nth(2) {
            Some("204") => b"HTTP/1.1 204 No Content\r\n\r\n",
            Some("304") => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"a\"\r\n\r\n",
            Some("none") => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Some("chunks") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nKeep-Alive: x\r\n\r\n",
        };
        stream.write_all(text).is_ok()
    });
    let inside = in_front_of(&backend);
    run(async {
        let mut client = Client::to(inside.address).await;
        for (path, status, length) in
            [("/204", 204, None), ("/304", 304, Some("7")), ("/none", 200, Some("0")), ("/chunks", 200, None)]
        {
            let answer = client.get(path).await;
            let seen = (answer.status, answer.header("content-length"));
            assert_eq!((seen, answer.body.len()), ((status, length), 0), "{path}");
        }
        let head = client.ask(request("HEAD", "/sized")).await.unwrap();
        assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
        let head = client.ask(request("HEAD", "/none")).await.unwrap();
        assert_eq!((head.status, head.header("content-length")), (200, Some("0")));
        assert!(head.header("connection").is_none() && head.header("keep-alive").is_none());
    });
    assert_eq!(backend.connections(), 1, "each of them leaves the connection usable");
}

#[test]
fn early_hints_come_before_the_answer() {
    let backend = Backend::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        answer(stream, "200 OK", "page")
    });
    let inside = in_front_of(&backend);
    run(async {
        let mut client = Client::to(inside.address).await;
        let (mut answer, _) = client.begin(request("GET", "/"), true).await;
        let hint = std::future::poll_fn(|context| answer.poll_informational(context)).await.unwrap().unwrap();
        assert_eq!(
            (hint.status(), hint.headers()["link"].as_bytes()),
            (103.try_into().unwrap(), &b"</a>"[..])
        );
        assert_eq!(whole(answer.await.unwrap()).await.unwrap().text(), "page");
    });
}

#[test]
fn trailers_pass_both_ways() {
    let seen = Arc::new(Mutex::new(String::new()));
    let of_request = Arc::clone(&seen);
    let backend = Backend::at_heads(move |_, reader| {
        let mut text = String::new();
        while !text.ends_with("0\r\nx-sum: 1\r\n\r\n") && !text.ends_with("0\r\n\r\n") {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            text.push(char::from(byte[0]));
        }
        *of_request.lock().unwrap() = text;
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
            2\r\nok\r\n0\r\nX-Sum: 2\r\nContent-Length: 7\r\nSet-Cookie: no\r\n\r\n";
        reader.get_mut().write_all(answer).is_ok()
    });
    let inside = in_front_of(&backend);
    run(async {
        let mut client = Client::to(inside.address).await;
        let (answer, mut stream) = client.begin(request("POST", "/"), false).await;
        stream.send_data(Bytes::from_static(b"hi"), false).unwrap();
        let mut trailers = HeaderMap::new();
        for (name, value) in [("x-sum", "1"), ("x_sum", "2"), ("host", "other"), ("cookie", "a")] {
            trailers.insert(name, value.parse().unwrap());
        }
        stream.send_trailers(trailers).unwrap();
        let answer = whole(answer.await.unwrap()).await.unwrap();
        assert_eq!(answer.text(), "ok");
        let trailers = answer.trailers.unwrap();
        assert_eq!((trailers.len(), trailers["x-sum"].as_bytes()), (1, &b"2"[..]));
    });
    assert_eq!(*seen.lock().unwrap(), "2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n");
}

#[test]
fn a_hundred_requests_are_under_way_at_a_time() {
    let inside_now = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&inside_now);
    let backend = Backend::start(move |_, stream| {
        count.fetch_add(1, Ordering::Relaxed);
        eventually("all are here", || count.load(Ordering::Relaxed) == 100);
        answer(stream, "200 OK", "")
    });
    let inside = in_front_of(&backend);
    run(async {
        let mut client = Client::to(inside.address).await;
        let mut answers = Vec::new();
        for _ in 0..100 {
            answers.push(client.begin(request("GET", "/"), true).await.0);
        }
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    });
}

#[test]
fn a_body_that_nobody_waits_for_is_read_if_its_end_is_near() {
    let backend = Backend::at_heads(|_, reader| answer(reader.get_mut(), "404 Not Found", "no"));
    let inside = in_front_of(&backend);
    let mut frames = Frames::to(inside.address);
    frames.say(&frame(HEADERS, END_HEADERS, 1, &ask("POST", "/", &[("content-length", b"20000")])));
    assert_eq!(frames.outcome(1), Outcome::Status(404));
    frames.say(&frame(DATA, 0, 1, &[0; 10_000]));
    frames.say(&frame(DATA, END_STREAM, 1, &[0; 10_000]));
    frames.say(&frame(HEADERS, END_HEADERS, 3, &ask("POST", "/", &[])));
    let is_reset = |stream| move |frame: &Frame| (frame.kind, frame.stream) == (RST_STREAM, stream);
    let rest: Vec<_> = std::iter::from_fn(|| frames.next()).take_while(|frame| !is_reset(3)(frame)).collect();
    assert!(!rest.iter().any(is_reset(1)), "{rest:?}");
}

#[test]
fn a_preface_may_come_in_pieces_but_not_twice() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    let mut frames = Frames::over(std::net::TcpStream::connect(inside.address).unwrap());
    for byte in [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat() {
        frames.say(&[byte]);
    }
    frames.next_of(SETTINGS).expect("it says hello");
    // The second one is no frame of any size that we take.
    frames.say(PREFACE);
    assert!(std::iter::from_fn(|| frames.next()).count() < 10, "it ends");
    let almost = [&PREFACE[..20], b"XX\r\n\r\n"].concat();
    let mut talk = Talk::to(inside.address);
    talk.say(almost);
    assert_eq!(talk.head().status, 505);
    for garbage in [&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], &[0xff; 64], &[0; 64]] {
        let mut frames = Frames::over(std::net::TcpStream::connect(inside.address).unwrap());
        frames.say(&[PREFACE, garbage].concat());
        assert!(std::iter::from_fn(|| frames.next()).count() < 10, "it ends");
    }
    assert!(backend.received().is_empty());
}

/// A CONNECT with a protocol: RFC 8441, 4.
fn websocket(path: &str) -> Request<()> {
    let mut asked = Request::builder()
        .method("CONNECT")
        .uri(format!("http://h{path}"))
        .header("sec-websocket-version", 13)
        .body(())
        .unwrap();
    asked.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    asked
}

#[test]
fn a_websocket_has_a_stream_of_its_own() {
    let backend = Backend::at_heads(|request, reader| {
        match request.line.as_str() {
            "GET /no HTTP/1.1" => return answer(reader.get_mut(), "403 Forbidden", "no"),
            "GET /deaf HTTP/1.1" => return answer(reader.get_mut(), "200 OK", "page"),
            _ => {}
        }
        let agree = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
        reader.get_mut().write_all(agree).unwrap();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut bytes) {
            reader.get_mut().write_all(&bytes[..count]).unwrap();
        }
        false
    });
    let inside = in_front_of(&backend);
    run(async {
        let mut client = Client::to(inside.address).await;
        assert_eq!(client.get("/no").await.status, 403);
        assert!(client.sender.is_extended_connect_protocol_enabled(), "it is offered");
        let (answer, mut stream) = client.begin(websocket("/chat?a=b"), false).await;
        let answer = answer.await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["sec-websocket-protocol"]),
            (200, &"chat".parse().unwrap())
        );
        assert!(
            ["sec-websocket-accept", "upgrade", "connection"]
                .iter()
                .all(|name| !answer.headers().contains_key(*name))
        );
        let mut echoed = answer.into_body();
        for size in [1, 100, 4000] {
            stream.send_data(Bytes::from(vec![size as u8; size]), false).unwrap();
            let mut back = Vec::new();
            while back.len() < size {
                back.extend(piece(&mut echoed).await.unwrap().expect("it comes back"));
            }
            assert_eq!(back, vec![size as u8; size]);
        }
        assert_eq!(inside.claims(), 1, "it is inside as long as it lasts");
        stream.send_data(Bytes::from_static(b"last"), true).unwrap();
        assert_eq!(read(&mut echoed).await.unwrap(), b"last");
        for (path, status) in [("/no", 403), ("/deaf", 501)] {
            let (answer, _stream) = client.begin(websocket(path), false).await;
            assert_eq!(answer.await.unwrap().status(), status, "{path}");
        }
    });
    eventually("nobody is inside", || inside.claims() == 0);
    let asked = backend.received().into_iter().find(|request| request.line.starts_with("GET /chat")).unwrap();
    assert_eq!(asked.line, "GET /chat?a=b HTTP/1.1");
    assert_eq!((asked.header("upgrade"), asked.header("connection")), (vec!["websocket"], vec!["upgrade"]));
    assert_eq!(
        (asked.header("sec-websocket-version"), asked.header("sec-websocket-key").concat().len()),
        (vec!["13"], 24)
    );
    assert!(asked.header("content-length").is_empty() && asked.header("transfer-encoding").is_empty());
}

#[test]
fn nobody_is_changed_to_http2_by_an_upgrade() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    talk.say(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    let head = talk.answer();
    assert_eq!((head.status, head.body.as_str()), (200, "ok"));
    let received = backend.received();
    for name in ["upgrade", "http2-settings", "connection"] {
        assert!(received[0].header(name).is_empty(), "{name}");
    }
}
