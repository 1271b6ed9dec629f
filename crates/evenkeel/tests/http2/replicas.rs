//! Replicas that speak HTTP/2: what they get, and what happens when they say no or break off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use proxy::Protocol;

use super::frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, SETTINGS, frame};
use super::speak::{Client, Replica, read, request, run, say};
use crate::rig::client::{Talk, send};
use crate::rig::eventually;
use crate::rig::inside::{Inside, Set};

pub(crate) fn in_front_of(addresses: &[std::net::SocketAddr]) -> Inside {
    Inside::new(addresses, Set { protocol: Protocol::H2c, ..Set::default() })
}

/// Says what it got, and `x-sum` behind the body.
async fn echo(asked: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (parts, mut body) = asked.into_parts();
    let body = read(&mut body).await?;
    let length = parts.headers.get("content-length").map(|length| length.to_str().unwrap().to_owned());
    let text = format!(
        "{} {} {length:?} te={:?} {}",
        parts.method,
        parts.uri,
        parts.headers.get("te"),
        String::from_utf8_lossy(&body)
    );
    let mut stream = respond.send_response(Response::new(()), false)?;
    stream.send_data(Bytes::from(text), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    stream.send_trailers(trailers)
}

#[test]
fn clients_that_speak_http1_are_served() {
    let replica = Replica::start(echo);
    let inside = in_front_of(&[replica.address]);
    let mut talk = Talk::to(inside.address);
    let mut ask = |text: &str| {
        talk.say(text);
        let head = talk.head();
        assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")));
        let body = std::iter::from_fn(|| talk.chunk()).collect::<String>();
        let trailers: Vec<_> =
            std::iter::from_fn(|| Some(talk.line()).filter(|line| !line.is_empty())).collect();
        (body, trailers)
    };
    let plain = ask("GET /a?b HTTP/1.1\r\nHost: shop\r\n\r\n");
    assert_eq!(plain, ("GET http://shop/a?b None te=None ".to_owned(), vec![]));
    let (body, _) = ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(body, "POST http://h/ Some(\"3\") te=None abc");
    let chunks =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    assert_eq!(ask(chunks).0, "POST http://h/ None te=None abc");
    let (body, trailers) = ask("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n");
    assert_eq!(
        (body.as_str(), trailers),
        ("GET http://h/ None te=Some(\"trailers\") ", vec!["x-sum: 1".to_owned()])
    );
    assert_eq!(replica.connections(), 1);
}

#[test]
fn targets_and_hosts_of_every_kind_get_an_answer() {
    let replica = Replica::start(echo);
    let inside = in_front_of(&[replica.address]);
    let ask = |target: &str, host: &str| {
        let mut talk = Talk::to(inside.address);
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        talk.say(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        talk.head().status
    };
    for target in ["/", "//", "/a//b", "/?", "/{}|\"", "/%3f", "/a:b@c", "*", "http://h", "http://h?a"] {
        assert_eq!(ask(target, "h"), 200, "{target}");
    }
    for target in ["/<", "/>", "/^", "/`", "/\u{7c}", "/[", "/a?<>^`{|}\""] {
        assert_eq!(ask(target, "h"), 200, "{target}");
    }
    let asked = replica.received();
    assert!(asked.contains(&"GET /%60".to_owned()), "{asked:?}");
    for host in ["", "a_b", "[::1]:80", "h:65535", "xn--a", "a."] {
        assert_eq!(ask("/", host), 200, "{host}");
    }
    // What HTTP/1.1 lets through and the library of HTTP/2 does not must come to an end, too.
    for host in ["a:", "%c3%A9", "!$&'()*+,;=", "~"] {
        assert!(matches!(ask("/", host), 200 | 400), "{host}");
    }
}

#[test]
fn answers_without_a_body_are_framed_for_http1() {
    let replica = Replica::start(|asked, mut respond| async move {
        let head = Response::builder();
        let head = match asked.uri().path() {
            "/204" => head.status(204),
            "/304" => head.status(304).header("content-length", 7),
            "/empty" => head.status(200),
            "/zero" => head.status(200).header("content-length", 0),
            _ => head.status(200).header("content-length", 5),
        };
        let is_over = asked.uri().path() != "/zero";
        let mut stream = respond.send_response(head.body(()).unwrap(), is_over)?;
        if is_over { Ok(()) } else { stream.send_data(Bytes::new(), true) }
    });
    let inside = in_front_of(&[replica.address]);
    let mut talk = Talk::to(inside.address);
    for (method, path, status, length) in [
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("7")),
        ("GET", "/empty", 200, Some("0")),
        ("HEAD", "/sized", 200, Some("5")),
    ] {
        talk.say(format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let head = talk.head();
        assert_eq!((head.status, head.header("content-length")), (status, length), "{path}");
    }
    talk.say("GET /zero HTTP/1.1\r\nHost: h\r\n\r\nGET /204 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((talk.answer().body.len(), talk.answer().status), (0, 204));
}

#[test]
fn early_hints_of_replicas_pass() {
    let replica = Replica::start(|_, mut respond| async move {
        let hint = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
        respond.send_informational(hint)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        say(&mut respond, 200, "page")
    });
    let inside = in_front_of(&[replica.address]);
    let mut talk = Talk::to(inside.address);
    talk.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let hint = talk.head();
    assert_eq!((hint.status, hint.header("link")), (103, Some("</a>")));
    assert_eq!(talk.head().status, 200);
}

#[test]
fn what_a_replica_refuses_goes_to_another() {
    let refusing = Replica::start(|_, mut respond| async move {
        respond.send_reset(Reason::REFUSED_STREAM);
        Ok(())
    });
    let serving = Replica::start(echo);
    let inside = in_front_of(&[refusing.address, serving.address]);
    for round in 0..20 {
        let answer = send(inside.address, "POST", "/", "once");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(serving.received().len(), round + 1);
    }
    assert!(!refusing.received().is_empty());
}

/// It is the only one, and there is nobody else to ask.
#[test]
fn what_the_only_replica_has_not_looked_at_is_sent_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let replica = Replica::start(move |_, mut respond| {
        let is_refused = count.fetch_add(1, Ordering::Relaxed).is_multiple_of(3);
        async move {
            if is_refused {
                respond.send_reset(Reason::REFUSED_STREAM);
                return Ok(());
            }
            say(&mut respond, 200, "")
        }
    });
    let inside = in_front_of(&[replica.address]);
    for round in 0..10 {
        assert_eq!(send(inside.address, "POST", "/", "once").status, 200, "round {round}");
    }
    let connection = AtomicUsize::new(0);
    let address = by_hand(move |frames, stream| {
        // The first connection takes nothing, not even its first request.
        if connection.fetch_add(1, Ordering::Relaxed) > 0 {
            return fine(frames, stream);
        }
        frames.say(&frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]));
        false
    });
    let inside = in_front_of(&[address]);
    assert_eq!(send(inside.address, "POST", "/", "").status, 200);
}

