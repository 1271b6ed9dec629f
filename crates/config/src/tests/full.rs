//! A file with every key, and what each of them means.

mod fittings;
mod listeners;
mod policies;

use std::collections::BTreeMap;

use driver::ServerId;
use fleet::{HealthSettings, RolloutSettings};
use h1::{HeadLimits, Underscores};
use placement::{ClassicHash, MaglevSize, Probe, RingLayout, SeatChoice};
use proxy::{
    AccessLogDestination, AccessLogFormat, AccessLogSettings, CertificateFiles, ClientSettings,
    ClientTimeouts, ErrorPages, FieldEdits, FixedField, HttpsRedirect, KeyRule, PathForm, PathPattern,
    Policies, Protocol, Redirect, RequestLimits, SameSite, Scope, ServiceTimeouts, Statuses, TlsSettings,
    TlsVersion, Unmatched,
};

use super::*;
use fittings::{full_docker, full_heartbeat};
use listeners::{full_listener, full_redirect, full_redirecting_listener};
use policies::full_policies;

/// A file with every key; those of an algorithm stand in a service that has it.
pub(super) const FULL: &str = r#"
        listen = "0.0.0.0:80"
        admin = "unix:/run/evenkeel/admin.sock"
        workers = 2
        state_dir = "/var/lib/evenkeel"
        owner = "shop:1"
        reserved_names = ["db", "cache.internal"]
        contract = true
        request_id = false
        trusted_proxies = ["10.0.0.0/8", "::1"]
        admin_hosts = ["Balancer.example.org"]
        admin_token = "/etc/evenkeel/admin.token"
        admin_view_token = "view.token"
        contract_from = ["127.0.0.0/8", "::1", "192.0.2.7", "gateway"]
        http2 = false
        [[listener]]
        address = "0.0.0.0:443"
        proxy_protocol = true
        proxy_protocol_from = ["10.0.0.0/8"]
        http2 = false
        name = "https"
        unmatched = "close"
        error_pages = { 4xx = "listener.txt" }
        [listener.response_headers]
        set = { Strict-Transport-Security = "max-age=31536000" }
        remove = ["Server"]
        [listener.tls]
        certificates = [{ certificate = "shop.pem", key = "/etc/shop.key" }]
        client_authority = "clients.pem"
        client_certificate = "optional"
        oldest_version = "1.3"
        [[listener]]
        address = "0.0.0.0:81"
        redirect = "https"
        redirect_status = 301
        redirect_port = 8443
        [[redirect]]
        hosts = ["www.example.org", "*.old.example.org"]
        paths = ["/a", "=/b"]
        to = "https://example.org/new?x"
        status = 302
        keep_rest = false
        [limits]
        connections = 5000
        connections_per_client = 50
        requests = 4000
        streams = 10
        request_line = "1KiB"
        head = "8KiB"
        http2_head = "4KiB"
        headers = 50
        memory = "16MiB"
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
        path_form = "as-sent"
        strip_prefix = "/shop"
        add_prefix = "/v2"
        via = false
        error_pages = { 404 = "404.html", 5xx = "/srv/5xx.html" }
        replace_errors = true
        listeners = ["https", "listen"]
        default = true
        replicas = 56
        driver = "docker"
        image = "evenkeel-replica"
        command = ["serve", "--port={port}", "{name}", "{seat}", "{\"json\": {}}"]
        port = 8080
        networks = ["front", "database"]
        publish = true
        memory = "64MiB"
        cpus = 2
        capabilities = ["NET_BIND_SERVICE", "cap_chown"]
        new_privileges = true
        volumes = ["data:/var/lib/app", "./app.conf:/etc/app.conf:ro"]
        tmpfs = ["/tmp:size=64m"]
        read_only = true
        user = "app"
        group = "1000"
        entrypoint = ["/entrypoint.sh", "{name}"]
        working_dir = "/srv"
        init = true
        image_health = true
        extra_hosts = ["host.docker.internal=host-gateway"]
        labels = { team = "shop" }
        ulimits = { nofile = 65_536, nproc = "10:20" }
        devices = ["/dev/fuse"]
        gpus = 2
        log_driver = "local"
        log_options = { max-size = "1m" }
        secrets = { password = "secrets/password" }
        pull = "missing"
        env = { GREETING = "hello" }
        env_file = ["app.env", "/etc/app.env"]
        key = "header:X-User"
        sticky = "seat"
        sticky_lifetime = "2h"
        sticky_same_site = "strict"
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
        retries = 0
        allow = ["10.0.0.0/8", "::ffff:192.0.2.0/120"]
        deny = ["10.6.6.6"]
        tell_certificate = ["subject", "pem"]
        max_body = "10MiB"
        basic_auth = "staff.htpasswd"
        basic_auth_realm = "The shop's staff"
        [service.rate_limit]
        requests = 100
        per = "minute"
        burst = 20
        by = "header:X-Api-Key"
        [service.forward_auth]
        service = "old"
        path = "/verify?a"
        copy = ["X-User", "Authorization"]
        timeout = "1s"
        [[service.location]]
        path = "/shop/upload"
        max_body = "1GiB"
        public = true
        [[service.location]]
        path = "=/shop/login"
        allow = ["0.0.0.0/0"]
        deny = ["::1"]
        require_certificate = true
        basic_auth = "/etc/login.htpasswd"
        [service.location.rate_limit]
        requests = 5
        per = "hour"
        by = "key"
        [service.request_headers]
        set = { Host = "app.internal" }
        [service.response_headers]
        add = { Link = "</x>; rel=preload" }
        [service.timeouts]
        connect = "10ms"
        response = "1s"
        idle = "2s"
        request = "3s"
        upgrade_idle = "4s"
        [service.limits]
        requests = 100
        requests_per_replica = 7
        queue = 0
        queue_timeout = "1s"
        [service.compression]
        algorithms = ["gzip"]
        types = ["Text/*", "+json"]
        min_size = "2KiB"
        [service.heartbeat]
        path = "/well?really"
        every = "1s"
        timeout = "1s"
        statuses = [200, "300-399"]
        method = "HEAD"
        host = "shop.example:8080"
        headers = { X-Forwarded-Proto = "https" }
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
        host = "old.example.com"
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
        listened_by = "anybody"
        new_privileges = true
        inherit = ["DATABASE_URL", "LD_LIBRARY_PATH"]
        directory = "srv"
        env = { PATH = "/bin" }
        algorithm = "maglev"
        table_size = 1009
        [[service]]
        name = "jobs"
        internal = true
        user = "app"
        group = "staff"
        ports = "20000-29999"
    "#;

