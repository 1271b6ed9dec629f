//! What runs the first service, what its containers have beside, and how they are asked whether they are well.

use driver::{Device, Fittings, Gpus, Source, Tmpfs, Ulimit, Volume};

use super::*;

/// What runs its first service.
pub(super) fn full_docker() -> DriverChoice {
    let command = ["serve", "--port={port}", "{name}", "{seat}", "{\"json\": {}}"];
    DriverChoice::Docker {
        image: "evenkeel-replica".into(),
        command: Some(command.map(str::to_owned).to_vec()),
        network: "front".into(),
        publish: true,
        memory: Some(64 << 20),
        cpus: Some(2.0),
        capabilities: vec!["NET_BIND_SERVICE".into(), "CHOWN".into()],
        new_privileges: true,
        fittings: Box::new(full_fittings()),
        secrets: BTreeMap::from([("password".into(), "secrets/password".into())]),
        pull: driver::Pull::Missing,
    }
}

/// How its replicas are asked whether they are well.
pub(super) fn full_heartbeat() -> Heartbeat {
    Heartbeat {
        path: "/well?really".into(),
        every: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        method: "HEAD".into(),
        host: Some("shop.example:8080".into()),
        headers: BTreeMap::from([("X-Forwarded-Proto".into(), "https".into())]),
        port: None,
        statuses: vec![StatusRange { first: 200, last: 200 }, StatusRange { first: 300, last: 399 }],
    }
}

fn full_fittings() -> Fittings {
    let volume = |source, target: &str, read_only| Volume { source, target: target.into(), read_only };
    let pair = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    Fittings {
        volumes: vec![
            volume(Source::Named("data".into()), "/var/lib/app", false),
            volume(Source::Host("./app.conf".into()), "/etc/app.conf", true),
        ],
        tmpfs: vec![Tmpfs { target: "/tmp".into(), options: "size=64m".into() }],
        read_only: true,
        user: Some("app:1000".into()),
        networks: vec!["database".into()],
        init: true,
        image_health: true,
        ulimits: BTreeMap::from([
            ("nofile".into(), Ulimit { soft: 65_536, hard: 65_536 }),
            ("nproc".into(), Ulimit { soft: 10, hard: 20 }),
        ]),
        extra_hosts: vec!["host.docker.internal:host-gateway".into()],
        entrypoint: Some(vec!["/entrypoint.sh".into(), "{name}".into()]),
        working_dir: Some("/srv".into()),
        labels: pair("team", "shop"),
        log_driver: Some("local".into()),
        log_options: pair("max-size", "1m"),
        secrets: BTreeMap::new(),
        devices: vec![Device { host: "/dev/fuse".into(), target: "/dev/fuse".into(), rights: "rwm".into() }],
        gpus: Some(Gpus::Count(2)),
    }
}

#[test]
fn a_folder_of_the_host_is_where_the_file_says() {
    let text = "[[service]]\nname = \"web\"\ndriver = \"docker\"\nimage = \"x\"\nvolumes = [\"./a:/a\", \"../b:/b\", \"/c:/c\", \"dd:/d\"]";
    let mut settings = accept(text).in_folder(Path::new("/etc/evenkeel"));
    let DriverChoice::Docker { fittings, .. } = settings.services.remove(0).driver else { unreachable!() };
    let sources: Vec<Source> = fittings.volumes.into_iter().map(|volume| volume.source).collect();
    let host = |path: &str| Source::Host(path.into());
    let expected =
        [host("/etc/evenkeel/a"), host("/etc/evenkeel/../b"), host("/c"), Source::Named("dd".into())];
    assert_eq!(sources, expected);
}

#[test]
fn what_containers_have_beside_is_checked_together() {
    let docker = "[[service]]\nname = \"web\"\ndriver = \"docker\"\nimage = \"x\"\n";
    for (lines, expected) in [
        (
            "volumes = [\"aa:/x\"]\ntmpfs = [\"/x/\"]",
            "`tmpfs` mounts a second time at /x\n --> evenkeel.toml:6:10",
        ),
        ("volumes = [\"aa:/proc\"]", "`volumes` cannot be in place of /proc: that is the engine's"),
        (
            "network = \"aa\"\nnetworks = [\"bb\"]",
            "`network` and `networks` say the same\n --> evenkeel.toml:6:12",
        ),
        ("networks = [\"aa\", \"aa\"]", "`networks` lists \"aa\" twice"),
        (
            "volumes = [\"aa:/run/secrets/x\"]\nsecrets = { x = \"y\" }",
            "mounts a second time at /run/secrets/x",
        ),
        ("secrets = { \"a/b\" = \"s3cret\" }", "`secrets` must be named by 1 to 64 characters"),
        ("pull = \"often\"", "`pull` cannot be \"often\""),
        ("networks = []", "`networks` must list at least one network"),
        ("log_options = { a = \"b\" }", "`log_options` are of no `log_driver`"),
        ("labels = { \"evenkeel.owner\" = \"me\" }", "by `evenkeel.*` the balancer knows its own containers"),
        ("user = \"a:b\"\ngroup = \"c\"", "`user` names a group, too"),
        ("entrypoint = []", "`entrypoint` must name a program"),
        (
            "entrypoint = [\"a\", \"{socket}\"]",
            "`{socket}` in `entrypoint` does not go with driver = \"docker\"",
        ),
        ("ulimits = { files = 1 }", "`ulimits` has no `files`"),
        ("ulimits = { nofile = -2 }", "`nofile` must be a number from -1"),
        ("gpus = \"one\"", "`gpus` must be \"all\", a number from 1 to 256"),
        ("gpus = 0", "`gpus` must be \"all\""),
        ("gpus = []", "`gpus` must be \"all\""),
        ("cap_add = [\"CHOWN\"]", "help: it is called `capabilities` here"),
    ] {
        let error = refuse(&format!("{docker}{lines}")).to_string();
        assert!(error.contains(expected), "{lines}: {error}");
    }
    let error = refuse("[[service]]\nname = \"web\"\nuser = \"a:b\"").to_string();
    assert!(error.contains("leave it to `group`"), "{error}");
    let error = refuse("[[service]]\nname = \"web\"\nvolumes = [\"aa:/x\"]").to_string();
    assert!(error.contains("`volumes` belongs to driver = \"docker\""), "{error}");
}