#[test]
fn a_replica_that_refuses_everything_is_not_asked_without_end() {
    let replica = Replica::start(|asked, mut respond| async move {
        if asked.uri().path() == "/fine" {
            return say(&mut respond, 200, "");
        }
        respond.send_reset(Reason::REFUSED_STREAM);
        Ok(())
    });
    let inside = in_front_of(&[replica.address]);
    assert_eq!(send(inside.address, "GET", "/fine", "").status, 200);
    for method in ["POST", "GET"] {
        assert_eq!(send(inside.address, method, "/refused", "a").status, 503);
    }
    assert!(replica.received().len() < 10, "{:?}", replica.received());
}

/// A replica by hand: what it does with each head; false ends the connection.
fn by_hand(behave: impl Fn(&mut Frames, u32) -> bool + Send + Sync + 'static) -> std::net::SocketAddr {
    let behave = Arc::new(behave);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behave = Arc::clone(&behave);
            std::thread::spawn(move || {
                let mut frames = Frames::over(stream);
                let mut preface = [0; 24];
                std::io::Read::read_exact(&mut frames.stream, &mut preface).unwrap();
                frames.say(&frame(SETTINGS, 0, 0, &[]));
                while let Some(asked) = frames.next_of(HEADERS) {
                    if !behave(&mut frames, asked.stream) {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// `:status: 200` and nothing else.
fn fine(frames: &mut Frames, stream: u32) -> bool {
    frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88]));
    true
}

#[test]
fn what_a_replica_that_goes_has_not_looked_at_is_sent_again() {
    let executed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&executed);
    let address = by_hand(move |frames, stream| {
        // Each connection serves two requests and goes away at the third.
        if stream < 5 {
            count.fetch_add(1, Ordering::Relaxed);
            return fine(frames, stream);
        }
        frames.say(&frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]));
        false
    });
    let inside = in_front_of(&[address]);
    for round in 0..8 {
        assert_eq!(send(inside.address, "POST", "/", "").status, 200, "round {round}");
        assert_eq!(executed.load(Ordering::Relaxed), round + 1);
    }
}

