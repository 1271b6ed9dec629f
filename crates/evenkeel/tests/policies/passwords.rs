//! Names and passwords: who is let in by a file of `htpasswd`, what the others get, what replicas hear of it, and what
//! becomes of a file that changes. Right, wrong, and in a crowd.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::rig::{Balancer, Rig, eventually};
use crate::{both, named, service, speak, values};

/// `htpasswd -nbB -C 4`: the password is `secret`, and that of the other one `hunter2`.
const ALICE: &str = "alice:$2y$04$E4y4CUyDpH5zA7ONApTPfeTGEyWAd3vE4x.BHWzzO4Oii5YqcyWl.";
const BOB: &str = "bob:$2y$04$rcdtvUGNgKug8UbACcdVGub0iXJh0pPJeW0jmAAsP7pCDKCE4EMvS";
/// The password is `secret`.
const SLOW: &str = "alice:$2y$07$5tT4Ur4YlTStsye98c.T5.XPMpZrDMkKGzO1YdOCPfysB8zFQKEGG";
/// `argon2-cffi`; the password is `secret`, too.
const CAROL: &str =
    "carol:$argon2id$v=19$m=64,t=1,p=1$LMW7xZYP7kgXpDWhH+iTsA$jHiSTblQjkvCmW1vcrIDoyyQg5iuHFQEQqLYObppUUY";
/// `htpasswd -nbs`; the same.
const DAVE: &str = "dave:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Puts it in place as a whole.
    fn write(&self, name: &str, lines: &[&str]) -> PathBuf {
        let (path, draft) = (self.folder.path().join(name), self.folder.path().join("draft"));
        std::fs::write(&draft, lines.join("\n")).unwrap();
        std::fs::rename(&draft, &path).unwrap();
        path
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// The statuses over both versions of HTTP.
fn statuses(balancer: &Balancer, path: &str, authorization: &str) -> [u16; 2] {
    let headers = [("Authorization", authorization)];
    let headers = if authorization.is_empty() { &[][..] } else { &headers };
    both(balancer.address, path, headers).map(|(_, answer)| answer.status)
}

#[test]
fn who_has_a_name_and_its_password_is_let_in_and_nobody_else() {
    let files = Files::new();
    let file = files.write("staff", &["# staff", ALICE, BOB, CAROL, DAVE, ""]);
    let backend = named("web");
    let lines = format!("basic_auth = {file:?}\nbasic_auth_realm = \"The staff's\"\n");
    let balancer = Rig::new().config(&service("web", &lines, &backend)).up();
    for (authorization, status) in [
        (String::new(), 401),
        ("Basic".into(), 401),
        ("Basic !".into(), 401),
        ("Bearer YWxpY2U6c2VjcmV0".into(), 401),
        (basic("alice", "secret"), 200),
        (basic("alice", "secret").replace("Basic", "bAsIc"), 200),
        (basic("alice", "Secret"), 401),
        (basic("alice", ""), 401),
        (basic("alice", "hunter2"), 401),
        (basic("Alice", "secret"), 401),
        (basic("", "secret"), 401),
        (basic("mallory", "secret"), 401),
        (basic("bob", "hunter2"), 200),
        (basic("carol", "secret"), 200),
        (basic("carol", "secreT"), 401),
        (basic("dave", "secret"), 200),
        (basic("dave", "secre"), 401),
        (basic("# staff", ""), 401),
        (basic("alice", &"s".repeat(3000)), 401),
        (basic("alice", "secret\0"), 401),
    ] {
        assert_eq!(statuses(&balancer, "/", &authorization), [status; 2], "{authorization}");
        assert_eq!(statuses(&balancer, "/", &authorization), [status; 2], "{authorization}, once more");
    }
    for (version, answer) in both(balancer.address, "/", &[]) {
        let told = "Basic realm=\"The staff's\", charset=\"UTF-8\"";
        assert_eq!(values(&answer, "www-authenticate"), [told], "HTTP/{version}");
        assert!(answer.body.contains("asks for a name and a password"), "{answer:?}");
    }
    let twice = [("Authorization", &*basic("alice", "secret")), ("Authorization", &*basic("bob", "hunter2"))];
    assert!(both(balancer.address, "/", &twice).iter().all(|(_, answer)| answer.status == 401));
    let said = String::from_utf8_lossy(&balancer.command(&["explain"]).stdout).into_owned();
    assert!(
        said.contains("basic_auth: asks for a name and a password of ") && said.contains("The staff's"),
        "{said}"
    );
    let name = "evenkeel_policies_total{service=\"web\",policy=\"basic_auth\",outcome=\"refused\"}";
    assert!(balancer.figure(name) > 50);
}

#[test]
fn replicas_hear_who_it_is_and_strangers_cannot_say_it() {
    let files = Files::new();
    let file = files.write("staff", &[ALICE]);
    let log = files.folder.path().join("access.log");
    let backend = named("web");
    let lines = format!("basic_auth = {file:?}\n[[service.location]]\npath = \"/open\"\npublic = true\n");
    let service = service("web", &lines, &backend);
    let config = format!("trusted_proxies = [\"127.0.0.1\"]\n[access_log]\nto = {log:?}\n{service}");
    let balancer = Rig::new().config(&config).up();
    let authorization = basic("alice", "secret");
    let claims = [
        ("Authorization", &*authorization),
        ("X-Forwarded-User", "root"),
        ("X_Forwarded_User", "root"),
        ("x-forwarded-user", "alice, root"),
    ];
    for (version, answer) in both(balancer.address, "/a", &claims) {
        assert_eq!(answer.status, 200, "HTTP/{version}");
    }
    let received = backend.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(request.header("x-forwarded-user"), ["alice"]);
        assert!(request.header("x_forwarded_user").is_empty());
        assert_eq!(request.header("authorization"), [&*authorization], "it is passed on, as elsewhere");
    }
    assert_eq!(statuses(&balancer, "/open/b", ""), [200; 2]);
    assert_eq!(statuses(&balancer, "/a", &basic("alice", "wrong")), [401; 2]);
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("all is written", || lines().lines().count() == 6);
    // Each worker writes its lines together, so that they are not in the order of the requests.
    let known = lines().lines().filter(|line| line.contains("\"user\":\"alice\"")).count();
    let nobody = lines().lines().filter(|line| line.contains("\"user\":null")).count();
    assert_eq!((known, nobody), (2, 4), "a name without its password is nobody's: {}", lines());
    assert!(!lines().contains("secret") && lines().contains("\"policy\":\"basic_auth\""));
}