#[test]
fn a_heartbeat_is_asked_where_and_how_it_can_be() {
    let service = "[[service]]\nname = \"web\"\n";
    let docker = "driver = \"docker\"\nimage = \"x\"\n";
    let grpc = "protocol = \"h2c\"\n[service.heartbeat]\npath = \"/grpc.health.v1.Health/Check\"\n";
    for (lines, expected) in [
        (
            "[service.heartbeat]\nport = 1".to_owned(),
            "`port` of a heartbeat cannot be: each process has a port of its own",
        ),
        (
            format!("{docker}publish = true\n[service.heartbeat]\nport = 1"),
            "with `publish`, no other port is reached",
        ),
        (
            "driver = \"static\"\naddresses = [\"unix:/x\"]\n[service.heartbeat]\nport = 1".to_owned(),
            "some of the addresses are sockets",
        ),
        (format!("{grpc}statuses = 200"), "`statuses` does not go with gRPC's health check"),
        ("[service.heartbeat]\nstatuses = []".to_owned(), "`statuses` must list from 1 to 32"),
        (
            "[service.heartbeat]\nstatuses = \"299-200\"".to_owned(),
            "must be a status from 200 to 599, or a range",
        ),
        ("[service.heartbeat]\nstatuses = [200, 100]".to_owned(), "must be a status from 200 to 599"),
        ("[service.heartbeat]\nmethod = \"PUT\"".to_owned(), "`method` cannot be \"PUT\""),
        ("[service.heartbeat]\nhost = \"a b\"".to_owned(), "must be the name of a host"),
        (
            "[service.heartbeat]\nheaders = { Host = \"a\" }".to_owned(),
            "`host` says what replicas are called",
        ),
        ("[service.heartbeat]\nheaders = { Connection = \"a\" }".to_owned(), "it is about the connection"),
        ("[service.heartbeat]\nheaders = { A = \"s3cret\\n\" }".to_owned(), "of printable ASCII"),
    ] {
        let error = refuse(&format!("{service}{lines}")).to_string();
        assert!(error.contains(expected) && !error.contains("s3cret"), "{lines}: {error}");
    }
    accept(&format!("{service}{docker}[service.heartbeat]\nport = 1\nstatuses = \"200-399\""));
}

#[test]
fn values_of_labels_and_log_options_are_not_shown() {
    let docker = "[[service]]\nname = \"web\"\ndriver = \"docker\"\nimage = \"x\"\n";
    let lines = "log_options = { \"spl unk\" = \"s3cret\", token = \"s3cret\" }";
    let error = refuse(&format!("{docker}{lines}")).to_string();
    assert!(error.contains("must be the name of an option") && !error.contains("s3cret"), "{error}");
}

#[test]
fn what_makes_a_release_is_deployed_and_the_first_network_is_not() {
    let docker = |lines: &str| {
        accept(&format!("[[service]]\nname = \"web\"\ndriver = \"docker\"\nimage = \"x\"\n{lines}"))
            .services
            .remove(0)
    };
    let before = docker("networks = [\"aa\", \"bb\"]");
    for (lines, expected) in [
        ("networks = [\"aa\", \"cc\"]", &[("networks", Effect::Deploy)][..]),
        ("networks = [\"cc\", \"bb\"]", &[("network", Effect::Restart), ("networks", Effect::Deploy)]),
        ("network = \"aa\"", &[("networks", Effect::Deploy)]),
        (
            "networks = [\"aa\", \"bb\"]\nuser = \"app\"\nvolumes = [\"xx:/x\"]",
            &[("user", Effect::Deploy), ("volumes", Effect::Deploy)],
        ),
        (
            "networks = [\"aa\", \"bb\"]\ngpus = \"all\"\nlabels = { a = \"b\" }",
            &[("labels", Effect::Deploy), ("gpus", Effect::Deploy)],
        ),
    ] {
        let changed = changes(&before, &docker(lines));
        let changed: Vec<_> = changed.iter().map(|change| (change.key.as_str(), change.effect)).collect();
        assert_eq!(changed, expected, "{lines}");
    }
}
