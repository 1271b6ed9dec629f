//! What files are accepted, and as what; what files are refused, and how that is shown.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use driver::ListenedBy;
use placement::{ClassicHash, MaglevSize, Probe, RingLayout, Seat, SeatChoice, SeatNames};

use super::*;

mod clients;
mod declared;
mod files;
mod full;

/// Cases for [`every_refusal_is_shown_as_agreed`]: `=== claim`, the file, `---`, what is shown.
const REFUSALS: &str = include_str!("refusals.txt");

fn accept(text: &str) -> Settings {
    parse(text, "evenkeel.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// The only service of a file with these lines.
fn service(lines: &str) -> ServiceSettings {
    accept(&format!("[[service]]\nname = \"web\"\n{lines}")).services.remove(0)
}

fn refuse(text: &str) -> ConfigError {
    parse(text, "evenkeel.toml").expect_err(text)
}

#[test]
fn every_refusal_is_shown_as_agreed() {
    let cases: Vec<&str> = REFUSALS.split("=== ").skip(1).collect();
    assert!(cases.len() > 60, "only {} cases were read", cases.len());
    let mut broken = Vec::new();
    for case in cases {
        let (claim, case) = case.split_once('\n').unwrap();
        let (text, expected) = case.split_once("---\n").unwrap();
        let shown = match parse(text, "evenkeel.toml") {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        if shown != expected.trim_end() {
            broken.push(format!("=== {claim}\n{text}---\n{shown}\n\n"));
        }
    }
    assert!(broken.is_empty(), "shown instead:\n{}", broken.concat());
}

#[test]
fn whoever_is_not_at_the_machine_is_told_of_places_and_of_no_value() {
    let text = "[[service]]\nname = \"web\"\nreplcas = 3\nimage = \"s3cret \\\"x\"\ndriver = \"docker\"\n\
                env = { PASSWORD = \"hunter2\", LEVEL = 3 }\nkey = \"s3cret\"\nPASSWORD = \"hunter2\"\n\
                environment = { PASSWORD = \"hunter2\" }\n";
    let error = refuse(text);
    let told = error.without_values();
    assert!(!told.contains("hunter2") && !told.contains("s3cret") && !told.contains('\n'), "{told}");
    let first = "evenkeel.toml:3:1: unknown key `replcas` (did you mean `replicas`?); evenkeel.toml:4:9: `image` must";
    assert!(told.starts_with(first), "{told}");
    // Whoever is at the machine sees the lines, and still no password.
    let shown = error.to_string();
    assert!(shown.contains("s3cret") && !shown.contains("hunter2"), "{shown}");
    let many = (0..31).map(|number| format!("x{number} = 1\n")).collect::<String>();
    assert!(refuse(&many).without_values().ends_with("; and 22 more"), "{}", refuse(&many).without_values());
    let broken = refuse("[[service]]\nenv = { PASSWORD = \"hunter2 }\n");
    assert!(broken.without_values().starts_with("evenkeel.toml:2:"), "{}", broken.without_values());
    assert!(!format!("{broken} {}", broken.without_values()).contains("hunter2"), "{broken}");
}

#[test]
fn the_demo_is_what_an_equivalent_file_says() {
    assert_eq!(accept("contract = true\n[[service]]\nname = \"web\""), Settings::demo());
    let text = r#"
        listen = "127.0.0.1:5000"
        admin = "127.0.0.1:5001"
        contract = true
        request_id = true
        trusted_proxies = []
        [limits]
        request_line = "16KiB"
        head = "64KiB"
        headers = 100
        requests_per_connection = 1000
        replay_body = "64KiB"
        underscores = "drop"
        [timeouts]
        head = "10s"
        idle = "75s"
        body_grace = "5s"
        body_rate = "500B"
        write = "30s"
        [[service]]
        name = "web"
        host = "*"
        path = "/"
        replicas = 3
        driver = "process"
        port = 5000
        key = "random"
        algorithm = "rendezvous"
        load_factor = 1.25
        server_id = "name"
        start_timeout = "30s"
        max_replicas = 100
        spares = 0
        stop_timeout = "10s"
        on_exit = "stop"
        heartbeat = { path = "/heartbeat", every = "500ms", timeout = "250ms", misses = 2 }
        drain.deadline = "60s"
        protocol = "http1"
        [service.timeouts]
        connect = "250ms"
        response = "60s"
        idle = "5m"
        request = "0s"
        upgrade_idle = "1h"
    "#;
    assert_eq!(accept(text), Settings::demo());
}

fn seat_names(listed: &[&str]) -> SeatNames {
    SeatNames::new(listed.iter().map(|name| (*name).to_owned()).collect()).unwrap()
}

#[test]
fn a_replica_that_goes_has_as_long_as_a_response_may_take() {
    for (text, seconds) in [
        ("", 60),
        ("[service.timeouts]\nresponse = \"5m\"", 300),
        ("[service.drain]\ndeadline = \"7s\"\n[service.timeouts]\nresponse = \"5m\"", 7),
    ] {
        assert_eq!(service(text).drain_deadline, std::time::Duration::from_secs(seconds), "{text}");
    }
}

#[test]
fn defaults_depend_on_the_driver_and_the_algorithm() {
    let docker = service("driver = \"docker\"\nimage = \"shop:1\"");
    assert_eq!(docker.on_exit, OnExit::Keep);
    let DriverChoice::Docker { network, publish, command, .. } = docker.driver else { unreachable!() };
    assert_eq!((network.as_str(), publish, command), ("evenkeel", false, None));
    let process = service("driver = \"process\"");
    let expected = (
        OnExit::Stop,
        DriverChoice::Process {
            command: None,
            socket: false,
            listened_by: ListenedBy::Itself,
            rights: Rights::default(),
            directory: None,
            ports: driver::PortRange::default(),
        },
    );
    assert_eq!((process.on_exit, process.driver), expected);
    assert_eq!(service("on_exit = \"keep\"").on_exit, OnExit::Keep, "processes can stay too");
    let environment = "command = [\"serve\"]\nenv = { SOCKET = \"/run/database.sock\" }";
    assert_eq!(service(environment).env.len(), 1, "without socket = true, the name is the operator's");
    assert_eq!(service("algorithm = \"rendezvous\"").load_factor, 1.25);
    let classic = service("algorithm = \"classic\"");
    assert_eq!(classic.load_factor, 0.0);
    let standard = Algorithm::Classic {
        slots: 512,
        virtual_servers: 9,
        probe: Probe::Linear,
        hash: ClassicHash::Quadratic,
        seat_choice: SeatChoice::Lowest,
    };
    assert_eq!(classic.algorithm, standard);
    assert_eq!(service("algorithm = \"classic\"\nload_factor = 1.5").load_factor, 1.5);
    for (key, load_factor) in [
        ("cookie:sid", 0.0),
        ("client-ip", 0.0),
        ("header:x-user", 1.25),
        ("path", 1.25),
        ("query:id", 1.25),
        ("random", 1.25),
    ] {
        assert_eq!(service(&format!("key = \"{key}\"")).load_factor, load_factor, "{key}");
    }
    assert_eq!(service("key = \"cookie:sid\"\nload_factor = 2").load_factor, 2.0);
    assert_eq!(service("key = \"header:user\"").load_factor, 1.25);
    let ring = service("algorithm = \"ring\"");
    assert_eq!(ring.load_factor, 1.25);
    assert_eq!(ring.algorithm, Algorithm::Ring { layout: RingLayout::Nginx, names: seat_names(&[]) });
    let maglev = service("algorithm = \"maglev\"");
    assert_eq!(maglev.load_factor, 1.25);
    let size = MaglevSize::new(65_537).unwrap();
    assert_eq!(maglev.algorithm, Algorithm::Maglev { size, names: seat_names(&[]) });
}

#[test]
fn seats_are_hashed_by_what_lasts() {
    let first_two = |lines: &str| match service(lines).algorithm {
        Algorithm::Ring { names, .. } | Algorithm::Maglev { names, .. } => {
            [0, 1].map(|index| names.of(Seat::at_index(index)))
        }
        other => panic!("{other:?} has no names"),
    };
    let fixed = "driver = \"static\"\naddresses = [\"10.0.0.1:80\", \"unix:/run/b\"]\n";
    for algorithm in ["algorithm = \"ring\"\n", "algorithm = \"maglev\"\n"] {
        let named = |lines: &str| first_two(&format!("{algorithm}{lines}"));
        assert_eq!(named(""), ["1", "2"]);
        assert_eq!(named(fixed), ["10.0.0.1:80", "unix:/run/b"]);
        assert_eq!(named(&format!("{fixed}seat_names = []")), ["1", "2"]);
        assert_eq!(named(&format!("{fixed}seat_names = [\"a\"]")), ["a", "2"]);
        assert_eq!(named("seat_names = [\"a\", \"b\", \"c\", \"d\"]"), ["a", "b"]);
    }
}

#[test]
fn limits_of_placements_are_inside() {
    assert_eq!(service("weights = [1, 65536]").weights, [1, 65_536]);
    assert_eq!(service("weights = []").weights, [0; 0]);
    // 16 777 120 points: one more unit of weight would be 64 too many.
    let full = "algorithm = \"ring\"\nreplicas = 2\nweights = [65536, 39321";
    assert_eq!(service(&format!("{full}, 65536]")).replicas, 2);
    assert!(
        refuse(&format!("[[service]]\nname = \"web\"\n{full}]\n").replace("39321", "39322")).count() == 1
    );
    let ketama = "algorithm = \"ring\"\nlayout = \"ketama\"\nreplicas = 2\nweights = [65536, 65536]";
    assert_eq!(service(ketama).weights.len(), 2);
    for size in ["3", "5000011"] {
        let lines = format!("algorithm = \"maglev\"\ntable_size = {size}");
        assert!(matches!(service(&lines).algorithm, Algorithm::Maglev { .. }));
    }
}

#[test]
fn values_have_the_meaning_that_is_documented() {
    let rules = [
        ("random", KeyRule::Random),
        ("path", KeyRule::Path),
        ("client-ip", KeyRule::ClientIp),
        ("header:X-User", KeyRule::Header("x-user".parse().unwrap())),
        ("cookie:Session", KeyRule::Cookie("Session".into())),
        ("query:id", KeyRule::Query("id".into())),
    ];
    for (text, rule) in rules {
        assert_eq!(service(&format!("key = \"{text}\"")).key, rule);
    }
    for (text, bytes) in
        [("256MB", 256_000_000), ("6MiB", 6 << 20), ("1 GiB", 1 << 30), ("7000kB", 7_000_000)]
    {
        let lines = format!("driver = \"docker\"\nimage = \"shop\"\nmemory = \"{text}\"");
        let DriverChoice::Docker { memory, .. } = service(&lines).driver else { unreachable!() };
        assert_eq!(memory, Some(bytes), "{text}");
    }
    assert_eq!(service("load_factor = 0").load_factor, 0.0);
    assert_eq!(service("load_factor = 1").load_factor, 1.0);
    assert_eq!(service("replicas = 0").replicas, 0);
    assert_eq!(service("host = \"10.0.0.1\"").scope.hosts, ["10.0.0.1"]);
    let same_port_elsewhere = "listen = \"127.0.0.2:5001\"\n[[service]]\nname = \"web\"";
    assert_eq!(accept(same_port_elsewhere).listen.unwrap().port(), 5001);
    let any_free_ports = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[[service]]\nname = \"web\"";
    assert_eq!(accept(any_free_ports).listen.unwrap().port(), 0);
}

#[test]
fn every_problem_of_a_file_is_found_in_one_run() {
    let text = "listn = 1\nworkers = 0\n[[service]]\nname = 5\nport = \"x\"\n[service.drain]\ndedline = 1\n";
    assert_eq!(refuse(text).count(), 5);
}

#[test]
fn an_error_stays_short_however_many_problems_there_are() {
    let text: String = (0..1000).map(|number| format!("unknown_{number} = 1\n")).collect();
    let error = refuse(&text);
    assert_eq!(error.count(), 1001);
    assert!(error.to_string().ends_with("\n\nand 901 more problems"), "{error}");
    let long = format!("{} = 1 # {}", "x".repeat(500), "y".repeat(100_000));
    assert!(refuse(&long).to_string().lines().all(|line| line.chars().count() < 1000));
}

#[test]
fn services_and_lists_have_limits() {
    let services = |count: usize| -> String {
        (0..count).map(|n| format!("[[service]]\nname = \"s{n}\"\npath = \"/{n}\"\n")).collect()
    };
    assert_eq!(accept(&services(64)).services.len(), 64);
    let error = refuse(&services(65));
    let shown = "error: there are 65 services, but at most 64 may be\n   --> evenkeel.toml:193:1\n";
    assert!(error.count() == 1 && error.to_string().starts_with(shown), "{error}");
    // Large enough that anything quadratic would be felt.
    let addresses = "\"127.0.0.1:9001\",".repeat(50_000);
    let text = format!("[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [{addresses}]");
    assert!(refuse(&text).to_string().contains("at most 10000 addresses"));
    let variables: String = (0..50_000).map(|n| format!("V{n} = \"\"\n")).collect();
    let text = format!("[[service]]\nname = \"web\"\n[service.env]\n{variables}");
    assert_eq!(accept(&text).services[0].env.len(), 50_000);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let error = refuse("\"\\u001b[31m\" = 1\nlisten = \"\\u001b[31m\" # \x7f").to_string();
    assert!(error.chars().all(|character| !character.is_control() || character == '\n'), "{error}");
}

/// Where a file may break off so that it is not read like one that breaks off a little earlier: not within
/// a word that has begun and goes on, where every character is as good as the next.
fn telling_cuts(file: &str) -> impl Iterator<Item = &str> {
    let is_word = |character: &char| character.is_alphanumeric() || "_-".contains(*character);
    let is_telling = move |cut: usize| {
        let mut before = file[..cut].chars().rev().take_while(is_word);
        before.nth(1).is_none() || !file[cut..].starts_with(|character| is_word(&character))
    };
    let cuts = (0..file.len()).filter(|cut| file.is_char_boundary(*cut));
    cuts.filter(move |cut| is_telling(*cut)).map(|cut| &file[..cut])
}

/// Whole files are cut, and what several of them begin with is read once: reading takes a quarter of a
/// millisecond, and there are thousands of cuts.
#[test]
fn any_cut_of_a_file_is_parsed_or_refused_but_never_panics() {
    let cases = REFUSALS.split("=== ").skip(1).map(|case| case.split_once('\n').unwrap().1);
    let files = cases.map(|case| case.split_once("---\n").unwrap().0);
    let cuts: HashSet<&str> = files.flat_map(telling_cuts).collect();
    assert!(cuts.len() > 4000, "only {} cuts were made", cuts.len());
    for cut in cuts {
        let _ = parse(cut, "evenkeel.toml");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = read(Path::new("/nowhere/evenkeel.toml")).unwrap_err();
    let shown = "error: /nowhere/evenkeel.toml cannot be read: No such file or directory (os error 2)";
    assert_eq!(error.to_string(), shown);
    assert_eq!(error.count(), 1);
    assert!(read(Path::new("/")).unwrap_err().to_string().contains("cannot be read"));
    assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("larger than 1048576 bytes"));
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let path = std::env::temp_dir().join(format!("evenkeel-config-{}.toml", std::process::id()));
    std::fs::write(&path, b"workers = 1\nowner = \"\xff\"\n").unwrap();
    let error = read(&path);
    std::fs::remove_file(&path).unwrap();
    let shown = error.unwrap_err().to_string();
    assert!(shown.starts_with("error: the file is not UTF-8 text\n --> "), "{shown}");
    assert!(shown.contains(".toml:2:10\n"), "{shown}");
}
