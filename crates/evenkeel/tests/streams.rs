//! Answers that take their time: upgrades, events, long polls, hints. And many at once, old clients,
//! answers that are cut off.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use proxy::ServiceTimeouts;
use rig::backend::{Backend, answer, read_body};
use rig::client::Talk;
use rig::inside::{Inside, Set};
use rig::{Rig, eventually};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const AGREE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

fn in_front_of(backend: &Backend) -> Inside {
    Inside::new(&[backend.address], Set::default())
}

fn no_claims(inside: &Inside) {
    eventually("nobody is inside", || inside.claims() == 0);
}

/// Says yes to an upgrade and then sends back what it gets until there is no more.
fn echo(reader: &mut BufReader<TcpStream>) -> bool {
    reader.get_mut().write_all(AGREE).unwrap();
    let mut bytes = [0; 4096];
    loop {
        match reader.read(&mut bytes) {
            Ok(0) | Err(_) => return false,
            Ok(count) if reader.get_mut().write_all(&bytes[..count]).is_err() => return false,
            Ok(_) => {}
        }
    }
}

#[test]
fn an_upgrade_passes_bytes_both_ways_until_a_side_is_done() {
    let backend = Backend::at_heads(|_, reader| echo(reader));
    let inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    // What follows the head at once is the other protocol's already.
    talk.say([ASK, "early"].concat());
    let head = talk.head();
    assert_eq!(
        (head.status, head.header("upgrade"), head.header("connection")),
        (101, Some("websocket"), Some("upgrade"))
    );
    assert!(
        head.header("content-length").is_none() && head.header("transfer-encoding").is_none(),
        "{head:?}"
    );
    assert_eq!(talk.bytes(5), b"early");
    for size in [1, 100, 70_000] {
        let bytes = vec![size as u8; size];
        talk.say(&bytes);
        assert_eq!(talk.bytes(size), bytes);
    }
    assert_eq!(inside.claims(), 1, "it is inside as long as it lasts");
    talk.say("last");
    talk.end();
    assert_eq!(talk.rest().unwrap(), b"last", "a half that is closed leaves the other open");
    no_claims(&inside);
    eventually("it is counted as what it was", || inside.totals().responses == [0, 1, 0, 0, 0, 0]);
    let got = &backend.received()[0];
    assert_eq!((got.header("upgrade"), got.header("connection")), (vec!["websocket"], vec!["upgrade"]));
}

#[test]
fn one_of_several_protocols_may_be_agreed_on() {
    let backend = Backend::at_heads(|_, reader| echo(reader));
    let inside = in_front_of(&backend);
    for asked in ["websocket, foo", "foo, h2c, websocket", "foo\r\nUpgrade: websocket"] {
        let mut talk = Talk::to(inside.address);
        talk.say(format!(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: {asked}\r\n\r\nearly"
        ));
        let head = talk.head();
        assert_eq!((head.status, head.header("upgrade")), (101, Some("websocket")), "{asked}");
        assert_eq!(talk.bytes(5), b"early");
    }
    let asked: Vec<_> = backend.received().iter().map(|request| request.header("upgrade").concat()).collect();
    assert_eq!(asked, ["websocket, foo", "foo, websocket", "foo, websocket"]);
    let mut talk = Talk::to(inside.address);
    talk.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: foo, bar\r\n\r\n");
    assert_eq!(talk.head().status, 502, "what it agrees to was not asked for");
}

#[test]
fn an_upgrade_is_one_whatever_the_method() {
    let backend = Backend::at_heads(|_, reader| echo(reader));
    let inside = in_front_of(&backend);
    for method in ["HEAD", "OPTIONS", "POST"] {
        let mut talk = Talk::to(inside.address);
        talk.say(ASK.replace("GET", method));
        assert_eq!(talk.head().status, 101, "{method}");
        talk.say("GET /smuggled HTTP/1.1\r\n\r\n");
        talk.end();
        assert_eq!(talk.rest().unwrap(), b"GET /smuggled HTTP/1.1\r\n\r\n", "{method}");
    }
    assert_eq!(backend.received().len(), 3);
}

