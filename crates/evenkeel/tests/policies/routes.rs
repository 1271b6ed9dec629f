//! Whom a request is for: several hosts and paths, exact paths, listeners, and what nobody takes.

use crate::rig::Rig;
use crate::rig::client::Talk;
use crate::{ask, ask_http2, named, service};

#[test]
fn hosts_come_before_paths_and_exact_paths_before_prefixes() {
    let [shop, api, health, rest] = ["shop", "api", "health", "rest"].map(named);
    let config = [
        service("shop", "hosts = [\"shop.test\", \"www.shop.test\", \"*.shop.test\"]", &shop),
        service("api", "hosts = [\"*\", \"shop.test\"]\npaths = [\"/api\", \"/v2/x\"]", &api),
        service("health", "path = \"=/api/health\"", &health),
        service("rest", "host = \"rest.test\"\ndefault = true", &rest),
    ];
    let balancer = Rig::new().config(&config.concat()).up();
    for (host, target, expected) in [
        ("shop.test", "/", "shop /"),
        ("www.shop.test:80", "/apis", "shop /apis"),
        ("A.b.SHOP.test.", "/", "shop /"),
        // The host is looked at first.
        ("www.shop.test", "/api", "shop /api"),
        ("shop.test", "/api/health", "api /api/health"),
        ("h", "/api/health", "health /api/health"),
        ("h", "/api/health/", "api /api/health/"),
        ("h", "/api/health/x", "api /api/health/x"),
        ("h", "/api", "api /api"),
        ("h", "/v2/x/y", "api /v2/x/y"),
        ("h", "/v2", "rest /v2"),
        ("rest.test", "/api", "rest /api"),
        ("shop.test.evil.test", "/", "rest /"),
        (".shop.test", "/", "rest /"),
        // However it is spelled.
        ("h", "/x/../api/./health", "health /api/health"),
        ("h", "/api//%68ealth", "health /api/health"),
    ] {
        let answer = ask(balancer.address, host, target);
        assert_eq!((answer.status, answer.body.as_str()), (200, expected), "{host} {target}");
        if !host.starts_with('.') {
            let answer = ask_http2(balancer.address, host, target);
            assert_eq!((answer.status, answer.body.as_str()), (200, expected), "HTTP/2: {host} {target}");
        }
    }
}

#[test]
fn no_spelling_leads_round_an_exact_path_or_one_of_several() {
    let [open, guarded, raw] = ["open", "guarded", "raw"].map(named);
    let config = [
        service("open", "", &open),
        service("guarded", "paths = [\"=/status\", \"/admin\", \"/internal\"]", &guarded),
        service("raw", "paths = [\"/raw\", \"/files\"]\npath_form = \"as-sent\"", &raw),
    ];
    let balancer = Rig::new().config(&config.concat()).up();
    let asked = |target: &str| {
        let answer = ask(balancer.address, "h", target);
        (answer.status, answer.body)
    };
    for target in ["/status", "//status", "/./status", "/x/../status", "/%73tatus", "/raw/../status"] {
        assert_eq!(asked(target), (200, "guarded /status".to_owned()), "{target}");
    }
    for target in [
        "/raw/..%2fstatus",
        "/files/..%2f..%2finternal",
        "/raw/..;/status",
        "/status;x=1",
        "/status%3bx",
        "/internal;a/x",
        "/x%2f..%2fadmin",
        "/%c0%afstatus",
    ] {
        let (status, body) = asked(target);
        assert_eq!(status, 400, "{target}: {body}");
    }
    assert_eq!(asked("/raw/a%2Fb//c"), (200, "raw /raw/a%2Fb//c".to_owned()));
    // An exact path is that path alone.
    assert_eq!(asked("/status/"), (200, "open /status/".to_owned()));
    let astray = open.received().into_iter().chain(raw.received());
    let astray: Vec<String> = astray.map(|one| one.line).filter(|line| line.contains("admin")).collect();
    assert!(astray.is_empty(), "{astray:?}");
}

#[test]
fn services_are_bound_to_listeners_and_a_listener_has_its_own_answer_for_the_rest() {
    let [inside, outside] = ["inside", "outside"].map(named);
    let config = [
        "[[listener]]\naddress = \"127.0.0.1:0\"\nname = \"internal\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\nname = \"public\"\nunmatched = \"close\"\n"
            .to_owned(),
        service("inside", "listeners = [\"internal\"]", &inside),
        service("outside", "path = \"/out\"", &outside),
    ];
    let balancer = Rig::new().config(&config.concat()).up();
    let (internal, public) = (balancer.next_listener(), balancer.next_listener());
    assert_eq!(ask(internal, "h", "/x").body, "inside /x");
    assert_eq!(ask(internal, "h", "/out").body, "outside /out");
    assert_eq!(ask(public, "h", "/out").body, "outside /out");
    assert_eq!(ask_http2(public, "h", "/out").body, "outside /out");
    assert_eq!(ask(balancer.address, "h", "/x").status, 404);
    let mut talk = Talk::to(public);
    talk.say("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(talk.rest().unwrap_or_default(), b"", "the connection is closed without a word");
    let refused = crate::speak::run(async {
        let request = http::Request::get("http://h/x").body(()).unwrap();
        crate::speak::Client::to(public).await.ask(request).await.is_err()
    });
    assert!(refused, "its stream is reset");
    assert_eq!(balancer.figure("evenkeel_refused_requests_total{reason=\"no_service\"}"), 3);
    let output =
        balancer.command(&["explain", "--service", "inside", "--path", "/x", "--listener", "public"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("another listener") && said.contains("nobody is for such a request"), "{said}");
}
