//! Who may come, by network: what clients claim about themselves, and what proxies that are trusted say of them.

use crate::rig::Rig;
use crate::{ask_with, both, named, service};

#[test]
fn networks_are_those_of_the_client_whom_trusted_proxies_name_and_nobody_else() {
    let backend = named("web");
    let lines = "allow = [\"192.0.2.0/24\", \"2001:db8::/32\"]\ndeny = [\"192.0.2.66\", \"2001:db8:6::/48\"]\n\
                 [[service.location]]\npath = \"/open\"\nallow = [\"0.0.0.0/0\", \"::/0\"]\n\
                 [[service.location]]\npath = \"=/closed\"\ndeny = [\"0.0.0.0/0\", \"::/0\"]\n";
    let config = format!("trusted_proxies = [\"127.0.0.1\"]\n{}", service("web", lines, &backend));
    let balancer = Rig::new().config(&config).up();
    let mut refused = 0;
    for (claimed, path, status) in [
        ("192.0.2.1", "/", 200),
        ("::ffff:192.0.2.1", "/", 200),
        ("6.6.6.6, 192.0.2.1", "/", 200),
        ("192.0.2.1, 6.6.6.6", "/", 403),
        ("192.0.2.66", "/", 403),
        ("::ffff:192.0.2.66", "/", 403),
        ("192.0.2.66:4711", "/", 403),
        ("[2001:db8::1]:80", "/", 200),
        ("2001:db8:6::1", "/", 403),
        ("192.0.3.1", "/", 403),
        ("unknown", "/", 403),
        ("", "/", 403),
        ("192.0.3.1", "/open", 200),
        ("192.0.3.1", "/open/x", 200),
        ("192.0.3.1", "/opener", 403),
        ("192.0.3.1", "//open", 200),
        ("192.0.3.1", "/open/../x", 403),
        ("192.0.2.1", "/closed", 403),
        ("192.0.2.1", "/clos%65d", 403),
        ("192.0.2.1", "/closed;x=1", 400),
        ("192.0.2.1", "/closed/x", 200),
    ] {
        for (version, answer) in both(balancer.address, path, &[("X-Forwarded-For", claimed)]) {
            assert_eq!(answer.status, status, "{claimed:?} {path} over HTTP/{version}: {answer:?}");
            refused += u64::from(status == 403);
        }
    }
    let name = "evenkeel_policies_total{service=\"web\",policy=\"networks\",outcome=\"refused\"}";
    assert_eq!(balancer.figure(name), refused);
    let output = balancer.command(&["explain"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for row in [
        "networks: refuses 192.0.2.66/32, 2001:db8:6::/48, takes 192.0.2.0/24, 2001:db8::/32 and refuses all others",
        "networks: =/closed: refuses 0.0.0.0/0, ::/0",
    ] {
        assert!(said.contains(row), "{said}");
    }
}

#[test]
fn a_stranger_is_where_it_is_whatever_it_claims() {
    let backend = named("web");
    let lines = "deny = [\"127.0.0.0/8\"]\n";
    let balancer = Rig::new().config(&service("web", lines, &backend)).up();
    for name in ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP"] {
        for claimed in ["192.0.2.1", "for=192.0.2.1", "127.0.0.1, 192.0.2.1"] {
            for (version, answer) in both(balancer.address, "/", &[(name, claimed)]) {
                assert_eq!(answer.status, 403, "{name}: {claimed} over HTTP/{version}");
            }
        }
    }
    assert!(backend.received().is_empty(), "nothing comes to a replica");
    let answer = ask_with(balancer.address, "/", &[]);
    assert!(answer.body.contains("not open to the network"), "{answer:?}");
}