#[test]
fn an_upgrade_ends_for_the_client_when_the_backend_closes() {
    let backend = Backend::at_heads(|_, reader| {
        reader.get_mut().write_all(&[AGREE, b"bye"].concat()).unwrap();
        let _ = reader.get_ref().shutdown(Shutdown::Write);
        // The other half stays open for what the client still has to say.
        let mut rest = String::new();
        let _ = reader.read_to_string(&mut rest);
        assert_eq!(rest, "goodbye");
        false
    });
    let inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    talk.say(ASK);
    assert_eq!(talk.head().status, 101);
    assert_eq!(talk.rest().unwrap(), b"bye");
    talk.say("goodbye");
    talk.end();
    no_claims(&inside);
}

#[test]
fn an_upgrade_that_is_silent_for_too_long_ends() {
    let backend = Backend::at_heads(|_, reader| echo(reader));
    let mut set = Set::default();
    set.timeouts.upgrade_idle = Duration::from_millis(300);
    let inside = Inside::new(&[backend.address], set);
    let mut talk = Talk::to(inside.address);
    talk.say(ASK);
    assert_eq!(talk.head().status, 101);
    talk.say("x");
    assert_eq!(talk.rest().unwrap(), b"x");
    no_claims(&inside);
}

#[test]
fn a_change_of_protocol_that_nobody_asked_for_is_no_answer() {
    let backend = Backend::at_heads(|_, reader| {
        reader.get_mut().write_all(AGREE).unwrap();
        true
    });
    let inside = in_front_of(&backend);
    let asks = [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ];
    for ask in asks {
        let mut talk = Talk::to(inside.address);
        talk.say(ask);
        assert_eq!(talk.answer().status, 502, "{ask}");
    }
    no_claims(&inside);
}

#[test]
fn an_upgrade_that_is_refused_is_an_answer_like_any_other() {
    let backend = Backend::start(|_, stream| answer(stream, "403 Forbidden", "no"));
    let inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    for _ in 0..3 {
        talk.say(ASK);
        let answer = talk.answer();
        assert_eq!((answer.status, answer.body.as_str()), (403, "no"));
    }
}

#[test]
fn events_arrive_one_by_one_however_they_are_framed() {
    let (said, hear) = mpsc::channel::<()>();
    let hear = Mutex::new(hear);
    let backend = Backend::at_heads(move |head, reader| {
        let is_chunked = head.line.contains("/chunked");
        let framing = if is_chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n");
        reader.get_mut().write_all(head.as_bytes()).unwrap();
        for number in 0..5 {
            // The next event is made only when the client has the one before.
            hear.lock().unwrap().recv_timeout(rig::PATIENCE).unwrap();
            let event = format!("data: {number}\n\n");
            let event = if is_chunked { format!("{:x}\r\n{event}\r\n", event.len()) } else { event };
            reader.get_mut().write_all(event.as_bytes()).unwrap();
        }
        is_chunked && reader.get_mut().write_all(b"0\r\n\r\n").is_ok()
    });
    let inside = in_front_of(&backend);
    for path in ["/chunked", "/until-close"] {
        let mut talk = Talk::to(inside.address);
        talk.say(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(talk.head().status, 200);
        for number in 0..5 {
            said.send(()).unwrap();
            assert_eq!(talk.chunk().unwrap(), format!("data: {number}\n\n"), "{path}");
        }
        assert_eq!(talk.chunk(), None, "{path}");
    }
}

#[test]
fn a_long_poll_whose_client_leaves_is_forgotten_at_once() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let backend = Backend::at_heads(move |_, reader| {
        // Busy: it does not even look whether somebody still waits.
        let _ = hold.lock().unwrap().recv_timeout(rig::PATIENCE);
        answer(reader.get_mut(), "200 OK", "too late")
    });
    let config = format!(
        "[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\nkey = \"path\"\n",
        backend.address
    );
    let balancer = Rig::new().config(&config).up();
    eventually("it is in the table", || balancer.service()["ready"] == 1);
    let in_flight = || {
        let question = r#"{"path":"/poll"}"#;
        let answer = rig::client::send(balancer.admin, "POST", "/v1/services/web/explain", question);
        let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        answer["order"][0]["in_flight"].as_u64().unwrap()
    };
    let posts = "POST /poll HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    for ask in ["GET /poll HTTP/1.1\r\nHost: h\r\n\r\n", posts] {
        let mut talk = Talk::to(balancer.address);
        talk.say(ask);
        eventually("it is inside", || in_flight() == 1);
        drop(talk);
        eventually("its place is free", || in_flight() == 0);
        // Only now the backend is done.
        release.send(()).unwrap();
    }
}

