//! Pages that stand for errors: of ours, and of replicas where that is wanted; and that all else stays as it is.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::rig::backend::Backend;
use crate::rig::client::{self, raw};
use crate::rig::{Rig, eventually};
use crate::{both, service};

const SORRY: &str = "<h1>sorry</h1>";
const NOT_FOUND: &str = "<h1>not found</h1>";

/// A folder with pages.
fn pages() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("5xx.html", SORRY), ("404.html", NOT_FOUND), ("4xx.txt", "no")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn table(folder: &Path, pages: &[[&str; 2]]) -> String {
    let page = |[status, name]: &[&str; 2]| format!("{status} = \"{}\"", folder.join(name).display());
    format!("error_pages = {{ {} }}\n", pages.iter().map(page).collect::<Vec<_>>().join(", "))
}

/// Answers with the status that its path asks for.
fn statuses() -> Backend {
    Backend::start(|request, stream| {
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        let status = path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        let fields = "Content-Type: application/json\r\nETag: \"a\"\r\nRetry-After: 7\r\nX-Own: yes\r\n";
        let body = if request.line.starts_with("HEAD") { "" } else { "{\"own\":1}" };
        stream
            .write_all(format!("HTTP/1.1 {status} Own\r\n{fields}Content-Length: 9\r\n\r\n{body}").as_bytes())
            .is_ok()
    })
}

#[test]
fn an_error_of_ours_has_the_page_of_its_status() {
    let folder = pages();
    let lines = table(folder.path(), &[["404", "404.html"], ["5xx", "5xx.html"]]);
    // Nobody is there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!(
        "[[service]]\nname = \"dead\"\ndriver = \"static\"\naddresses = [\"{gone}\"]\n{lines}deny = [\"10.0.0.0/8\"]\n\
         [service.limits]\nqueue_timeout = \"100ms\"\n[service.response_headers]\nset = {{ X-Frame-Options = \"DENY\" }}\n\
         [[service.location]]\npath = \"/closed\"\ndeny = [\"127.0.0.0/8\"]\n"
    );
    let balancer = Rig::new().config(&dead).up();
    for (version, answer) in both(balancer.address, "/", &[("accept", "application/json")]) {
        assert_eq!((answer.status, answer.body.as_str()), (503, SORRY), "{version}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("content-length"), Some("14"));
    }
    let head = raw(balancer.address, b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (503, Some("14"), ""));
    // There is no page for it.
    for (_, answer) in both(balancer.address, "/closed", &[]) {
        assert_eq!((answer.status, answer.header("content-type")), (403, Some("application/problem+json")));
    }
    eventually("all are counted", || {
        let name = "evenkeel_policies_total{service=\"dead\",policy=\"error_pages\",outcome=\"replaced\"}";
        balancer.figure(name) == 3
    });
    let explained = String::from_utf8(balancer.command(&["explain"]).stdout).unwrap();
    assert!(explained.contains("error_pages: pages stand for 404, 5xx"), "{explained}");
}

#[test]
fn what_replicas_answer_stays_unless_it_is_to_be_replaced() {
    let (folder, backend) = (pages(), statuses());
    let lines = table(folder.path(), &[["404", "404.html"], ["4xx", "4xx.txt"], ["503", "5xx.html"]]);
    let kept = service("kept", &format!("path = \"/\"\n{lines}"), &backend);
    let balancer = Rig::new().config(&kept).up();
    for (_, answer) in both(balancer.address, "/404", &[]) {
        assert_eq!((answer.status, answer.body.as_str()), (404, "{\"own\":1}"));
    }
    let replaced = service(
        "replaced",
        &format!("{lines}replace_errors = true\n[service.responses]\nfailures = 0\n"),
        &backend,
    );
    let balancer = Rig::new().config(&replaced).up();
    for (path, status, body, media_type) in [
        ("/404", 404, NOT_FOUND, "text/html; charset=utf-8"),
        ("/403", 403, "no", "text/plain; charset=utf-8"),
        ("/503", 503, SORRY, "text/html; charset=utf-8"),
        ("/500", 500, "{\"own\":1}", "application/json"),
        ("/200", 200, "{\"own\":1}", "application/json"),
    ] {
        for (version, answer) in both(balancer.address, path, &[]) {
            assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path} over {version}");
            assert_eq!(answer.header("content-type"), Some(media_type), "{path}");
            assert_eq!(
                (answer.header("retry-after"), answer.header("x-own")),
                (Some("7"), Some("yes")),
                "{path}"
            );
            let is_own = body.contains("own");
            assert_eq!(answer.header("etag").is_some(), is_own, "{path}: {answer:?}");
        }
    }
    let head = raw(balancer.address, b"HEAD /404 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (404, Some("18"), ""));
}

#[test]
fn a_listener_has_pages_for_whom_no_service_has_one() {
    let (folder, backend) = (pages(), statuses());
    let of_listener = table(folder.path(), &[["404", "404.html"], ["4xx", "4xx.txt"]]);
    let of_service = table(folder.path(), &[["404", "5xx.html"]]);
    let listener = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{of_listener}");
    let files = format!(
        "[[service]]\nname = \"site\"\npath = \"/site\"\ndriver = \"files\"\nroot = \"{}\"\n{of_service}",
        folder.path().display()
    );
    let web = service("web", "path = \"/web\"\nmax_body = \"1B\"\n", &backend);
    let balancer = Rig::new().config(&format!("{listener}\n{files}\n{web}")).up();
    let other = balancer.next_listener();
    for (path, expected) in [("/nobody", NOT_FOUND), ("/site/none", SORRY), ("/site/../%zz", "no")] {
        for (version, answer) in both(other, path, &[]) {
            assert_eq!(answer.body, expected, "{path} over {version}: {answer:?}");
        }
    }
    let large = "POST /web/200 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab";
    let answer = raw(other, large.as_bytes()).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (413, "no"));
    let nonsense = raw(other, b"GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n").unwrap();
    assert_eq!((nonsense.status, nonsense.body.as_str()), (400, "no"));
    // The other listener has none.
    assert_eq!(
        client::send(balancer.address, "GET", "/nobody", "").header("content-type"),
        Some("application/problem+json")
    );
}

#[test]
fn a_page_that_cannot_be_read_is_told_before_anything_begins() {
    let folder = pages();
    let missing = table(folder.path(), &[["404", "none.html"]]);
    let text = format!("[[service]]\nname = \"web\"\n{missing}");
    let said = Rig::new().config(&text).try_up().err().expect("it does not come up");
    assert!(
        said.contains("service 'web': the page ") && said.contains("none.html for 404 cannot be used"),
        "{said}"
    );
    let text = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{missing}\n[[service]]\nname = \"web\"\n");
    let said = Rig::new().config(&text).try_up().err().expect("it does not come up");
    assert!(said.contains("listener 127.0.0.1:0: the page "), "{said}");
    for (line, part) in [
        ("error_pages = { 200 = \"x\" }", "must be a status from 400 to 599"),
        ("error_pages = { 4040 = \"x\" }", "must be a status from 400 to 599"),
        ("error_pages = { 3xx = \"x\" }", "must be a status from 400 to 599"),
        ("replace_errors = true", "`replace_errors` is about pages that are not set"),
    ] {
        let said =
            Rig::new().config(&format!("[[service]]\nname = \"web\"\n{line}\n")).try_up().err().unwrap();
        assert!(said.contains(part), "{line}: {said}");
    }
}