/// Which requests the first service of [`FULL`] is for.
fn full_scope() -> Scope {
    Scope {
        hosts: vec!["*.example.org".into()],
        paths: vec![PathPattern::Prefix("/shop".into())],
        listeners: vec!["https".into(), "listen".into()],
        is_default: true,
    }
}

fn full_timeouts() -> ServiceTimeouts {
    ServiceTimeouts {
        connect: Duration::from_millis(10),
        response: Duration::from_secs(1),
        idle: Duration::from_secs(2),
        request: Some(Duration::from_secs(3)),
        upgrade_idle: Duration::from_secs(4),
    }
}

/// The first service of [`FULL`].
fn full_web() -> ServiceSettings {
    ServiceSettings {
        name: "web".into(),
        scope: full_scope(),
        path_form: PathForm::AsSent,
        policies: full_policies(),
        replicas: 56,
        driver: full_docker(),
        port: 8080,
        env: BTreeMap::from([("GREETING".into(), "hello".into())]),
        env_files: vec!["app.env".into(), "/etc/app.env".into()],
        key: KeyRule::Header("x-user".parse().unwrap()),
        sticky: StickySettings {
            cookie: Some("seat".into()),
            lifetime: Some(Duration::from_hours(2)),
            same_site: SameSite::Strict,
        },
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
        timeouts: full_timeouts(),
        limits: RequestLimits {
            requests: Some(100),
            requests_per_replica: Some(7),
            queue: 0,
            queue_timeout: Duration::from_secs(1),
        },
        retries: 0,
        heartbeat: full_heartbeat(),
        health: HealthSettings {
            busy_patience: HealthSettings::default().busy_patience,
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

fn field(name: &str, value: &str) -> FixedField {
    FixedField { name: name.into(), value: value.into() }
}

fn edits() -> FieldEdits {
    FieldEdits::default()
}

fn full_clients() -> ClientSettings {
    ClientSettings {
        head: HeadLimits {
            request_line_max: 1 << 10,
            head_max: 8 << 10,
            fields_max: 50,
            underscores: Underscores::Keep,
        },
        http2_head_max: 4 << 10,
        requests_max: 1,
        connections_per_client_max: Some(50),
        streams_max: 10,
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

/// The one that runs under an account of its own.
fn full_jobs() -> ServiceSettings {
    ServiceSettings {
        scope: Scope::nothing(),
        driver: DriverChoice::Process {
            command: None,
            socket: false,
            listened_by: driver::ListenedBy::Itself,
            rights: Rights { user: Some("app".into()), group: Some("staff".into()), ..Rights::default() },
            directory: None,
            ports: driver::PortRange { first: 20_000, last: 29_999 },
        },
        ..ServiceSettings::named("jobs")
    }
}

#[test]
fn a_full_file_is_understood() {
    let addresses = vec!["127.0.0.1:9001".parse().unwrap(), "unix:/run/app.sock".parse().unwrap()];
    let old = ServiceSettings {
        scope: Scope { hosts: vec!["old.example.com".into()], ..Scope::default() },
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
        scope: Scope::at("/envoy"),
        spares: 2,
        driver: DriverChoice::Process {
            command: Some(["serve", "{socket}", "{name}"].map(str::to_owned).to_vec()),
            socket: true,
            listened_by: driver::ListenedBy::Anybody,
            rights: Rights {
                new_privileges: true,
                inherit: ["DATABASE_URL", "LD_LIBRARY_PATH"].map(str::to_owned).to_vec(),
                ..Rights::default()
            },
            directory: Some("srv".into()),
            ports: driver::PortRange::default(),
        },
        env: BTreeMap::from([("PATH".into(), "/bin".into())]),
        algorithm: Algorithm::Maglev { size: MaglevSize::new(1009).unwrap(), names: seat_names(&[]) },
        ..ServiceSettings::named("envoy")
    };
    let expected = Settings {
        listen: Some("0.0.0.0:80".parse().unwrap()),
        is_http2: false,
        listeners: vec![full_listener(), full_redirecting_listener()],
        redirects: vec![full_redirect()],
        admin: "unix:/run/evenkeel/admin.sock".parse().unwrap(),
        workers: 2,
        state_dir: Some(PathBuf::from("/var/lib/evenkeel")),
        owner: Some("shop:1".into()),
        admin_hosts: vec!["balancer.example.org".into()],
        admin_token: Some(PathBuf::from("/etc/evenkeel/admin.token")),
        admin_view_token: Some(PathBuf::from("view.token")),
        reserved_names: vec!["db".into(), "cache.internal".into()],
        contract: true,
        contract_from: ["127.0.0.0/8", "::1/128", "192.0.2.7/32"]
            .map(|network| ContractSource::Network(network.parse().unwrap()))
            .into_iter()
            .chain([ContractSource::Gateway])
            .collect(),
        clients: full_clients(),
        connections_max: Some(5000),
        requests_max: Some(4000),
        memory_max: Some(16 << 20),
        access_log: Some(full_access_log()),
        services: vec![full_web(), old, envoy, full_jobs()],
    };
    assert_eq!(accept(FULL), expected);
}
