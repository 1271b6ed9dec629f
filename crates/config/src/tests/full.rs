//! A file with every key, and what each of them means.

use std::collections::BTreeMap;

use driver::ServerId;
use fleet::{HealthSettings, RolloutSettings};
use h1::{HeadLimits, Underscores};
use placement::{ClassicHash, MaglevSize, Probe, RingLayout, SeatChoice};
use proxy::{
    AccessLogDestination, AccessLogFormat, AccessLogSettings, CertificateFiles, ClientSettings,
    ClientTimeouts, KeyRule, Protocol, ServiceTimeouts, TlsSettings, TlsVersion,
};

use super::*;

/// A file with every key; those of an algorithm stand in a service that has it.
pub(super) const FULL: &str = r#"
        listen = "0.0.0.0:80"
        admin = "unix:/run/evenkeel/admin.sock"
        workers = 2
        state_dir = "/var/lib/evenkeel"
        owner = "shop:1"
        contract = true
        request_id = false
        trusted_proxies = ["10.0.0.0/8", "::1"]
        [[listener]]
        address = "0.0.0.0:443"
        proxy_protocol = true
        [listener.tls]
        certificates = [{ certificate = "shop.pem", key = "/etc/shop.key" }]
        client_authority = "clients.pem"
        client_certificate = "optional"
        oldest_version = "1.3"
        http2 = false
        [limits]
        connections = 5000
        request_line = "1KiB"
        head = "8KiB"
        headers = 50
        requests_per_connection = 1
        replay_body = "0B"
        underscores = "keep"
        [timeouts]
        head = "100ms"
        idle = "24h"
        body_grace = "0s"
        body_rate = "1KiB"
        write = "1m"
        [access_log]
        format = "common"
        to = "access.log"
        [[service]]
        name = "web"
        host = "*.Example.org"
        path = "/shop"
        replicas = 56
        driver = "docker"
        image = "evenkeel-replica"
        command = ["serve", "--port={port}", "{name}", "{seat}", "{\"json\": {}}"]
        port = 8080
        network = "front"
        publish = true
        memory = "64MiB"
        cpus = 2
        env = { GREETING = "hello" }
        key = "header:X-User"
        algorithm = "classic"
        slots = 512
        virtual = 9
        probe = "quadratic"
        hash = "splitmix"
        seat_choice = "spread"
        load_factor = 2.5
        server_id = "number"
        start_timeout = "1m 30s"
        max_replicas = 1_000
        spares = 0
        stop_timeout = "0s"
        stop_signal = "SIGQUIT"
        on_exit = "stop"
        protocol = "h2c"
        [service.timeouts]
        connect = "10ms"
        response = "1s"
        idle = "2s"
        request = "3s"
        upgrade_idle = "4s"
        [service.heartbeat]
        path = "/well?really"
        every = "1s"
        timeout = "1s"
        misses = 5
        rise = 3
        [service.responses]
        failures = 10
        slow_factor = 3
        ejection = "1m"
        [service.drain]
        deadline = "2m"
        [service.deploy]
        at_once = 4
        bake = "5s"
        [[service]]
        name = "old"
        driver = "static"
        addresses = ["127.0.0.1:9001", "unix:/run/app.sock"]
        algorithm = "ring"
        layout = "ketama"
        seat_names = ["10.0.0.1:80", "10.0.0.2:80"]
        weights = [1, 65_536]
        [[service]]
        name = "envoy"
        path = "/envoy"
        spares = 2
        command = ["serve", "{socket}", "{name}"]
        socket = true
        env = { PATH = "/bin" }
        algorithm = "maglev"
        table_size = 1009
    "#;

