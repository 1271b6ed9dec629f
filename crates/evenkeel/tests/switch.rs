//! Who comes from nginx, or from Compose and Traefik: the same requests to nginx with its file, and to the program with the file beside it, in
//! `examples/switch`. What clients see is compared: statuses, headers, bodies, and what the application got. What
//! differs is written down in `docs/from-nginx.md`, and anything else that differs is a fault.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

mod switch {
    pub(crate) mod nginx;
}

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;

use rig::backend::{Backend, Received};
use rig::client::{Answer, parse, raw};
use rig::tls::{Authority, Client};
use rig::{Rig, eventually};
use switch::nginx::{Nginx, NginxFile};

const NGINX: &str = include_str!("../../../examples/switch/nginx/nginx.conf");
const OURS: &str = include_str!("../../../examples/switch/nginx/evenkeel.toml");
const ERROR_PAGE: &str = include_str!("../../../examples/switch/nginx/errors/50x.html");
const COMPOSE: &str = include_str!("../../../examples/switch/traefik/compose.yaml");
const BESIDE_COMPOSE: &str = include_str!("../../../examples/switch/traefik/evenkeel.toml");
const TRAEFIK_DOCUMENT: &str = include_str!("../../../docs/from-traefik.md");
/// bcrypt of "secret".
const PASSWORDS: &str = "alice:$2y$04$/j/b.O302I1n0/O8lq3BIOjVmZ1Hwo2mwHTiNVJ671naxbvqBbMA2\n";
const DOCUMENT: &str = include_str!("../../../docs/from-nginx.md");

/// What may differ, by the words that the document has for it.
const DIFFERENCES: [&str; 11] = [
    "the texts of errors",
    "the charset of passwords",
    "the charset of a page",
    "what is said of a part",
    "JavaScript",
    "502 and 503",
    "`Expires`",
    "`Host` as it came",
    "paths in their normal form",
    "the name of a user",
    "`ETag`",
];

/// What of an answer is compared. `Date`, `Server` and the like are each server's own.
const COMPARED: [&str; 15] = [
    "accept-ranges",
    "allow",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "expires",
    "last-modified",
    "location",
    "set-cookie",
    "strict-transport-security",
    "vary",
    "www-authenticate",
    "x-frame-options",
    "x-powered-by",
];

/// A request, and by what the answers to it may differ.
struct Case {
    host: &'static str,
    request: &'static str,
    fields: &'static [(&'static str, &'static str)],
    differs: &'static [&'static str],
}

const fn case(
    host: &'static str,
    request: &'static str,
    fields: &'static [(&'static str, &'static str)],
    differs: &'static [&'static str],
) -> Case {
    Case { host, request, fields, differs }
}

const SITE: &str = "example.org";
const ALICE: (&str, &str) = ("Authorization", "Basic YWxpY2U6c2VjcmV0");
const MALLORY: (&str, &str) = ("Authorization", "Basic YWxpY2U6Z3Vlc3M=");
const GZIP: (&str, &str) = ("Accept-Encoding", "gzip");