#[test]
fn what_a_replica_may_have_worked_on_is_sent_again_only_if_that_is_harmless() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = by_hand(move |frames, stream| {
        // Every second request breaks its connection.
        if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { fine(frames, stream) } else { false }
    });
    // The other one, for when a connection breaks that nobody has used before.
    let inside = in_front_of(&[address, address]);
    let ask = |method: &str| send(inside.address, method, "/", "").status;
    assert_eq!(ask("POST"), 200);
    assert_eq!(ask("POST"), 502);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(ask("GET"), 200);
    assert_eq!(ask("GET"), 200, "it breaks and is sent again");
    assert_eq!(asked.load(Ordering::Relaxed), 5);
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn a_replica_that_answers_early_is_heard() {
    let address = by_hand(|frames, stream| {
        // 413 by a literal, then: no more of it, please. RFC 9113, 8.1.
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0x08, 3, b'4', b'1', b'3']);
        frames.say(&[head, frame(RST_STREAM, 0, stream, &[0, 0, 0, 0])].concat());
        true
    });
    let inside = in_front_of(&[address]);
    for _ in 0..10 {
        let mut talk = Talk::to(inside.address);
        talk.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000000\r\n\r\n");
        let mut bytes = talk.stream.get_ref().try_clone().unwrap();
        let sends =
            std::thread::spawn(move || while std::io::Write::write_all(&mut bytes, &[7; 65_536]).is_ok() {});
        assert_eq!(talk.head().status, 413);
        drop(talk);
        sends.join().unwrap();
    }
    run(async {
        let mut client = Client::to(inside.address).await;
        let (answer, mut stream) = client.begin(request("POST", "/"), false).await;
        stream.send_data(Bytes::from_static(b"a"), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 413);
        assert!(!client.ended.is_finished());
    });
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn a_rush_needs_few_connections_and_a_full_one_is_joined_by_another() {
    let (here, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (count, wait) = (Arc::clone(&here), Arc::clone(&gone));
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(10);
    let replica = Replica::with(builder, move |asked, mut respond| {
        let (count, wait) = (Arc::clone(&count), Arc::clone(&wait));
        async move {
            if asked.uri().path() == "/wait" {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = wait.acquire().await;
            }
            say(&mut respond, 200, "")
        }
    });
    let inside = in_front_of(&[replica.address]);
    assert_eq!(send(inside.address, "GET", "/", "").status, 200);
    run(async {
        let mut client = Client::to(inside.address).await;
        let mut answers = Vec::new();
        for _ in 0..60 {
            answers.push(client.begin(request("GET", "/wait"), true).await.0);
        }
        let arrived = async {
            while here.load(Ordering::Relaxed) < 60 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_secs(5), arrived).await;
        assert!(arrived.is_ok(), "{} of 60 are inside", here.load(Ordering::Relaxed));
        gone.add_permits(100);
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    });
    assert!((6..=12).contains(&replica.connections()), "{}", replica.connections());
}

#[test]
fn a_rush_on_a_replica_that_nobody_has_asked_yet_shares_a_connection() {
    let replica = Replica::start(echo);
    let inside = in_front_of(&[replica.address]);
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
    assert!(replica.connections() <= 2, "{}", replica.connections());
}

#[test]
fn a_replica_that_leaves_keeps_its_connection_until_its_last_stream_has_ended() {
    let replica = Replica::start(|asked, mut respond| async move {
        if asked.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        say(&mut respond, 200, "done")
    });
    let mut inside = in_front_of(&[replica.address]);
    assert_eq!(send(inside.address, "GET", "/", "").status, 200);
    let mut talk = Talk::to(inside.address);
    talk.say("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("it is inside", || replica.received().len() == 2);
    inside.publish(0);
    assert_eq!(talk.answer().body, "done");
    eventually("no connection is left", || replica.open_connections() == 0);
}