/// The first service of [`FULL`].
fn full_web() -> ServiceSettings {
    let command = ["serve", "--port={port}", "{name}", "{seat}", "{\"json\": {}}"];
    ServiceSettings {
        name: "web".into(),
        host: "*.example.org".into(),
        path: "/shop".into(),
        replicas: 56,
        driver: DriverChoice::Docker {
            image: "evenkeel-replica".into(),
            command: Some(command.map(str::to_owned).to_vec()),
            network: "front".into(),
            publish: true,
            memory: Some(64 << 20),
            cpus: Some(2.0),
        },
        port: 8080,
        env: BTreeMap::from([("GREETING".into(), "hello".into())]),
        key: KeyRule::Header("x-user".parse().unwrap()),
        algorithm: Algorithm::Classic {
            slots: 512,
            virtual_servers: 9,
            probe: Probe::Quadratic,
            hash: ClassicHash::Splitmix,
            seat_choice: SeatChoice::Spread,
        },
        weights: Vec::new(),
        load_factor: 2.5,
        server_id: ServerId::Number,
        start_timeout: Duration::from_secs(90),
        max_replicas: 1000,
        spares: 0,
        protocol: Protocol::H2c,
        timeouts: ServiceTimeouts {
            connect: Duration::from_millis(10),
            response: Duration::from_secs(1),
            idle: Duration::from_secs(2),
            request: Some(Duration::from_secs(3)),
            upgrade_idle: Duration::from_secs(4),
        },
        heartbeat: Heartbeat {
            path: "/well?really".into(),
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        },
        health: HealthSettings {
            misses: 5,
            rise: 3,
            failures: 10,
            slow_factor: 3.0,
            ejection: Duration::from_secs(60),
            have_equal_work: false,
        },
        drain_deadline: Duration::from_secs(120),
        stop_timeout: Duration::ZERO,
        stop_signal: Some("SIGQUIT".into()),
        on_exit: OnExit::Stop,
        rollout: RolloutSettings { at_once: 4, bake: Duration::from_secs(5) },
    }
}

/// The listener of [`FULL`].
fn full_listener() -> ListenerSettings {
    let tls = TlsSettings {
        certificates: vec![CertificateFiles { certificate: "shop.pem".into(), key: "/etc/shop.key".into() }],
        client_authority: Some("clients.pem".into()),
        is_client_certificate_required: false,
        oldest_version: TlsVersion::Tls13,
        is_http2: false,
    };
    ListenerSettings { address: "0.0.0.0:443".parse().unwrap(), proxy_protocol: true, tls: Some(tls) }
}

fn full_clients() -> ClientSettings {
    ClientSettings {
        head: HeadLimits {
            request_line_max: 1 << 10,
            head_max: 8 << 10,
            fields_max: 50,
            underscores: Underscores::Keep,
        },
        requests_max: 1,
        replay_body_max: 0,
        timeouts: ClientTimeouts {
            head: Duration::from_millis(100),
            idle: Duration::from_hours(24),
            body_grace: Duration::ZERO,
            body_rate_min: 1024,
            write: Duration::from_secs(60),
        },
        trusted_proxies: ["10.0.0.0/8", "::1/128"].map(|range| range.parse().unwrap()).to_vec(),
        has_request_ids: false,
        ..ClientSettings::default()
    }
}

fn full_access_log() -> AccessLogSettings {
    let destination = AccessLogDestination::File("access.log".into());
    AccessLogSettings { format: AccessLogFormat::Common, destination }
}

#[test]
fn a_full_file_is_understood() {
    let addresses = vec!["127.0.0.1:9001".parse().unwrap(), "unix:/run/app.sock".parse().unwrap()];
    let old = ServiceSettings {
        replicas: 2,
        driver: DriverChoice::Static { addresses },
        on_exit: OnExit::Keep,
        algorithm: Algorithm::Ring {
            layout: RingLayout::Ketama,
            names: seat_names(&["10.0.0.1:80", "10.0.0.2:80"]),
        },
        weights: vec![1, 65_536],
        ..ServiceSettings::named("old")
    };
    let envoy = ServiceSettings {
        path: "/envoy".into(),
        spares: 2,
        driver: DriverChoice::Process {
            command: Some(["serve", "{socket}", "{name}"].map(str::to_owned).to_vec()),
            socket: true,
        },
        env: BTreeMap::from([("PATH".into(), "/bin".into())]),
        algorithm: Algorithm::Maglev { size: MaglevSize::new(1009).unwrap(), names: seat_names(&[]) },
        ..ServiceSettings::named("envoy")
    };
    let expected = Settings {
        listen: Some("0.0.0.0:80".parse().unwrap()),
        listeners: vec![full_listener()],
        admin: "unix:/run/evenkeel/admin.sock".parse().unwrap(),
        workers: 2,
        state_dir: Some(PathBuf::from("/var/lib/evenkeel")),
        owner: Some("shop:1".into()),
        contract: true,
        clients: full_clients(),
        connections_max: Some(5000),
        access_log: Some(full_access_log()),
        services: vec![full_web(), old, envoy],
    };
    assert_eq!(accept(FULL), expected);
}