const CASES: &[Case] = &[
    case(SITE, "GET /", &[], &[]),
    case(SITE, "HEAD /", &[], &[]),
    case(SITE, "GET /path/with?query=1&x=%20", &[("Cookie", "a=1; b=2")], &[]),
    case("other.example.net", "GET /", &[], &[]),
    case("EXAMPLE.org", "GET /", &[], &["`Host` as it came"]),
    case("www.example.org", "GET /shop?item=1", &[], &["the texts of errors"]),
    case("www.example.org", "POST /shop", &[("Content-Length", "0")], &["the texts of errors"]),
    case("api.example.org", "GET /v1/items", &[], &[]),
    case(SITE, "GET /api/v1/items?x=1", &[], &[]),
    case(SITE, "GET /large.json", &[GZIP], &[]),
    case(SITE, "GET /large.json", &[], &[]),
    case(SITE, "GET /small.json", &[GZIP], &[]),
    case(SITE, "GET /packed", &[GZIP], &[]),
    case(SITE, "GET /powered", &[], &[]),
    case(SITE, "GET /missing", &[], &[]),
    case(SITE, "DELETE /thing/7", &[], &[]),
    case(SITE, "POST /form", &[("Content-Length", "5"), ("Content-Type", "text/plain")], &[]),
    case(SITE, "POST /form", &[("Content-Length", "1048577")], &["the texts of errors"]),
    case(SITE, "GET /a/../b", &[], &["paths in their normal form"]),
    case(SITE, "GET /admin", &[], &["the texts of errors", "the charset of passwords"]),
    case(SITE, "GET /admin/users", &[MALLORY], &["the texts of errors", "the charset of passwords"]),
    case(SITE, "GET /admin/users", &[ALICE], &["the name of a user"]),
    case(SITE, "GET /internal", &[], &["the texts of errors"]),
    case(SITE, "GET /static/app.js", &[], &["`ETag`", "`Expires`", "JavaScript"]),
    case(SITE, "HEAD /static/app.js", &[], &["`ETag`", "`Expires`", "JavaScript"]),
    case(SITE, "GET /static/app.js", &[GZIP], &["`ETag`", "`Expires`", "JavaScript"]),
    case(
        SITE,
        "GET /static/app.js",
        &[("Range", "bytes=0-9")],
        &["`ETag`", "`Expires`", "JavaScript", "what is said of a part"],
    ),
    case(
        SITE,
        "GET /static/app.js",
        &[("Range", "bytes=999999-")],
        &["`ETag`", "`Expires`", "the texts of errors", "what is said of a part"],
    ),
    case(SITE, "GET /static/logo.svg", &[], &["`ETag`", "`Expires`"]),
    case(SITE, "GET /static/missing.css", &[], &["the texts of errors"]),
    case(SITE, "GET /static/../nginx.conf", &[], &["paths in their normal form"]),
    case(SITE, "GET /static/%2e%2e/nginx.conf", &[], &["paths in their normal form"]),
    case(SITE, "POST /static/app.js", &[("Content-Length", "0")], &["the texts of errors"]),
    case(SITE, "GET /old/page", &[], &["502 and 503", "`ETag`", "the charset of a page"]),
];