#[test]
fn some_paths_have_a_file_of_their_own_or_are_public() {
    let files = Files::new();
    let (staff, admins) = (files.write("staff", &[ALICE]), files.write("admins", &[BOB]));
    let backend = named("web");
    let lines = format!(
        "basic_auth = {staff:?}\n[[service.location]]\npath = \"/admin\"\nbasic_auth = {admins:?}\n\
         [[service.location]]\npath = \"/open\"\npublic = true\n[[service.location]]\npath = \"/up\"\nmax_body = \"1B\"\n"
    );
    let balancer = Rig::new().config(&service("web", &lines, &backend)).up();
    let (alice, bob) = (basic("alice", "secret"), basic("bob", "hunter2"));
    for (path, of_nobody, of_alice, of_bob) in [
        ("/", 401, 200, 401),
        ("/admin", 401, 401, 200),
        ("/admin/x", 401, 401, 200),
        ("//admin", 401, 401, 200),
        ("/%61dmin", 401, 401, 200),
        ("/open/../admin", 401, 401, 200),
        ("/open", 200, 200, 200),
        ("/open/x", 200, 200, 200),
        ("/openly", 401, 200, 401),
        ("/open/../x", 401, 200, 401),
        ("/open/%2e%2e/x", 401, 200, 401),
        ("/open/..%2fx", 400, 400, 400),
        ("/up", 401, 200, 401),
    ] {
        let got = ["", &alice, &bob].map(|authorization| statuses(&balancer, path, authorization));
        assert_eq!(got, [[of_nobody; 2], [of_alice; 2], [of_bob; 2]], "{path}");
    }
}

