//! Headers that are set, added and removed, on the way in and out.

use crate::rig::Rig;
use crate::rig::backend::Backend;
use crate::rig::client::Talk;
use crate::speak;
use crate::{ask, ask_http2, named, service, values};

/// A backend that says more about itself than anybody wants to know.
fn talkative() -> Backend {
    Backend::start(|_, stream| {
        let text = "HTTP/1.1 200 OK\r\nServer: App/1.0\r\nX-Powered-By: PHP\r\nX-Powered-By: Perl\r\n\
                    x-frame-options: ALLOWALL\r\nLink: </a>\r\nContent-Length: 2\r\n\r\nok";
        std::io::Write::write_all(stream, text.as_bytes()).is_ok()
    })
}

const RESPONSE: &str = "[service.response_headers]\nset = { X-Frame-Options = \"DENY\" }\n\
                        add = { Link = \"</b>\", X-New = \"1\" }\nremove = [\"server\", \"X-Powered-By\", \"X-None\"]\n";
const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nname = \"front\"\n[listener.response_headers]\n\
                        set = { Strict-Transport-Security = \"max-age=31536000\", X-New = \"2\" }\n";

#[test]
fn responses_are_edited_by_their_service_and_then_by_the_listener() {
    let backend = talkative();
    let balancer =
        Rig::new().config(&format!("{LISTENER}{}", service("web", &format!("\n{RESPONSE}"), &backend))).up();
    let front = balancer.next_listener();
    for (name, answer) in [("1.1", ask(front, "h", "/")), ("2", ask_http2(front, "h", "/"))] {
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{name}");
        for (header, expected) in [
            ("server", &[][..]),
            ("x-powered-by", &[]),
            ("x-frame-options", &["DENY"]),
            ("link", &["</a>", "</b>"]),
            ("x-new", &["2"]),
            ("strict-transport-security", &["max-age=31536000"]),
            ("content-length", &["2"]),
        ] {
            assert_eq!(values(&answer, header), expected, "HTTP/{name}: {header}");
        }
    }
    let elsewhere = ask(balancer.address, "h", "/");
    assert_eq!(values(&elsewhere, "x-new"), ["1"]);
    assert_eq!(values(&elsewhere, "strict-transport-security"), [""; 0]);
    let name = "evenkeel_policies_total{service=\"web\",policy=\"response_headers\",outcome=\"edited\"}";
    assert_eq!(balancer.figure(name), 3, "{}", balancer.figure(name));
}

#[test]
fn what_we_answer_ourselves_is_edited_too() {
    let backend = named("web");
    let config = format!("{LISTENER}{}", service("web", &format!("path = \"/web\"\n{RESPONSE}"), &backend));
    let balancer = Rig::new().config(&config).up();
    let front = balancer.next_listener();
    let hsts = "strict-transport-security";
    for answer in [ask(front, "h", "/nobody"), ask(front, "h", "/a%2fb"), ask_http2(front, "h", "/nobody")] {
        assert!(matches!(answer.status, 400 | 404), "{answer:?}");
        assert_eq!(values(&answer, hsts), ["max-age=31536000"], "{answer:?}");
        assert_eq!(values(&answer, "x-frame-options"), [""; 0], "{answer:?}");
    }
    let mut talk = Talk::to(front);
    talk.say("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let answer = talk.answer();
    assert_eq!((answer.status, values(&answer, hsts)), (400, vec!["max-age=31536000"]));
    // With its service known, what that asks for holds, too.
    let mut talk = Talk::to(front);
    talk.say("GET /web HTTP/1.1\r\nHost: h\r\nX-Bad: \x01\r\n\r\n");
    assert_eq!(talk.answer().status, 400);
    let mut talk = Talk::to(front);
    talk.say("TRACE /web HTTP/1.1\r\nHost: h\r\n\r\n");
    let answer = talk.answer();
    assert_eq!((answer.status, values(&answer, "x-frame-options")), (405, vec!["DENY"]));
}

#[test]
fn requests_are_edited_on_their_way_to_the_replica() {
    let backend = named("web");
    let lines = "\n[service.request_headers]\nset = { Host = \"app.internal:8080\", X-Api-Key = \"secret\" }\n\
                 add = { X-Also = \"ours\" }\nremove = [\"Authorization\", \"X-Forwarded-Ssl\"]\n";
    let balancer = Rig::new().config(&service("web", lines, &backend)).up();
    let mut talk = Talk::to(balancer.address);
    talk.say(
        "GET / HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Basic x\r\nx-api-key: guessed\r\nX-API-KEY: again\r\n\
         X-Also: theirs\r\nX-Kept: 1\r\nConnection: x-api-key\r\n\r\n",
    );
    assert_eq!(talk.answer().status, 200);
    let request = http::Request::get("http://shop.test/")
        .header("authorization", "Basic x")
        .header("x-api-key", "guessed")
        .header("x-also", "theirs")
        .header("x-kept", "1")
        .body(())
        .unwrap();
    let answered =
        speak::run(async { speak::Client::to(balancer.address).await.ask(request).await.unwrap() });
    assert_eq!(answered.status, 200);
    for got in backend.received() {
        for (header, expected) in [
            ("host", &["app.internal:8080"][..]),
            ("x-forwarded-host", &["shop.test"]),
            ("authorization", &[]),
            ("x-api-key", &["secret"]),
            ("x-also", &["theirs", "ours"]),
            ("x-kept", &["1"]),
        ] {
            assert_eq!(got.header(header), expected, "{header}: {got:?}");
        }
    }
    assert_eq!(backend.received().len(), 2);
    let output = balancer.command(&["explain"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("request_headers: sets host, x-api-key; adds x-also; removes authorization"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
}