/// An application that says what it got, and answers in different ways by the path.
fn application() -> Backend {
    Backend::start(|request, stream| {
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        let (status, fields, body) = match path {
            "/large.json" => {
                ("200 OK", "Content-Type: application/json\r\n", format!("[{}1]", "1, ".repeat(1000)))
            }
            "/small.json" => ("200 OK", "Content-Type: application/json\r\n", "[1]".to_owned()),
            "/packed" => ("200 OK", "Content-Type: text/html\r\nContent-Encoding: br\r\n", "x".repeat(2000)),
            "/powered" => {
                ("200 OK", "Content-Type: text/plain\r\nX-Powered-By: PHP/5\r\n", "powered".to_owned())
            }
            "/missing" => ("404 Not Found", "Content-Type: text/plain\r\n", "not here".to_owned()),
            _ => ("200 OK", "Content-Type: text/plain\r\nSet-Cookie: seen=1\r\n", told(request)),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n");
        let body = if request.line.starts_with("HEAD ") { "" } else { &body };
        stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
    })
}

/// What an application looks at in a request.
fn told(request: &Received) -> String {
    let names = [
        "host",
        "x-real-ip",
        "x-forwarded-for",
        "x-forwarded-proto",
        "cookie",
        "content-type",
        "authorization",
    ];
    let fields = names.map(|name| format!("{name}: {}\n", request.header(name).join(", ")));
    format!("{}\n{}{} bytes\n", request.line, fields.concat(), request.body.len())
}

fn ask(address: SocketAddr, tls: &Client, case: &Case) -> Answer {
    let fields: String = case.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let Case { host, request, .. } = case;
    // No more than would be read of a body that is too large.
    let body = "x".repeat(if case.fields.contains(&("Content-Length", "5")) { 5 } else { 0 });
    let text = format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n{body}");
    let mut stream = tls.connect(address, SITE).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // That it ends with a farewell is another test's affair.
    let _ = stream.read_to_end(&mut answer);
    let text: String = answer.iter().map(|byte| char::from(*byte)).collect();
    parse(&text).unwrap_or_else(|| panic!("{host} {request}: {text}"))
}

/// How two answers differ, in the words of the document where it has some.
fn differences(case: &Case, nginx: &Answer, ours: &Answer) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_error = nginx.status >= 300 && ours.status >= 300;
    if nginx.status != ours.status {
        let is_unreachable = [nginx.status, ours.status] == [502, 503];
        found.insert(if is_unreachable {
            "502 and 503".to_owned()
        } else {
            format!("{} and {}", nginx.status, ours.status)
        });
    }
    let is_page = ours.body == ERROR_PAGE;
    for name in COMPARED {
        let values = |answer: &Answer| {
            let all = answer.headers.iter().filter(|(key, _)| key == name);
            let mut all: Vec<String> =
                all.flat_map(|(_, value)| value.split(", ").map(str::to_lowercase)).collect();
            all.sort();
            // nginx says what it adds to a 416 twice.
            all.dedup();
            all.join(", ")
        };
        let [theirs, own] = [values(nginx), values(ours)];
        if theirs == own {
            continue;
        }
        found.insert(match name {
            "expires" => "`Expires`".to_owned(),
            "content-type" if is_error && !is_page => "the texts of errors".to_owned(),
            "content-type" if theirs == "application/javascript" && own == "text/javascript" => {
                "JavaScript".to_owned()
            }
            "content-type" if is_page && own == format!("{theirs}; charset=utf-8") => {
                "the charset of a page".to_owned()
            }
            "allow" if nginx.status == 405 => "the texts of errors".to_owned(),
            "www-authenticate" if own == format!("{theirs}, charset=\"utf-8\"") => {
                "the charset of passwords".to_owned()
            }
            "cache-control" if nginx.status == 416 => "what is said of a part".to_owned(),
            "accept-ranges" | "vary" if matches!(nginx.status, 206 | 416) => {
                "what is said of a part".to_owned()
            }
            name => format!("{name}: {theirs:?} and {own:?}"),
        });
    }
    if nginx.header("etag") != ours.header("etag") {
        found.insert("`ETag`".to_owned());
    }
    let is_packed = nginx.header("content-encoding") == Some("gzip");
    if nginx.body != ours.body && !is_packed {
        let lower = |answer: &Answer| answer.body.replace("EXAMPLE.org", "example.org");
        found.insert(if is_error && !is_page {
            "the texts of errors".to_owned()
        } else if case.host == "EXAMPLE.org" && lower(nginx) == lower(ours) {
            "`Host` as it came".to_owned()
        } else if ["/../", "%2e%2e"].iter().any(|it| case.request.contains(it)) {
            "paths in their normal form".to_owned()
        } else {
            format!("body: {:?} and {:?}", nginx.body, ours.body)
        });
    }
    found
}

