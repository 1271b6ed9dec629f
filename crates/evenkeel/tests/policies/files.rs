//! Services that answer with files: which file, what is said of it, which part of it; and that nothing else ever
//! leaves the folder.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::rig::client::{self, Answer, Talk, raw};
use crate::rig::{Balancer, PATIENCE, Rig, eventually};
use crate::{both, speak, values};

const PAGE: &str = "<h1>home</h1>\n";

/// A folder with a page, and a balancer that serves it.
struct Site {
    folder: tempfile::TempDir,
    balancer: Balancer,
}

impl Site {
    fn with(lines: &str) -> Self {
        Self::of(lines, |_| {})
    }

    /// With what is put into the folder beside.
    fn of(lines: &str, put: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("www");
        fs::create_dir(&root).unwrap();
        write(&root, "index.html", PAGE.as_bytes());
        put(&root);
        let (keys, tables) = lines.split_once('[').map_or((lines, String::new()), |(keys, tables)| {
            // Tables come last, and an array of strings is none.
            if keys.is_empty() || keys.ends_with('\n') {
                (keys, format!("[{tables}"))
            } else {
                (lines, String::new())
            }
        });
        let root = root.display();
        let text =
            format!("[[service]]\nname = \"site\"\ndriver = \"files\"\nroot = \"{root}\"\n{keys}\n{tables}");
        Self { balancer: Rig::new().config(&text).up(), folder }
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("www")
    }

    /// The same answer over both versions.
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let [(_, first), (_, second)] = both(self.balancer.address, path, headers);
        assert_eq!(told(&first), told(&second), "{path} {headers:?}");
        first
    }

    fn raw(&self, head: &str) -> Answer {
        raw(self.balancer.address, head.as_bytes()).unwrap()
    }
}

