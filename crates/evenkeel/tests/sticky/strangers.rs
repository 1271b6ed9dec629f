//! Cookies that we have not written, or not for this service: they are as good as none, never an error, and
//! nobody is at a replica by them that was not sent there by us.

use http::Request;

use crate::cookie_in;
use crate::rig::backend::Backend;
use crate::rig::client::raw;
use crate::speak::{self, Client};

use super::cookies::{config, up};

/// What strangers put into a cookie of our name; `own` is a valid one.
fn forged(own: &str) -> Vec<String> {
    let value = own.strip_prefix("seat=").unwrap();
    let flipped = |place: usize| {
        let other = if value.as_bytes()[place] == b'A' { "B" } else { "A" };
        format!("seat={}{other}{}", &value[..place], &value[place + 1..])
    };
    let other_case: String = value
        .chars()
        .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let mut forged: Vec<String> =
        ["seat=", "seat", "seat=1", "seat=2", "seat=\"2\"", "seat=AAAAAgAAAAAAAAAA"]
            .map(str::to_owned)
            .into();
    forged.extend((0..value.len()).step_by(7).map(flipped));
    forged.extend([
        format!("seat={}", "A".repeat(value.len())),
        format!("seat={}", "A".repeat(6000)),
        format!("seat={}", &value[1..]),
        format!("seat={value}A"),
        format!("seat=\"{value}\""),
        format!("seat={other_case}"),
        format!("SEAT={value}"),
        format!("seat ={value}"),
        vec!["seat=x"; 500].join("; "),
        // Behind so many that could be ours nobody looks.
        format!("{}; {own}", vec![format!("seat={}", "A".repeat(value.len())); 4].join("; ")),
    ]);
    forged
}

#[test]
fn what_we_have_not_written_is_as_good_as_no_cookie() {
    let backends = [Backend::saying("1"), Backend::saying("2"), Backend::saying("3")];
    let balancer = up(&config("", &backends.each_ref(), ""), 3);
    let own = cookie_in(&balancer.get("/")).unwrap();
    for cookie in forged(&own) {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
        let answer = raw(balancer.address, text.as_bytes()).unwrap();
        assert!(answer.status == 200 && cookie_in(&answer).is_some(), "{cookie}: {answer:?}");
    }
    speak::run(async {
        let mut client = Client::to(balancer.address).await;
        for cookie in forged(&own) {
            let request = Request::get("http://h/").header("cookie", &cookie).body(()).unwrap();
            let answer = client.ask(request).await.unwrap();
            assert!(answer.status == 200 && answer.header("set-cookie").is_some(), "{cookie}: {answer:?}");
        }
    });
    let received = backends.iter().flat_map(|backend| backend.received());
    let cookies: Vec<_> = received.map(|one| one.header("cookie").join(";")).collect();
    assert!(!cookies.iter().any(|cookie| cookie.contains("seat=")), "{cookies:?}");
}

#[test]
fn nobody_chooses_a_seat_by_a_cookie_that_was_not_given_for_it() {
    const TIMES: usize = 60;
    let backends = [Backend::saying("1"), Backend::saying("2"), Backend::saying("3")];
    let balancer = up(&config("", &backends.each_ref(), ""), 3);
    let own = cookie_in(&balancer.get("/")).unwrap();
    let changed = format!("{}{}", &own[..own.len() - 2], if own.ends_with("AA") { "BB" } else { "AA" });
    for (cookie, places) in [(own, 1), (changed, 3)] {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
        let bodies = (0..TIMES).map(|_| raw(balancer.address, text.as_bytes()).unwrap().body);
        assert_eq!(bodies.collect::<std::collections::BTreeSet<_>>().len(), places, "{cookie}");
    }
}

#[test]
fn a_cookie_of_one_service_is_none_for_another_also_with_the_same_name() {
    let backend = Backend::saying("ok");
    let service = |name: &str, path: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\npath = \"{path}\"\nsticky = \"seat\"\ndriver = \"static\"\naddresses = [\"{}\"]\n",
            backend.address
        )
    };
    let balancer = up(&(service("web", "/") + &service("shop", "/shop")), 1);
    let ask = |path: &str, cookie: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
        cookie_in(&raw(balancer.address, text.as_bytes()).unwrap())
    };
    let web = ask("/", "a=1").unwrap();
    let shop = ask("/shop", &web).unwrap();
    assert_eq!((ask("/", &web), ask("/shop", &shop)), (None, None));
    assert!(ask("/", &shop).is_some());
    assert_eq!(ask("/", &format!("{shop}; {web}")), None, "the own one counts, wherever it stands");
}