#[test]
fn a_file_that_changes_counts_from_then_on_and_a_bad_one_does_not() {
    let files = Files::new();
    let file = files.write("staff", &[ALICE]);
    let backend = named("web");
    let balancer = Rig::new().config(&service("web", &format!("basic_auth = {file:?}\n"), &backend)).up();
    let (alice, bob) = (basic("alice", "secret"), basic("bob", "hunter2"));
    assert_eq!([statuses(&balancer, "/", &alice), statuses(&balancer, "/", &bob)], [[200; 2], [401; 2]]);
    files.write("staff", &[ALICE, BOB]);
    eventually("the new one is let in", || statuses(&balancer, "/", &bob) == [200; 2]);
    files.write("staff", &[BOB, "alice:secret"]);
    let told = balancer.says(|line| line.contains("line 2"));
    assert!(
        told.is_some_and(|line| line.contains("the old ones are still in force") && !line.contains("secret"))
    );
    assert_eq!([statuses(&balancer, "/", &alice), statuses(&balancer, "/", &bob)], [[200; 2], [200; 2]]);
    files.write("staff", &[BOB]);
    eventually("who was taken out is out", || statuses(&balancer, "/", &alice) == [401; 2]);
    assert_eq!(statuses(&balancer, "/", &bob), [200; 2]);
}

#[test]
fn a_file_that_cannot_be_used_is_refused_before_anything_starts() {
    let files = Files::new();
    let backend = named("web");
    for (lines, part) in [
        (
            &["alice:$apr1$cYJFAHa1$doH27oSnocq7ChwR9lEI30"][..],
            "line 1: \"alice\" has a hash of the scheme apr1 (MD5)",
        ),
        (&[ALICE, "", "bob"], "line 3: it has no colon"),
        (&[ALICE, ALICE], "line 2: \"alice\" has a line already, line 1"),
    ] {
        let file = files.write("staff", lines);
        let config = service("web", &format!("basic_auth = {file:?}\n"), &backend);
        let said = Rig::new().config(&config).try_up().err().unwrap();
        assert!(said.contains(part) && !said.contains("doH27"), "{said}");
    }
    let config = service("web", "basic_auth = \"nowhere.htpasswd\"\n", &backend);
    let said = Rig::new().config(&config).try_up().err().unwrap();
    assert!(said.contains("nowhere.htpasswd") && said.contains("No such file"), "{said}");
}

/// Whoever guesses is told to come later, and stands in nobody's way who is known.
#[test]
fn a_crowd_of_guesses_is_bounded_and_who_is_known_does_not_wait_for_it() {
    let files = Files::new();
    let file = files.write("staff", &[SLOW]);
    let backend = named("web");
    let balancer = Rig::new().config(&service("web", &format!("basic_auth = {file:?}\n"), &backend)).up();
    let alice = basic("alice", "secret");
    assert_eq!(statuses(&balancer, "/", &alice), [200; 2]);
    let address = balancer.address;
    let guesses = std::thread::spawn(move || {
        speak::run(async move {
            let mut client = speak::Client::to(address).await;
            let mut answers = Vec::new();
            for number in 0..60 {
                let guess = basic("alice", &number.to_string());
                let request =
                    http::Request::get("http://h/").header("authorization", guess).body(()).unwrap();
                answers.push(client.begin(request, true).await.0);
            }
            let mut statuses = Vec::new();
            for answer in answers {
                statuses.push(answer.await.unwrap().status().as_u16());
            }
            statuses
        })
    });
    let mut known = 0;
    while !guesses.is_finished() {
        assert_eq!(statuses(&balancer, "/", &alice), [200; 2]);
        known += 1;
    }
    let guesses = guesses.join().unwrap();
    assert!(known > 0 && guesses.iter().all(|status| [401, 429].contains(status)), "{guesses:?}");
    assert!(guesses.contains(&429) && guesses.contains(&401), "{guesses:?}");
    let name = "evenkeel_policies_total{service=\"web\",policy=\"basic_auth\",outcome=\"busy\"}";
    assert!(balancer.figure(name) > 0);
    assert_eq!(backend.received().len(), 2 * (known + 1));
}
