//! Strangers at the admin API and at the contract's endpoints: pages in a browser, other accounts of the
//! host, replicas and other machines. Each attack is played against the real program, on loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use rig::client::{self, Answer};
use rig::{Balancer, PROGRAM, Rig, eventually};

/// An account that is not ours.
const NOBODY: u32 = 65534;

/// A request with these fields, as they are.
fn ask(address: SocketAddr, line: &str, fields: &[&str], body: &str) -> Answer {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!("{line} HTTP/1.1\r\n{fields}{length}Connection: close\r\n\r\n{body}");
    client::raw(address, request.as_bytes()).unwrap_or_else(|error| panic!("{line} {fields}: {error}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Whether nothing has been done with the fleet that begins with three replicas.
fn is_as_it_was(balancer: &Balancer) -> bool {
    let service = balancer.service();
    service["desired"] == 3 && service["paused_until"].is_null() && service["rollout"].is_null()
}

#[test]
fn a_page_in_a_browser_changes_nothing_and_reads_nothing() {
    let balancer = Rig::new().up();
    let admin = balancer.admin.address;
    let port = admin.port();
    let host = format!("Host: 127.0.0.1:{port}");
    let rebound = format!("Host: evil.example:{port}");
    let own_origin = format!("Origin: http://evil.example:{port}");
    let token = format!("Authorization: Bearer {}", balancer.admin.token);
    let pages: [&[&str]; 6] = [
        // A form, or a fetch without leave, of another site.
        &[&host, "Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "Content-Type: text/plain"],
        // An old browser, and one that hides where the page is from.
        &[&host, "Origin: http://evil.example", "Content-Type: text/plain"],
        &[&host, "Origin: null", "Content-Type: application/x-www-form-urlencoded"],
        // A page that something else serves on this host.
        &[&host, "Origin: http://127.0.0.1:1", "Sec-Fetch-Site: same-site", "Content-Type: application/json"],
        // A name that leads to us since a moment ago: for the browser, the page and we are of one origin.
        &[&rebound, &own_origin, "Content-Type: application/json"],
        &[&rebound, "Sec-Fetch-Site: same-origin", "Content-Type: application/json"],
    ];
    let changes = [
        ("POST /v1/services/web/pause", r#"{"for":"10m"}"#),
        ("POST /v1/services/web/resume", ""),
        ("POST /v1/services/web/deploy", r#"{"force":true}"#),
        ("PUT /v1/services/web/scale", r#"{"replicas":0}"#),
        ("POST /v1/services/web/replicas", r#"{"count":50}"#),
        ("DELETE /v1/services/web/replicas", r#"{"count":3}"#),
    ];
    let reads = ["/v1/services", "/v1/events", "/metrics", "/livez", "/readyz"];
    for fields in pages {
        // Even if the page had got hold of the token.
        for fields in [fields.to_vec(), [fields, &[&token]].concat()] {
            for (line, body) in changes {
                let answer = ask(admin, line, &fields, body);
                assert!(matches!(answer.status, 403 | 421), "{line} {fields:?}: {answer:?}");
            }
            for path in reads {
                let answer = ask(admin, &format!("GET {path}"), &fields, "");
                assert!(matches!(answer.status, 403 | 421), "{path} {fields:?}: {answer:?}");
            }
            let preflight = ask(admin, "OPTIONS /v1/services/web/pause", &fields, "");
            assert!(preflight.status >= 400, "{preflight:?}");
            assert_eq!(preflight.header("access-control-allow-origin"), None);
        }
    }
    // What no page can say it is, is not believed to be from a program without a word of it either.
    for kind in
        [None, Some("Content-Type: text/plain"), Some("Content-Type: multipart/form-data; boundary=a")]
    {
        for (line, body) in changes {
            let fields: Vec<&str> = [host.as_str(), &token].into_iter().chain(kind).collect();
            assert_eq!(ask(admin, line, &fields, body).status, 415, "{line} {kind:?}");
        }
    }
    let in_target = ask(admin, "GET http://evil.example/v1/services", &[&host, &token], "");
    assert_eq!(in_target.status, 421, "{in_target:?}");
    for hosts in [&[token.as_str()][..], &[&host, &rebound, &token]] {
        assert_eq!(ask(admin, "GET /v1/services", hosts, "").status, 400, "{hosts:?}");
    }
    assert!(is_as_it_was(&balancer), "{}", balancer.service());
}

#[test]
fn on_tcp_only_who_has_the_token_is_answered() {
    let balancer = Rig::new().up();
    let admin = balancer.admin.address;
    let host = format!("Host: {admin}");
    let json = "Content-Type: application/json";
    let wrong = format!("Authorization: Bearer {}", "0".repeat(64));
    for fields in
        [&[host.as_str(), json][..], &[&host, json, &wrong], &[&host, json, "Authorization: Bearer "]]
    {
        for line in ["GET /v1/services", "GET /v1/events", "GET /metrics", "GET /nowhere", "PATCH /metrics"] {
            let answer = ask(admin, line, fields, "");
            assert_eq!(answer.status, 401, "{line} {fields:?}: {answer:?}");
            assert!(answer.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")));
        }
        let answer = ask(admin, "PUT /v1/services/web/scale", fields, r#"{"replicas":0}"#);
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    // Whoever only watches the process needs none.
    for path in ["/livez", "/readyz"] {
        assert_eq!(ask(admin, &format!("GET {path}"), &[&host], "").status, 200);
    }
    assert!(is_as_it_was(&balancer));
    let mode = std::fs::metadata(balancer.token_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Names of ours, and methods.
    let token = format!("Authorization: Bearer {}", balancer.admin.token);
    for name in [format!("Host: localhost:{}", admin.port()), "Host: [::1]".into()] {
        assert_eq!(ask(admin, "GET /v1/services", &[&name, &token], "").status, 200, "{name}");
    }
    let answer = ask(admin, "PATCH /v1/services/web/replicas", &[&host, &token, json], "{}");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST, DELETE")), "{answer:?}");
    assert_eq!(ask(admin, "HEAD /v1/services", &[&host, &token], "").status, 200);
}

#[test]
fn a_token_that_may_look_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let view = folder.path().join("view.token");
    let config = format!(
        "admin_hosts = [\"Admin.example\"]\nadmin_view_token = {view:?}\n[[service]]\nname = \"web\"\n"
    );
    let balancer = Rig::new().config(&config).up();
    let admin = balancer.admin.address;
    let token = format!("Authorization: Bearer {}", std::fs::read_to_string(&view).unwrap().trim());
    let fields = ["Host: admin.example", &token, "Content-Type: application/json"];
    for line in ["GET /metrics", "GET /v1/services", "POST /v1/services/web/explain"] {
        let body = if line.starts_with("POST") { "{}" } else { "" };
        assert_eq!(ask(admin, line, &fields, body).status, 200, "{line}");
    }
    for (line, body) in [
        ("PUT /v1/services/web/scale", r#"{"replicas":1}"#),
        ("POST /v1/services/web/pause", "{}"),
        ("POST /v1/services/web/deploy", r#"{"force":true}"#),
    ] {
        let answer = ask(admin, line, &fields, body);
        assert!(answer.status == 403 && answer.body.contains("role view"), "{line}: {answer:?}");
    }
    assert!(is_as_it_was(&balancer));
    std::fs::set_permissions(&view, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Rig::new().config(&config).try_up().err().unwrap();
    assert!(refused.contains("others may read") && refused.contains("chmod 600"), "{refused}");
}

#[test]
fn commands_find_the_token_of_their_account_and_keep_it_from_others() {
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let command = |uid: u32, arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        let state = home.path().join(uid.to_string());
        command
            .args(arguments)
            .uid(uid)
            .gid(uid)
            .env_remove("EVENKEEL_TOKEN_FILE")
            .env_remove("EVENKEEL_TOKEN");
        command.env("XDG_STATE_HOME", &state).env("XDG_RUNTIME_DIR", &state).current_dir("/");
        command
    };
    let own = std::fs::metadata(home.path()).unwrap().uid();
    if own != 0 {
        eprintln!("skipped: only root has accounts to play with");
        return;
    }
    for uid in [NOBODY, NOBODY - 1] {
        let state = home.path().join(uid.to_string());
        std::fs::create_dir(&state).unwrap();
        std::os::unix::fs::chown(&state, Some(uid), Some(uid)).unwrap();
    }
    let admin = format!("--admin={}", free_address());
    let mut balancer = command(NOBODY, &["up", "--listen=127.0.0.1:0", "--replicas=1", &admin]);
    let mut balancer = balancer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ps = |uid: u32| said(&command(uid, &["ps", &admin]).output().unwrap());
    eventually("the account's own commands work without a word", || ps(NOBODY).contains("server_1"));
    let other = ps(NOBODY - 1);
    assert!(other.contains("--token-file") && !other.contains("server_1"), "another account: {other}");
    let token = home.path().join(format!("{NOBODY}/evenkeel/admin.token"));
    let meta = std::fs::metadata(&token).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (NOBODY, 0o600));
    let text = std::fs::read_to_string(&token).unwrap();
    let given = command(NOBODY - 1, &["ps", &admin]).env("EVENKEEL_TOKEN", text.trim()).output().unwrap();
    assert!(said(&given).contains("server_1"), "{given:?}");
    balancer.kill().unwrap();
    balancer.wait().unwrap();

    // The balancer is away, and another account, here root's, has taken its port to hear what we bring.
    for (thief, victim, expected) in [(NOBODY - 1, NOBODY, false), (0, NOBODY, true)] {
        let brought = overheard(thief, &|address| command(victim, &["ps", &format!("--admin={address}")]));
        assert_eq!(brought.contains(text.trim()), expected, "uid {thief} hears: {brought}");
        assert!(brought.starts_with("GET /v1/services"), "{brought}");
    }
}

/// What a listener of this account hears of a command.
fn overheard(thief: u32, command: &dyn Fn(SocketAddr) -> Command) -> String {
    let script = "import os,socket,sys\nos.setuid(int(sys.argv[1]))\ns=socket.socket()\ns.bind(('127.0.0.1',0))\n\
                  s.listen()\nprint(s.getsockname()[1],flush=True)\nc,_=s.accept()\nsys.stdout.buffer.write(c.recv(65536))";
    let mut listener = Command::new("python3")
        .args(["-c", script, &thief.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = std::io::BufReader::new(listener.stdout.take().unwrap());
    let mut port = String::new();
    std::io::BufRead::read_line(&mut output, &mut port).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
    let _ = command(address).output().unwrap();
    let mut heard = String::new();
    output.read_to_string(&mut heard).unwrap();
    listener.wait().unwrap();
    heard
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_socket_answers_its_own_account_and_nobody_else_whatever_its_mode_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("admin.sock");
    let admin = format!("--admin=unix:{}", socket.display());
    let mut balancer = Command::new(PROGRAM)
        .args(["up", "--listen=127.0.0.1:0", "--replicas=1", &admin])
        .env("XDG_RUNTIME_DIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = || said(&Command::new(PROGRAM).args(["status", &admin]).output().unwrap());
    eventually("our own commands reach it", || status().contains("1/1"));
    if std::fs::metadata(&socket).unwrap().uid() == 0 {
        // As after a careless chmod.
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
        for arguments in [&["ps", &admin][..], &["scale", "0", &admin], &["pause", &admin]] {
            let output = Command::new(PROGRAM).args(arguments).uid(NOBODY).gid(NOBODY).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(said(&output).contains("own account"), "{output:?}");
        }
        assert!(status().contains("1/1"));
    }
    balancer.kill().unwrap();
    balancer.wait().unwrap();
}

#[test]
fn many_connections_keep_nobody_out_of_the_admin_api() {
    let balancer = Rig::new().up();
    let admin = balancer.admin.address;
    let before = balancer.open_descriptors();
    let _held: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = TcpStream::connect(admin).unwrap();
            // Some say nothing, some begin a head, most ask without a token and stay, for a minute without a limit.
            let begun = match number % 8 {
                0 => String::new(),
                1 => "GET /v1/services HTTP/1.1\r\nHost: ".into(),
                _ => format!("GET /v1/services HTTP/1.1\r\nHost: {admin}\r\n\r\n"),
            };
            let _ = stream.write_all(begun.as_bytes());
            stream
        })
        .collect();
    assert!(said(&balancer.command(&["status"])).contains("3/3"));
    // Those that came first have made room: of the strangers' connections, no more than 64 are left.
    let is_bounded = || balancer.open_descriptors() <= before + 64 + 8;
    eventually("those that were idle longest are closed", is_bounded);
    assert!(said(&balancer.command(&["ps"])).contains("server_1"));
}

#[test]
fn the_contract_is_not_for_pages_of_others_and_goes_on_for_programs() {
    let balancer = Rig::new().up();
    let port = balancer.address.port();
    let host = format!("Host: 127.0.0.1:{port}");
    let rebound = format!("Host: evil.example:{port}");
    let own_origin = format!("Origin: http://evil.example:{port}");
    for fields in [
        &[host.as_str(), "Origin: http://evil.example", "Content-Type: text/plain"][..],
        &[&host, "Sec-Fetch-Site: cross-site", "Content-Type: text/plain"],
        &[&host, "Sec-Fetch-Site: same-site"],
        &[&host, "Origin: null"],
        &[&rebound, &own_origin],
    ] {
        for (line, body) in
            [("POST /add", r#"{"n":1}"#), ("DELETE /rm", r#"{"n":1}"#), ("POST /add", "server_id=S9")]
        {
            let answer = ask(balancer.address, line, fields, body);
            assert_eq!(answer.status, 403, "{line} {fields:?}: {answer:?}");
            assert!(
                answer.body.starts_with("{\"message\":\"<Error> ") && answer.body.contains("\"failure\"")
            );
        }
    }
    assert_eq!(balancer.names(), ["server_1", "server_2", "server_3"]);
    // Programs: any host, any kind of body; and a page that the balancer's own replicas serve.
    let own = format!("Origin: http://127.0.0.1:{port}");
    for fields in [&["Host: lb"][..], &[&rebound], &[&host, "Content-Type: text/plain"], &[&host, &own]] {
        assert_eq!(ask(balancer.address, "POST /add", fields, r#"{"n":1}"#).status, 200, "{fields:?}");
        assert_eq!(ask(balancer.address, "DELETE /rm", fields, r#"{"n":1}"#).status, 200, "{fields:?}");
    }
}

#[test]
fn the_contract_is_for_those_whom_contract_from_names_and_no_word_of_a_proxy_opens_it() {
    let service = "contract = true\n[[service]]\nname = \"web\"\n";
    let outside = Rig::new().config(&format!("contract_from = [\"192.0.2.0/24\"]\n{service}")).up();
    let requests =
        [("POST /add", r#"{"n":1}"#), ("DELETE /rm", r#"{"n":1}"#), ("GET /rep", ""), ("GET /get", "")];
    for said in [
        None,
        Some("X-Forwarded-For: 192.0.2.1"),
        Some("Forwarded: for=192.0.2.1"),
        Some("X-Real-IP: 192.0.2.1"),
    ] {
        for (line, body) in requests {
            let fields: Vec<&str> = ["Host: lb"].into_iter().chain(said).collect();
            let answer = ask(outside.address, line, &fields, body);
            assert!(
                answer.status == 403 && answer.body.contains("contract_from"),
                "{line} {said:?}: {answer:?}"
            );
        }
    }
    assert_eq!(outside.get("/home").status, 200, "the rest is served");
    assert!(is_as_it_was(&outside));
    // Without the key it is this machine; whoever a proxy on it forwards for is not.
    let inside = Rig::new().config(service).up();
    for said in ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 127.0.0.1, 192.0.2.1", "Via: 1.1 nginx"] {
        for (line, body) in requests {
            assert_eq!(ask(inside.address, line, &["Host: lb", said], body).status, 403, "{line} {said}");
        }
    }
    assert!(is_as_it_was(&inside));
    assert_eq!(inside.names().len(), 3);
}

#[test]
fn what_is_open_to_others_is_told_at_the_start_and_by_validate() {
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (folder.path().join("evenkeel.toml"), folder.path().join("state"));
    std::fs::create_dir(&state).unwrap();
    let issued = rig::tls::Authority::new().issue("localhost");
    std::fs::write(folder.path().join("c.pem"), issued.certificate).unwrap();
    std::fs::write(folder.path().join("c.key"), issued.key).unwrap();
    let tls = "[listener.tls]\ncertificates = [{ certificate = \"c.pem\", key = \"c.key\" }]";
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"0.0.0.0:0\"\nstate_dir = {state:?}\ncontract = true\ncontract_from = [\"10.0.0.0/8\"]\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n{tls}\n[[service]]\nname = \"web\"\nreplicas = 1\nenv = {{ PASSWORD = \"hunter2\" }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let set = |mode: u32| {
        for entry in
            std::fs::read_dir(folder.path()).unwrap().flatten().filter(|entry| entry.path().is_file())
        {
            std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    let validated =
        || said(&Command::new(PROGRAM).args(["validate", "--config"]).arg(&config).output().unwrap());
    set(0o644);
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o777)).unwrap();
    let told = validated();
    let expected = [
        "plain HTTP",
        "contract_from lets in more",
        "the private key",
        "the configuration has an env",
        "the state directory",
    ];
    for part in expected {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
    set(0o600);
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    let told = validated();
    for part in &expected[2..] {
        assert!(!told.contains(part), "{part}: {told}");
    }
    let mut up = Command::new(PROGRAM)
        .args(["up", "--config"])
        .arg(&config)
        .env("EVENKEEL_TOKEN_FILE", folder.path().join("token"))
        .env("XDG_RUNTIME_DIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = std::io::BufReader::new(up.stderr.take().unwrap());
    let mut first = String::new();
    for _ in 0..2 {
        std::io::BufRead::read_line(&mut log, &mut first).unwrap();
    }
    up.kill().unwrap();
    up.wait().unwrap();
    assert!(first.contains("plain HTTP") && first.contains("contract_from lets in more"), "{first}");
}
