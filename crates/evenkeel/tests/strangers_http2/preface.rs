//! Where HTTP/2 is not spoken, nobody gets to speak it.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, PREFACE, SETTINGS, ask, frame};
use crate::rig::backend::Backend;
use crate::rig::client::Talk;
use crate::rig::tls::Authority;
use crate::rig::{Balancer, PATIENCE, Rig};

fn balancer(backend: &Backend, lines: &str) -> Balancer {
    let service =
        format!("[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n", backend.address);
    Rig::new().config(&format!("{lines}{service}")).up()
}

/// A client that begins as HTTP/2 does, and all that it is told.
fn told(mut stream: impl Read + Write) -> String {
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &get()].concat();
    let _ = stream.write_all(&hello);
    let _ = stream.flush();
    let mut told = Vec::new();
    // It may be hung up on with something unread.
    let _ = stream.read_to_end(&mut told);
    String::from_utf8_lossy(&told).into_owned()
}

fn get() -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &ask("GET", "/", &[]))
}

fn connect(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn it_is_spoken_unless_it_is_turned_off() {
    let backend = Backend::saying("ok");
    let balancer =
        balancer(&backend, "http2 = true\n[[listener]]\naddress = \"127.0.0.1:0\"\nhttp2 = false\n");
    let mut frames = Frames::to(balancer.address);
    frames.say(&get());
    assert_eq!(frames.outcome(1), Outcome::Status(200));
    let without = balancer.next_listener();
    let told = told(connect(without));
    assert!(told.starts_with("HTTP/1.1 505 ") || told.starts_with("HTTP/1.1 400 "), "{told:?}");
    let mut talk = Talk::to(without);
    talk.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n");
    let answer = talk.answer();
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "it was no offer");
    assert_eq!(backend.received().last().unwrap().header("upgrade"), [""; 0]);
}

#[test]
fn the_first_listener_can_do_without_it_as_well() {
    let backend = Backend::saying("ok");
    let balancer = balancer(&backend, "http2 = false\n");
    let told = told(connect(balancer.address));
    assert!(told.starts_with("HTTP/1.1 505 ") || told.starts_with("HTTP/1.1 400 "), "{told:?}");
    assert_eq!(balancer.get("/").body, "ok");
}

#[test]
fn over_tls_only_the_handshake_chooses_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("shop.example").put(folder.path(), "shop");
    let backend = Backend::saying("ok");
    let at = folder.path().display();
    let balancer = balancer(
        &backend,
        &format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
             certificates = [{{ certificate = \"{at}/shop.pem\", key = \"{at}/shop.key\" }}]\n"
        ),
    );
    // It has chosen nothing, which is HTTP/1.1.
    let stream = authority.client(None).connect(balancer.next_listener(), "shop.example").unwrap();
    let told = told(stream);
    assert!(told.starts_with("HTTP/1.1 505 ") || told.starts_with("HTTP/1.1 400 "), "{told:?}");
}
