//! Redirects: where to, and that nothing a client writes decides about the host.

use std::fs;

use serde_json::Value;

use crate::rig::client::{Talk, raw};
use crate::rig::{Balancer, Rig, eventually};
use crate::{ask, ask_http2, named, service};

const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nname = \"http\"\nredirect = \"https\"\n";

/// What came back: the status, and where to.
fn told(answer: &crate::rig::client::Answer) -> String {
    let location = answer.header("location").map(|location| format!(" {location}"));
    format!("{}{}", answer.status, location.unwrap_or_default())
}

#[test]
fn a_listener_sends_everybody_to_the_same_place_by_https() {
    let web = named("web");
    let config = format!("{LISTENER}{}", service("web", "hosts = [\"shop.test\", \"*.shop.test\"]", &web));
    let balancer = Rig::new().config(&config).up();
    let address = balancer.next_listener();
    for (host, target, expected) in [
        ("shop.test", "/", "308 https://shop.test/"),
        ("shop.test", "/a/b?c=d&e=%2F//x", "308 https://shop.test/a/b?c=d&e=%2F//x"),
        ("SHOP.test:8080", "/a", "308 https://SHOP.test/a"),
        ("a.shop.test.", "/", "308 https://a.shop.test./"),
        ("shop.test", "/a?", "308 https://shop.test/a?"),
        ("shop.test", "/.well-known/acme-challenge/token", "200"),
        ("shop.test", "/.well-known/acme-challenge/../x", "308 https://shop.test/.well-known/x"),
        ("shop.test", "/.well-known/acme-challenge", "308 https://shop.test/.well-known/acme-challenge"),
        // What nobody here is for is not sent anywhere.
        ("evil.test", "/", "404"),
        ("shop.test.evil.test", "/", "404"),
        ("evil.test", "/.well-known/acme-challenge/token", "404"),
    ] {
        assert_eq!(told(&ask(address, host, target)), expected, "{host} {target}");
        assert_eq!(told(&ask_http2(address, host, target)), expected, "HTTP/2: {host} {target}");
    }
    assert_eq!(ask(balancer.address, "shop.test", "/").status, 200, "the other listener serves");
}