#[test]
fn early_hints_are_passed_on_but_not_to_those_who_do_not_know_them() {
    let backend = Backend::start(|_, stream| {
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
        stream.write_all(&hints.repeat(2)).unwrap();
        answer(stream, "200 OK", "page")
    });
    let inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    for _ in 0..2 {
        talk.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        for _ in 0..2 {
            let hint = talk.head();
            assert_eq!((hint.status, hint.header("link")), (103, Some("</style.css>; rel=preload")));
        }
        assert_eq!(talk.answer().body, "page");
    }
    talk.say("GET / HTTP/1.0\r\nHost: h\r\n\r\n");
    assert_eq!(talk.answer().body, "page");
}

#[test]
fn requests_that_come_all_at_once_are_answered_in_order() {
    let backend = Backend::start(|request, stream| {
        let number = request.line.split(['/', ' ']).nth(2).unwrap().to_owned();
        answer(stream, "200 OK", &format!("{number} {}", String::from_utf8_lossy(&request.body)))
    });
    let inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    let mut asked = String::new();
    for number in 0..300 {
        asked += &match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"),
            _ => format!(
                "POST /{number} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
            ),
        };
    }
    talk.say(asked);
    for number in 0..300 {
        let body = if number % 3 == 0 { "" } else { "body" };
        assert_eq!(talk.answer().body, format!("{number} {body}"));
    }
}