/// What must not depend on the version.
fn told(answer: &Answer) -> (u16, Vec<String>, usize) {
    let differs = ["date", "x-request-id", "connection", "transfer-encoding", "content-length"];
    let headers = answer.headers.iter().filter(|(name, _)| !differs.contains(&name.as_str()));
    let mut headers: Vec<String> = headers
        .map(|(name, value)| {
            let value = value.split_once("boundary=").map_or(value.as_str(), |(before, _)| before);
            // A tag becomes strong when the last change is a while ago, perhaps between two requests.
            format!("{name}: {}", value.strip_prefix("W/").unwrap_or(value))
        })
        .collect();
    headers.sort();
    let length = answer.header("content-encoding").map_or(answer.body.len(), |_| 0);
    (answer.status, headers, length)
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn date(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// A large file of which no two parts are alike.
fn large() -> Vec<u8> {
    (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_path_gets_its_file_with_what_is_to_be_known_of_it() {
    let site = Site::of(
        "cache_control = \"no-cache\"\ncache_control_of = { \"/assets\" = \"max-age=60\" }\nsuffixes = [\".html\"]\n",
        |root| {
            write(root, "docs/index.html", b"docs");
            write(root, "assets/app.js", b"1");
            write(root, "about.html", b"about");
            write(root, "a b/\u{e9}.bin", b"\x00\x01");
        },
    );
    for (path, status, body, media_type, kept) in [
        ("/", 200, PAGE, "text/html; charset=utf-8", "no-cache"),
        ("/index.html?x=1", 200, PAGE, "text/html; charset=utf-8", "no-cache"),
        ("/docs/", 200, "docs", "text/html; charset=utf-8", "no-cache"),
        ("/assets/app.js", 200, "1", "text/javascript; charset=utf-8", "max-age=60"),
        ("/about", 200, "about", "text/html; charset=utf-8", "no-cache"),
        ("/a%20b/%C3%A9.bin", 200, "\u{0}\u{1}", "application/octet-stream", "no-cache"),
    ] {
        let answer = site.get(path, &[]);
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}");
        assert_eq!(answer.header("content-type"), Some(media_type), "{path}");
        assert_eq!(answer.header("cache-control"), Some(kept), "{path}");
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert!(answer.header("last-modified").is_some() && answer.header("etag").is_some());
    }
    for path in ["/none", "/assets/", "/assets", "/docs/none/", "/index.html/"] {
        let answer = site.get(path, &[]);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let answer = site.get("/docs?a=b", &[]);
    assert_eq!((answer.status, answer.header("location")), (301, Some("/docs/?a=b")));
    let head = site.raw("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (200, Some("14"), ""));
    let post = site.raw("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn nothing_leaves_the_folder_and_nothing_hidden_is_shown() {
    let site = Site::of("path_form = \"as-sent\"\nfallback = \"/index.html\"\n", |root| {
        write(root.parent().unwrap(), "secret", b"secret");
        write(root, ".git/config", b"secret");
        write(root, ".env", b"secret");
        write(root, "a/.htpasswd", b"secret");
        write(root, ".well-known/security.txt", b"Contact: x");
        symlink("../secret", root.join("out")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("/etc", root.join("etc")).unwrap();
        let status = std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
        assert!(status.success());
    });
    for path in [
        "/../secret",
        "/a/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/a/..%2f..%2fsecret",
        "/..%5csecret",
        "/out",
        "/up/secret",
        "/up/www/index.html",
        "/etc/passwd",
        "/.git/config",
        "/%2egit/config",
        "/.env",
        "/a/.htpasswd",
        "/x/..;/secret",
        "//secret",
        "/\u{1}secret",
        "/secret%00.html",
        "/pipe",
    ] {
        let text = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let answer = site.raw(&text);
        let is_harmless = matches!(answer.status, 400 | 404) || answer.body == PAGE;
        assert!(is_harmless, "{path}: {answer:?}");
        let location = answer.header("location");
        assert_eq!(location, None, "{path}");
    }
    assert_eq!(site.get("/.well-known/security.txt", &[]).body, "Contact: x");
    assert_eq!(site.get("/an/unknown/route", &[]).body, PAGE);
}

#[test]
fn a_client_that_has_the_file_is_told_so() {
    let site = Site::with("");
    let old = SystemTime::now() - Duration::from_secs(3600);
    date(&site.root().join("index.html"), old);
    // The tag is strong as soon as the last change is a while ago.
    let mut tag = String::new();
    eventually("the tag is strong", || {
        tag = site.get("/", &[]).header("etag").unwrap().to_owned();
        tag.starts_with('"')
    });
    let dated = site.get("/", &[]).header("last-modified").unwrap().to_owned();
    let earlier = "Sun, 06 Nov 1994 08:49:37 GMT";
    let weak = format!("W/{tag}");
    for (headers, status) in [
        (&[("if-none-match", tag.as_str())][..], 304),
        (&[("if-none-match", weak.as_str())], 304),
        (&[("if-none-match", "\"x\""), ("if-modified-since", &dated)], 200),
        (&[("if-modified-since", &dated)], 304),
        (&[("if-modified-since", earlier)], 200),
        (&[("if-match", &tag)], 200),
        (&[("if-match", "\"x\"")], 412),
        (&[("if-unmodified-since", earlier)], 412),
        (&[("range", "bytes=1-2"), ("if-range", &tag)], 206),
        (&[("range", "bytes=1-2"), ("if-range", "\"x\"")], 200),
        (&[("range", "bytes=1-2"), ("if-range", &dated)], 206),
    ] {
        let answer = site.get("/", headers);
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 304 {
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert_eq!(answer.body, "");
        }
    }
    // Another file of the same length and date, as builds make them.
    write(&site.root(), "index.html", PAGE.replace("home", "HOME").as_bytes());
    date(&site.root().join("index.html"), old);
    let answer = site.get("/", &[("if-none-match", &tag)]);
    assert_eq!((answer.status, answer.header("last-modified")), (200, Some(dated.as_str())));
}

#[test]
fn parts_of_a_file_are_sent_as_they_are_asked_for() {
    let site = Site::of("", |root| write(root, "x.txt", b"0123456789"));
    for (range, status, body, place) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-1", 206, "9", "bytes 9-9/10"),
        ("bytes=0-99", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
    ] {
        let answer = site.get("/x.txt", &[("range", range)]);
        assert_eq!((answer.status, answer.header("content-range")), (status, Some(place)), "{range}");
        assert!(status == 416 || answer.body == body, "{range}: {answer:?}");
    }
    for range in ["bytes=4-2", "lines=1-2", "bytes=0-8,1-9"] {
        let answer = site.get("/x.txt", &[("range", range)]);
        assert_eq!((answer.status, answer.body.as_str()), (200, "0123456789"), "{range}");
    }
    let answer = site.get("/x.txt", &[("range", "bytes=0-0, 5-6,-1")]);
    let kind = answer.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |place: &str, text: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {place}/10\r\n\r\n{text}"
        )
    };
    let expected =
        part("0-0", "0") + &part("5-6", "56") + &part("9-9", "9") + &format!("\r\n--{boundary}--\r\n");
    assert_eq!((answer.status, answer.body), (206, expected));
    // To who asks for the head alone, a part means nothing.
    let head = site.raw("HEAD /x.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
}

#[test]
fn a_compressed_file_beside_another_is_sent_to_who_reads_it() {
    let lines = "precompressed = [\"br\", \"gzip\"]\n[service.compression]\nalgorithms = [\"gzip\"]\nmin_size = \"1B\"\n";
    let site = Site::of(lines, |root| {
        write(root, "app.js", b"console.log(1)");
        write(root, "app.js.br", b"(br)");
        write(root, "stale.js", b"console.log(2)");
        write(root, "stale.js.br", b"(old)");
        let now = SystemTime::now();
        date(&root.join("app.js.br"), now);
        date(&root.join("app.js"), now);
        date(&root.join("stale.js.br"), now - Duration::from_secs(60));
    });
    let plain = site.get("/app.js", &[]);
    assert_eq!((plain.body.as_str(), plain.header("vary")), ("console.log(1)", Some("accept-encoding")));
    let small = site.get("/app.js", &[("accept-encoding", "gzip, br")]);
    assert_eq!((small.body.as_str(), small.header("content-encoding")), ("(br)", Some("br")));
    assert_eq!(small.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(values(&small, "vary"), ["accept-encoding"]);
    assert_ne!(small.header("etag"), plain.header("etag"));
    let part = site.get("/app.js", &[("accept-encoding", "br"), ("range", "bytes=1-2")]);
    assert_eq!((part.status, part.body.as_str(), part.header("content-encoding")), (206, "br", Some("br")));
    // What is made on the way has no strong tag.
    for path in ["/stale.js", "/"] {
        let made = site.get(path, &[("accept-encoding", "gzip, br;q=0.5")]);
        assert_eq!(made.header("content-encoding"), Some("gzip"), "{path}");
        assert!(made.header("etag").unwrap().starts_with("W/"), "{made:?}");
    }
}

#[test]
fn whoever_may_not_have_a_file_by_its_own_path_gets_it_by_no_other() {
    let shut = |path: &str| format!("[[service.location]]\npath = {path:?}\ndeny = [\"127.0.0.0/8\"]\n");
    let few = "[[service.location]]\npath = \"=/few/index.html\"\n[service.location.rate_limit]\nrequests = 2\nper = \"day\"\n";
    let put = |root: &Path| {
        for path in ["sub/index.html", "open/index.html", "page.html", "few/index.html", "a%41/index.html"] {
            write(root, path, b"file");
        }
    };
    let paths = ["=/sub/index.html", "=/page.html", "=/index.html", "=/a%2541/index.html"];
    let locations = paths.map(shut).concat() + few;
    let keys = "path_form = \"as-sent\"\nsuffixes = [\".html\"]\nfallback = \"/index.html\"\n";
    let site = Site::of(&format!("{keys}{locations}"), put);
    for path in [
        "/sub/index.html",
        "/sub/",
        "/%73ub/",
        "/sub/?x=1",
        "/page.html",
        "/page",
        "/p%61ge",
        "/",
        "/none/at/all",
        "/a%2541/",
    ] {
        assert_eq!(site.get(path, &[]).status, 403, "{path}");
        let answer = site.get(path, &[("If-None-Match", "*"), ("Range", "bytes=99-")]);
        assert_eq!(answer.status, 403, "{path}: nothing is said of it");
    }
    assert_eq!(site.get("/sub", &[]).header("location"), Some("/sub/"));
    assert_eq!(site.get("/open/", &[]).body, "file");
    let statuses = ["/few/", "/few/index.html", "/few/"].map(|path| site.balancer.get(path).status);
    assert_eq!(statuses, [200, 200, 429], "each counts once");

    // The paths are those of clients, whatever the folder is.
    let keys = "path = \"/app\"\nstrip_prefix = \"/app\"\nfallback = \"/index.html\"\n";
    let site = Site::of(&format!("{keys}{}", shut("=/app/sub/index.html")), put);
    assert_eq!(site.get("/app/sub/", &[]).status, 403);
    assert_eq!((site.get("/app/open/", &[]).status, site.get("/app/none", &[]).status), (200, 200));
}

#[test]
fn a_file_asks_for_the_password_of_its_own_path() {
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("names");
    // The password is `secret`.
    fs::write(&names, "dave:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
    let auth = format!("basic_auth = {names:?}\n");
    let put = |root: &Path| write(root, "sub/index.html", b"sub");
    let dave = ("Authorization", "Basic ZGF2ZTpzZWNyZXQ=");
    let location = format!("[[service.location]]\npath = \"=/sub/index.html\"\n{auth}");
    let site = Site::of(&location, put);
    for path in ["/sub/", "/sub/index.html"] {
        let answer = site.get(path, &[]);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.header("www-authenticate").is_some() && answer.header("etag").is_none());
        assert_eq!(site.get(path, &[dave]).body, "sub", "{path}");
    }
    assert_eq!(site.get("/", &[]).body, PAGE);
    // What is public by one path and not by its own is not public.
    let location = |path: &str| format!("[[service.location]]\npath = {path:?}\npublic = true\n");
    let site = Site::of(&format!("{auth}{}", location("=/")), put);
    assert_eq!((site.get("/", &[]).status, site.get("/", &[dave]).body.as_str()), (401, PAGE));
    let site = Site::of(&format!("{auth}{}{}", location("=/"), location("=/index.html")), put);
    assert_eq!((site.get("/", &[]).body.as_str(), site.get("/sub/", &[]).status), (PAGE, 401));
}

#[test]
fn policies_of_a_service_are_about_files_too() {
    let lines = "path = \"/app\"\nstrip_prefix = \"/app\"\n[service.response_headers]\nset = { X-Frame-Options = \"DENY\" }\n\
                 [[service.location]]\npath = \"/app/private\"\ndeny = [\"127.0.0.0/8\"]\n[[service.location]]\npath = \"/app/few\"\n\
                 [service.location.rate_limit]\nrequests = 1\nper = \"day\"\n";
    let site = Site::of(lines, |root| {
        write(root, "docs/index.html", b"docs");
        write(root, "private/x", b"x");
        write(root, "few", b"few");
    });
    assert_eq!(site.get("/app/", &[]).body, PAGE);
    let answer = site.get("/app/docs/", &[]);
    assert_eq!((answer.body.as_str(), answer.header("x-frame-options")), ("docs", Some("DENY")));
    for (path, location) in [("/app", "/app/"), ("/app/docs", "/app/docs/")] {
        let answer = site.get(path, &[]);
        assert_eq!((answer.status, answer.header("location")), (301, Some(location)), "{path}");
    }
    assert_eq!(site.get("/app/private/x", &[]).status, 403);
    let balancer = &site.balancer;
    assert_eq!(balancer.get("/app/few").body, "few");
    assert_eq!(balancer.get("/app/few").status, 429);
    assert_eq!(balancer.get("/docs/").status, 404, "it is for another path");
}

#[test]
fn a_large_file_comes_whole_and_a_slow_reader_holds_up_nobody() {
    let all = large();
    let site = Site::of("", |root| write(root, "large", &all));
    let request = "GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let mut slow = TcpStream::connect(site.balancer.address).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(request.as_bytes()).unwrap();
    let mut got = vec![0; 1000];
    slow.read_exact(&mut got).unwrap();
    speak::run(async {
        let mut client = speak::Client::to(site.balancer.address).await;
        let answer = client.ask(http::Request::get("http://h/large").body(()).unwrap()).await.unwrap();
        assert!(answer.body == all, "{}", answer.body.len());
    });
    slow.read_to_end(&mut got).unwrap();
    let start = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(got[start..] == all, "{}", got.len());
}

#[test]
fn a_file_that_becomes_shorter_ends_its_connection_and_the_log_says_so() {
    let site = Site::of("", |root| {
        let file = fs::File::create(root.join("hollow")).unwrap();
        file.set_len(200 << 20).unwrap();
    });
    let mut talk = Talk::to(site.balancer.address);
    talk.say("GET /hollow HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut first = [0; 4096];
    talk.stream.read_exact(&mut first).unwrap();
    fs::File::options().write(true).open(site.root().join("hollow")).unwrap().set_len(1).unwrap();
    let mut rest = Vec::new();
    let _ = talk.stream.read_to_end(&mut rest);
    assert!(rest.len() < 200 << 20, "{}", rest.len());
    assert!(site.balancer.says(|line| line.contains("it has become shorter")).is_some());
    assert_eq!(site.get("/hollow", &[]).body.len(), 1);
}

#[test]
fn a_folder_can_be_turned_under_it_and_one_that_is_gone_is_no_missing_page() {
    let folder = tempfile::tempdir().unwrap();
    for release in ["one", "two"] {
        write(&folder.path().join(release), "index.html", release.as_bytes());
    }
    let link = folder.path().join("current");
    symlink("one", &link).unwrap();
    let root = link.display();
    let text = format!("[[service]]\nname = \"site\"\ndriver = \"files\"\nroot = \"{root}\"\n");
    let balancer = Rig::new().config(&text).up();
    assert_eq!(balancer.get("/").body, "one");
    let new = folder.path().join("new");
    symlink("two", &new).unwrap();
    fs::rename(&new, &link).unwrap();
    assert_eq!(balancer.get("/").body, "two");
    fs::remove_file(&link).unwrap();
    assert_eq!(balancer.get("/").status, 500);
    assert!(balancer.says(|line| line.contains("a file cannot be read")).is_some());
    assert_eq!(balancer.figure("evenkeel_unserved_total{service=\"site\"}"), 1);
}

#[test]
fn a_service_without_replicas_is_ready_and_told_as_what_it_is() {
    let site = Site::with("fallback = \"/index.html\"\n");
    let (balancer, root) = (&site.balancer, site.root().display().to_string());
    assert_eq!(client::send(balancer.admin, "GET", "/readyz", "").status, 200);
    assert_eq!(balancer.get("/").status, 200);
    let said = |arguments: &[&str]| {
        let output = balancer.command(arguments);
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), text.concat())
    };
    for (arguments, code, part) in [
        (&["status", "--wait"][..], 0, format!("files of {root}")),
        (&["ps"], 0, format!("site: files of {root}, no replicas")),
        (
            &["explain", "--path", "/x"],
            0,
            format!("answers with a file below {root}, or else with /index.html"),
        ),
        (&["scale", "2"], 1, "has no replicas".to_owned()),
        (&["deploy"], 1, "has no replicas".to_owned()),
        (&["pause"], 1, "has no replicas".to_owned()),
    ] {
        let (is, text) = said(arguments);
        assert_eq!(is, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(&part), "{arguments:?}: {text}");
    }
    assert_eq!(balancer.figure("evenkeel_responses_total{service=\"site\",class=\"2xx\"}"), 1);
    let missing = "[[service]]\nname = \"site\"\ndriver = \"files\"\nroot = \"/nowhere/at/all\"\n";
    let text = Rig::new().config(missing).try_up().err().expect("it does not come up");
    assert!(text.contains("service 'site': root /nowhere/at/all cannot be served"), "{text}");
}