#[test]
fn nothing_that_a_client_writes_makes_another_host_of_a_location() {
    let web = named("web");
    let balancer = Rig::new().config(&format!("{LISTENER}{}", service("web", "", &web))).up();
    let address = balancer.next_listener();
    let said =
        |text: &str| raw(address, text.as_bytes()).map_or("nothing".to_owned(), |answer| told(&answer));
    for (request, expected) in [
        ("GET //evil.test/a HTTP/1.1\r\nHost: h\r\n", "308 https://h/evil.test/a"),
        ("GET /%2fevil.test HTTP/1.1\r\nHost: h\r\n", "400"),
        ("GET /\\evil.test HTTP/1.1\r\nHost: h\r\n", "400"),
        ("GET http://h/a HTTP/1.1\r\nHost: h\r\n", "308 https://h/a"),
        ("GET http://evil.test/a HTTP/1.1\r\nHost: h\r\n", "400"),
        ("GET http://h?a HTTP/1.1\r\nHost: h\r\n", "308 https://h/?a"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n", "308 https://h/"),
        ("GET / HTTP/1.1\r\nHost: h@evil.test\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h%2fevil.test\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h;evil.test\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h,evil.test\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: h:80:evil.test\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: \r\n", "400"),
        ("GET / HTTP/1.0\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n", "308 https://[::1]/"),
        ("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: evil.test\r\n", "308 https://h/"),
        // Nobody is believed who is not trusted.
        ("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\n", "308 https://h/"),
        ("GET /a%0d%0aSet-Cookie:%20x HTTP/1.1\r\nHost: h\r\n", "308 https://h/a%0D%0ASet-Cookie:%20x"),
        ("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n", "405"),
    ] {
        let request = format!("{request}Connection: close\r\n\r\n");
        assert_eq!(said(&request), expected, "{request}");
    }
    assert!(web.received().is_empty(), "{:?}", web.received());
}

#[test]
fn status_and_port_are_chosen_and_a_trusted_proxy_knows_what_it_had() {
    let web = named("web");
    let config = format!(
        "trusted_proxies = [\"127.0.0.1\"]\n{LISTENER}redirect_status = 301\nredirect_port = 8443\n{}",
        service("web", "", &web)
    );
    let balancer = Rig::new().config(&config).up();
    let address = balancer.next_listener();
    assert_eq!(told(&ask(address, "h:80", "/a")), "301 https://h:8443/a");
    let proxied = |scheme: &str| {
        let text =
            format!("GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: {scheme}\r\nConnection: close\r\n\r\n");
        told(&raw(address, text.as_bytes()).unwrap())
    };
    assert_eq!(proxied("https"), "200");
    assert_eq!(proxied("http"), "301 https://h:8443/a");
}

#[test]
fn a_connection_carries_on_after_a_redirect_and_a_body_does_not_hold_it_up() {
    let web = named("web");
    let balancer = Rig::new().config(&format!("{LISTENER}{}", service("web", "", &web))).up();
    let mut talk = Talk::to(balancer.next_listener());
    for request in [
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        talk.say(request);
        let answer = if request.starts_with("HEAD") { talk.head() } else { talk.answer() };
        assert_eq!(told(&answer), "308 https://h/a", "{request}");
        assert_eq!((answer.header("connection"), answer.body.as_str()), (None, ""));
    }
    // Who announces more than is worth reading is told that the connection ends.
    talk.say("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\nhello");
    let answer = talk.answer();
    assert_eq!((told(&answer).as_str(), answer.header("connection")), ("308 https://h/a", Some("close")));
}

/// Rules, and a service behind them.
fn with_rules() -> (Balancer, crate::rig::backend::Backend) {
    let web = named("web");
    let rules = r#"
        [[redirect]]
        host = "www.shop.test"
        to = "https://shop.test"
        [[redirect]]
        hosts = ["shop.test", "*"]
        path = "/old"
        to = "/new"
        status = 301
        [[redirect]]
        host = "shop.test"
        paths = ["=/exact", "/flat"]
        to = "/fixed?a=b"
        status = 302
        keep_rest = false
        [[redirect]]
        host = "shop.test"
        path = "/up"
        to = "/"
        status = 307
        [[redirect]]
        host = "moved.test"
        path = "/a/"
        to = "http://elsewhere.test:81/b/"
        status = 303
    "#;
    (
        Rig::new()
            .config(&format!("{rules}{}", service("web", "hosts = [\"shop.test\", \"moved.test\"]", &web)))
            .up(),
        web,
    )
}

#[test]
fn rules_send_hosts_and_paths_elsewhere_with_the_rest_of_the_path() {
    let (balancer, _web) = with_rules();
    for (host, target, expected) in [
        ("www.shop.test", "/", "308 https://shop.test/"),
        ("www.shop.test", "/a?b", "308 https://shop.test/a?b"),
        ("WWW.shop.test:5000", "/a//b/../c", "308 https://shop.test/a/c"),
        ("shop.test", "/old", "301 /new"),
        ("shop.test", "/old/", "301 /new/"),
        ("shop.test", "/old/x/y?z=//evil.test", "301 /new/x/y?z=//evil.test"),
        ("shop.test", "/older", "200"),
        ("shop.test", "/exact", "302 /fixed?a=b"),
        ("shop.test", "/exact/", "200"),
        ("shop.test", "/exact/x", "200"),
        ("shop.test", "/flat/x?y", "302 /fixed?a=b"),
        ("shop.test", "/up", "307 /"),
        ("shop.test", "/up/x", "307 /x"),
        ("shop.test", "/up//evil.test", "307 /evil.test"),
        ("shop.test", "/up/%2fevil.test", "400"),
        ("shop.test", "/up/..//evil.test", "200"),
        ("moved.test", "/a", "303 http://elsewhere.test:81/b/"),
        ("moved.test", "/a/x", "303 http://elsewhere.test:81/b/x"),
        ("moved.test", "/old", "200"),
        ("other.test", "/old/x", "301 /new/x"),
        ("other.test", "/", "404"),
        // No spelling leads round a rule.
        ("shop.test", "/%6fld/x", "301 /new/x"),
        ("shop.test", "/x/../old", "301 /new"),
    ] {
        assert_eq!(told(&ask(balancer.address, host, target)), expected, "{host} {target}");
        assert_eq!(told(&ask_http2(balancer.address, host, target)), expected, "HTTP/2: {host} {target}");
    }
}

#[test]
fn a_redirect_is_counted_logged_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let web = named("web");
    let config = format!(
        "[access_log]\nto = {log:?}\n{LISTENER}[[redirect]]\nhost = \"www.test\"\nto = \"https://web.test\"\n{}",
        service("web", "host = \"web.test\"", &web)
    );
    let balancer = Rig::new().config(&config).up();
    let listener = balancer.next_listener();
    assert_eq!(ask(listener, "web.test", "/by-listener").status, 308);
    assert_eq!(ask(balancer.address, "www.test", "/by-rule").status, 308);
    eventually("both are written down", || {
        let lines = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let is_told = |target: &str, service: Value| {
            let line = lines.iter().find(|line| line["target"] == target);
            line.is_some_and(|line| {
                line["policy"] == "redirect"
                    && line["status"] == 308
                    && line["service"] == service
                    && line["failure"].is_null()
            })
        };
        is_told("/by-listener", "web".into()) && is_told("/by-rule", Value::Null)
    });
    for service in ["web", ""] {
        let name = format!(
            "evenkeel_policies_total{{service=\"{service}\",policy=\"redirect\",outcome=\"redirected\"}}"
        );
        assert_eq!(balancer.figure(&name), 1, "{name}");
    }
    let explained = |arguments: &[&str]| {
        let output = balancer.command(&[&["explain"], arguments].concat());
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = explained(&["--header", "host=www.test"]);
    assert!(said.contains("to https://web.test") && said.contains("chosen"), "{said}");
    assert!(said.contains("another host") && said.contains("is sent elsewhere"), "{said}");
    let said = explained(&["--header", "host=web.test", "--listener", "http"]);
    assert!(said.contains("it goes through redirect: the listener sends it to HTTPS, port 443"), "{said}");
}