#[test]
fn clients_of_an_older_version_are_served() {
    let backend = Backend::at_heads(|head, reader| {
        assert!(head.line.ends_with(" HTTP/1.1"), "{head:?}");
        if head.line.contains("/chunked") {
            let text =
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
            return reader.get_mut().write_all(text).is_ok();
        }
        let body = read_body(head, reader).unwrap();
        answer(reader.get_mut(), "200 OK", &format!("sized {}", String::from_utf8(body).unwrap()))
    });
    let inside = in_front_of(&backend);
    let ask = |text: &str| {
        let mut talk = Talk::to(inside.address);
        talk.say(text);
        (talk.head(), String::from_utf8(talk.rest().unwrap()).unwrap())
    };
    let (head, body) = ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((head.header("connection"), body.as_str()), (Some("close"), "sized "));
    let (head, body) = ask("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let framing =
        (head.header("transfer-encoding"), head.header("content-length"), head.header("connection"));
    assert_eq!((framing, body.as_str()), ((None, None, Some("close")), "abcdef"));
    let mut talk = Talk::to(inside.address);
    for _ in 0..3 {
        talk.say("POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody");
        let answer = talk.answer();
        assert_eq!((answer.header("connection"), answer.body.as_str()), (Some("keep-alive"), "sized body"));
    }
}

#[test]
fn an_answer_that_is_cut_off_looks_cut_off() {
    let backend = Backend::start(|request, stream| {
        let framing = match request.line.split(['/', ' ']).nth(2) {
            Some("sized") => "Content-Length: 100\r\n\r\nhalf",
            _ => "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        };
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}").as_bytes()).unwrap();
        false
    });
    let inside = in_front_of(&backend);
    let ask = |version: &str, path: &str| {
        let mut talk = Talk::to(inside.address);
        talk.say(format!("GET {path} HTTP/{version}\r\nHost: h\r\n\r\n"));
        assert_eq!(talk.head().status, 200);
        talk.rest()
    };
    assert_eq!(ask("1.1", "/sized").unwrap(), b"half");
    assert_eq!(ask("1.1", "/chunked").unwrap(), b"4\r\nhalf\r\n", "no last chunk");
    // Where the end of the connection is the end of the body, only a reset says that it is not.
    assert!(ask("1.0", "/chunked").is_err());
    no_claims(&inside);
}

#[test]
fn an_answer_that_our_end_cuts_off_looks_cut_off_to_old_clients_too() {
    let backend = Backend::at_heads(|_, reader| {
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf").unwrap();
        // The other half never comes.
        let _ = reader.read(&mut [0]);
        false
    });
    let mut inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    talk.say("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(talk.head().status, 200);
    assert_eq!(talk.bytes(4), b"half");
    inside.proxy.take().unwrap().stop();
    assert!(talk.rest().is_err(), "the drain deadline is no end of the body");
}

#[test]
fn an_upload_that_nobody_else_can_get_stays_with_a_replica_that_was_given_up() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let backend = Backend::at_heads(move |head, reader| {
        let body = read_body(head, reader).unwrap();
        // It was frozen, and comes round.
        hold.lock().unwrap().recv_timeout(rig::PATIENCE).unwrap();
        answer(reader.get_mut(), "200 OK", &String::from_utf8(body).unwrap())
    });
    let mut inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    talk.say("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
    eventually("the replica has it", || !backend.received().is_empty());
    inside.replicas[0].gate.abandon();
    inside.publish(0);
    let stream = talk.stream.get_ref();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(stream.peek(&mut [0]).is_err(), "it is not given up");
    stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    release.send(()).unwrap();
    assert_eq!(talk.answer().body, "body");
}

#[test]
fn who_says_that_it_is_at_work_is_waited_for_and_not_blamed() {
    const LIMIT: Duration = Duration::from_secs(3);
    const TIMES: usize = 6;
    let backend = Backend::at_heads(|head, reader| {
        if head.line.contains("/endless") {
            let many = "HTTP/1.1 102 Processing\r\n\r\n".repeat(11_000);
            return reader.get_mut().write_all(many.as_bytes()).is_ok();
        }
        for _ in 0..TIMES {
            reader.get_mut().write_all(b"HTTP/1.1 102 Processing\r\n\r\n").unwrap();
            std::thread::sleep(LIMIT / 4);
        }
        answer(reader.get_mut(), "200 OK", "at last")
    });
    let timeouts = ServiceTimeouts { response: LIMIT, ..ServiceTimeouts::default() };
    let inside = Inside::new(&[backend.address], Set { timeouts, ..Set::default() });
    let mut talk = Talk::to(inside.address);
    talk.say("GET /work HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..TIMES {
        assert_eq!(talk.head().status, 102);
    }
    assert_eq!(talk.answer().body, "at last");
    talk.say("GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
    let heads = std::iter::from_fn(|| Some(talk.head())).skip_while(|head| head.status == 102);
    assert_eq!(heads.take(1).next().unwrap().status, 502);
    assert!(!inside.replicas[0].responses.have_failed(), "that is no illness");
}

#[test]
fn a_client_that_is_half_closed_is_answered_and_one_that_is_gone_is_not_waited_for() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let backend = Backend::at_heads(move |_, reader| {
        let _ = hold.lock().unwrap().recv_timeout(rig::PATIENCE);
        answer(reader.get_mut(), "200 OK", "at last")
    });
    let inside = in_front_of(&backend);
    // One that cannot be asked whether it is there, and one that is asked and does not mind.
    for (version, questions) in [("1.0", 0), ("1.1", 2)] {
        let mut talk = Talk::to(inside.address);
        talk.say(format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n"));
        talk.end();
        for _ in 0..questions {
            assert_eq!(talk.head().status, 100);
        }
        release.send(()).unwrap();
        assert_eq!(talk.answer().body, "at last");
        assert_eq!(talk.rest().unwrap(), b"");
        no_claims(&inside);
    }
    let mut gone = Talk::to(inside.address);
    gone.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("it is inside", || inside.claims() == 1);
    drop(gone);
    no_claims(&inside);
    release.send(()).unwrap();
}
