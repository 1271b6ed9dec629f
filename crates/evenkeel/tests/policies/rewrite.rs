//! Paths that replicas get in another form, and what they hear of the way.

use crate::rig::Rig;
use crate::rig::client::Talk;
use crate::{ask, ask_http2, named, service};

#[test]
fn prefixes_are_taken_off_and_put_on() {
    let [api, moved, based] = ["api", "moved", "based"].map(named);
    let config = [
        service("api", "paths = [\"/api\", \"/plain\"]\nstrip_prefix = \"/api\"", &api),
        service("moved", "path = \"/old\"\nstrip_prefix = \"/old\"\nadd_prefix = \"/new\"", &moved),
        service("based", "add_prefix = \"/base\"", &based),
    ];
    let balancer = Rig::new().config(&config.concat()).up();
    for (target, expected) in [
        ("/api", "api /"),
        ("/api/", "api /"),
        ("/api?x=/api", "api /?x=/api"),
        ("/api/x/y?z", "api /x/y?z"),
        ("/api/api", "api /api"),
        ("/plain/api", "api /plain/api"),
        ("/old", "moved /new"),
        ("/old/x", "moved /new/x"),
        ("/", "based /base/"),
        ("/apis", "based /base/apis"),
        // In their normal form, and not otherwise.
        ("/api//x", "api /x"),
        ("/api/./x/../y", "api /y"),
        ("/api/%78", "api /x"),
        ("/%61pi/x", "api /x"),
        ("/api/../old/x", "moved /new/x"),
        ("/api/../../x", "based /base/x"),
    ] {
        assert_eq!(ask(balancer.address, "h", target).body, expected, "{target}");
        assert_eq!(ask_http2(balancer.address, "h", target).body, expected, "HTTP/2: {target}");
    }
    for target in ["/api/%2fevil.test", "/api/..%2fadmin", "/api/..;/x", "/api%2fx", "/api/%5cx"] {
        assert_eq!(ask(balancer.address, "h", target).status, 400, "{target}");
    }
    let lines: Vec<String> = api.received().into_iter().map(|one| one.line).collect();
    assert!(lines.iter().all(|line| !line.contains(" //") && !line.contains("..")), "{lines:?}");
    let name = "evenkeel_policies_total{service=\"api\",policy=\"rewrite\",outcome=\"rewritten\"}";
    assert_eq!(balancer.figure(name), 18, "all but /plain/api, twice");
}

#[test]
fn as_sent_a_path_does_not_leave_its_prefix_in_any_reading() {
    let api = named("api");
    let lines = "strip_prefix = \"/api\"\nadd_prefix = \"/app\"\npath_form = \"as-sent\"";
    let balancer = Rig::new().config(&service("api", lines, &api)).up();
    for (target, expected) in [
        ("/api/a%2Fb//c", "api /app/a%2Fb//c"),
        ("/api/x/../y", "api /app/x/../y"),
        ("/other//x", "api /app/other//x"),
    ] {
        assert_eq!(ask(balancer.address, "h", target).body, expected, "{target}");
    }
    for target in [
        "/api//evil.test/x",
        "//evil.test/x",
        "/api/../admin",
        "/api/%2e%2e/admin",
        "/api/..%2fadmin",
        "/api/..;/admin",
        "/%61pi/x",
        "/api%2fx",
        "/api;v=1/x",
        "/x/../api/y",
    ] {
        assert_eq!(ask(balancer.address, "h", target).status, 400, "{target}");
    }
    assert_eq!(api.received().len(), 3);
}

#[test]
fn replicas_hear_which_prefix_was_taken_off_and_by_whom() {
    for (top, given, expected) in [
        ("", "X-Forwarded-Prefix: /evil", "/api"),
        ("", "x_forwarded_prefix: /evil", "/api"),
        ("trusted_proxies = [\"127.0.0.1\"]\n", "X-Forwarded-Prefix: /outer/", "/outer/api"),
        ("trusted_proxies = [\"127.0.0.1\"]\n", "X-Forwarded-Prefix: evil", "/api"),
    ] {
        let api = named("api");
        let config = service("api", "strip_prefix = \"/api\"\nvia = false", &api);
        let balancer = Rig::new().config(&format!("{top}[limits]\nunderscores = \"keep\"\n{config}")).up();
        let mut talk = Talk::to(balancer.address);
        talk.say(format!("GET /api/x HTTP/1.1\r\nHost: h\r\nVia: 1.1 front\r\n{given}\r\n\r\n"));
        assert_eq!(talk.answer().body, "api /x");
        let received = api.received();
        assert_eq!(received[0].header("x-forwarded-prefix"), [expected], "{top}{given}");
        assert_eq!(received[0].header("x_forwarded_prefix"), [""; 0], "{top}{given}");
        assert_eq!(received[0].header("via"), [""; 0]);
        talk.say("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(talk.answer().body, "api /x");
        assert_eq!(api.received()[1].header("x-forwarded-prefix"), [""; 0], "nothing was taken off");
    }
}