#[test]
fn clients_of_an_ordinary_nginx_see_the_same_here() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue_for(&[SITE, "www.example.org", "api.example.org"]).put(folder.path(), SITE);
    for name in ["static", "errors"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("errors/50x.html"), ERROR_PAGE).unwrap();
    fs::write(folder.path().join("static/app.js"), "console.log(\"hello\");\n".repeat(100)).unwrap();
    fs::write(folder.path().join("static/logo.svg"), "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
    fs::write(folder.path().join("htpasswd"), PASSWORDS).unwrap();
    let applications: Vec<Backend> = (0..4).map(|_| application()).collect();
    let file = NginxFile { text: NGINX, folder: folder.path(), applications: &applications };
    let Some(nginx) = Nginx::start(&file) else { return };
    let balancer = Rig::new()
        .config(
            &file.moved(OURS).replace("0.0.0.0:80\"", "127.0.0.1:0\"").replace("0.0.0.0:443", "127.0.0.1:0"),
        )
        .up();
    let [plain, secure] = [(); 2].map(|()| balancer.next_listener());
    let tls = authority.client(None);
    eventually("nginx answers", || {
        tls.connect(nginx.secure, SITE).is_ok_and(|mut it| it.write_all(b"x").is_ok())
    });

    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for case in CASES {
        let [theirs, own] = [ask(nginx.secure, &tls, case), ask(secure, &tls, case)];
        let found = differences(case, &theirs, &own);
        let allowed: BTreeSet<String> = case.differs.iter().map(|it| (*it).to_owned()).collect();
        let others: Vec<&String> = found.difference(&allowed).collect();
        if !others.is_empty() {
            wrong.push(format!("{} {} {:?}: {others:#?}", case.host, case.request, case.fields));
        }
        seen.extend(found);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for difference in seen {
        assert!(DIFFERENCES.contains(&difference.as_str()) && DOCUMENT.contains(&difference), "{difference}");
    }
    for address in [nginx.secure, secure] {
        let login = || ask(address, &tls, &case(SITE, "GET /login", &[], &[])).status;
        let statuses: Vec<u16> = (0..30).map(|_| login()).collect();
        assert_eq!(statuses[..6], [200; 6], "{statuses:?}");
        assert!(statuses.contains(&429) && statuses.iter().all(|it| [200, 429].contains(it)), "{statuses:?}");
    }
    for path in ["/", "/shop?item=1", "/a%20b"] {
        let sent = [nginx.plain, plain].map(|address| {
            let text = format!("GET {path} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
            let answer = raw(address, text.as_bytes()).unwrap();
            (answer.status, answer.header("location").map(str::to_owned))
        });
        assert_eq!(sent[0], sent[1], "{path}");
        assert_eq!(sent[1].1.as_deref(), Some(&*format!("https://example.org{path}")));
    }
}

/// By the first word of each of its lines.
#[test]
fn every_line_of_the_examples_has_its_counterpart_in_the_documents() {
    let directives = NGINX.lines().map(|line| line.trim().trim_end_matches(';')).filter_map(|line| {
        let name = line.split_whitespace().next()?;
        // What only holds others together, and what a map has within.
        let is_none =
            name.starts_with(['#', '}']) || ["events", "http", "server", "default", "''"].contains(&name);
        (!is_none).then_some(name)
    });
    for directive in directives.collect::<BTreeSet<_>>() {
        assert!(DOCUMENT.contains(&format!("`{directive}")) || DOCUMENT.contains(directive), "{directive}");
    }
    let labels =
        COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("- traefik.http.")?.split_once('='));
    for (label, _) in labels {
        let parts: Vec<&str> = label.split('.').collect();
        // The third is a name of the operator's choice.
        let rest = parts[2..].join(".");
        let is_known = TRAEFIK_DOCUMENT.contains(&rest) || TRAEFIK_DOCUMENT.contains(parts[2]);
        assert!(is_known || ["tls", "middlewares"].contains(&parts[2]), "{label}");
    }
}

#[test]
fn what_stands_beside_a_compose_file_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["certificates", "secrets"] {
        fs::create_dir(path(name)).unwrap();
    }
    let authority = Authority::new();
    for name in [SITE, "staff.example.org"] {
        authority.issue(name).put(&path("certificates"), name);
    }
    fs::write(path("secrets/database"), "secret").unwrap();
    fs::write(path("htpasswd"), PASSWORDS).unwrap();
    fs::write(path("evenkeel.toml"), BESIDE_COMPOSE).unwrap();
    let output =
        Command::new(rig::PROGRAM).arg("validate").arg("--config").arg(path("evenkeel.toml")).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
}
