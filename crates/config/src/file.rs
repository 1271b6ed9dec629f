//! The shape of the configuration file: which keys each table has and which type their values
//! are of. Nothing is required here, no default is known, and no value is interpreted.

mod clients;

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::problem::{Problems, Span, Wrong};
use super::reader::{DURATION, FLAG, Given, Level, NUMBER, Reader, SIZE, TEXT, WHOLE};
pub(crate) use clients::{
    AccessLogTable, CertificateTable, LimitsTable, ListenerTable, TimeoutsTable, TlsTable,
};

const LEVELS: [Level; 13] = [
    Level {
        title: "the top of the file",
        keys: &[
            "listen",
            "listener",
            "admin",
            "workers",
            "state_dir",
            "owner",
            "contract",
            "request_id",
            "trusted_proxies",
            "limits",
            "timeouts",
            "access_log",
            "service",
        ],
    },
    Level {
        title: "[[service]]",
        keys: &[
            "name",
            "host",
            "path",
            "replicas",
            "driver",
            "image",
            "command",
            "addresses",
            "port",
            "socket",
            "network",
            "publish",
            "memory",
            "cpus",
            "env",
            "key",
            "algorithm",
            "weights",
            "slots",
            "virtual",
            "probe",
            "hash",
            "seat_choice",
            "layout",
            "table_size",
            "seat_names",
            "load_factor",
            "server_id",
            "start_timeout",
            "max_replicas",
            "spares",
            "stop_timeout",
            "stop_signal",
            "on_exit",
            "protocol",
            "heartbeat",
            "responses",
            "drain",
            "deploy",
            "timeouts",
        ],
    },
    Level { title: "[service.heartbeat]", keys: &["path", "every", "timeout", "misses", "rise"] },
    Level { title: "[service.drain]", keys: &["deadline"] },
    Level { title: "[service.timeouts]", keys: &["connect", "response", "idle", "request", "upgrade_idle"] },
    Level { title: "[[listener]]", keys: &["address", "proxy_protocol", "tls"] },
    Level {
        title: "[listener.tls]",
        keys: &["certificates", "client_authority", "client_certificate", "oldest_version", "http2"],
    },
    Level { title: "an entry of `certificates`", keys: &["certificate", "key"] },
    Level {
        title: "[limits]",
        keys: &[
            "connections",
            "request_line",
            "head",
            "headers",
            "requests_per_connection",
            "replay_body",
            "underscores",
        ],
    },
    Level { title: "[timeouts]", keys: &["head", "idle", "body_grace", "body_rate", "write"] },
    Level { title: "[access_log]", keys: &["format", "to"] },
    Level { title: "[service.responses]", keys: &["failures", "slow_factor", "ejection"] },
    Level { title: "[service.deploy]", keys: &["at_once", "bake"] },
];
const TOP: usize = 0;
const SERVICE: usize = 1;
const HEARTBEAT: usize = 2;
const DRAIN: usize = 3;
const SERVICE_TIMEOUTS: usize = 4;
const LISTENER: usize = 5;
const TLS: usize = 6;
const CERTIFICATE: usize = 7;
const LIMITS: usize = 8;
const TIMEOUTS: usize = 9;
const ACCESS_LOG: usize = 10;
const ANSWERS: usize = 11;
const DEPLOY: usize = 12;

type Text = Option<Given<String>>;
type Texts = Option<Given<Vec<Given<String>>>>;
type Whole = Option<Given<i128>>;
type Wholes = Option<Given<Vec<Given<i128>>>>;
type Number = Option<Given<f64>>;
type Flag = Option<Given<bool>>;

/// The whole file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) listen: Text,
    pub(crate) admin: Text,
    pub(crate) workers: Whole,
    pub(crate) state_dir: Text,
    pub(crate) owner: Text,
    pub(crate) contract: Flag,
    pub(crate) request_id: Flag,
    pub(crate) trusted_proxies: Texts,
    pub(crate) listeners: Option<Vec<ListenerTable>>,
    pub(crate) limits: LimitsTable,
    pub(crate) timeouts: TimeoutsTable,
    pub(crate) access_log: Option<AccessLogTable>,
    pub(crate) services: Option<Vec<ServiceTable>>,
}

/// One `[[service]]`.
#[derive(Debug)]
pub(crate) struct ServiceTable {
    /// Where its header is.
    pub(crate) at: Span,
    /// Where its keys are, also those whose values are of a wrong type.
    pub(crate) keys: BTreeMap<String, Span>,
    pub(crate) name: Text,
    pub(crate) host: Text,
    pub(crate) path: Text,
    pub(crate) replicas: Whole,
    pub(crate) driver: Text,
    pub(crate) image: Text,
    pub(crate) command: Texts,
    pub(crate) addresses: Texts,
    pub(crate) port: Whole,
    pub(crate) socket: Flag,
    pub(crate) network: Text,
    pub(crate) publish: Flag,
    pub(crate) memory: Text,
    pub(crate) cpus: Number,
    pub(crate) env: Vec<Given<String>>,
    pub(crate) key: Text,
    pub(crate) algorithm: Text,
    pub(crate) weights: Wholes,
    pub(crate) slots: Whole,
    pub(crate) virtual_servers: Whole,
    pub(crate) probe: Text,
    pub(crate) hash: Text,
    pub(crate) seat_choice: Text,
    pub(crate) layout: Text,
    pub(crate) table_size: Whole,
    pub(crate) seat_names: Texts,
    pub(crate) load_factor: Number,
    pub(crate) server_id: Text,
    pub(crate) start_timeout: Text,
    pub(crate) max_replicas: Whole,
    pub(crate) spares: Whole,
    pub(crate) stop_timeout: Text,
    pub(crate) stop_signal: Text,
    pub(crate) on_exit: Text,
    pub(crate) protocol: Text,
    pub(crate) heartbeat: HeartbeatTable,
    pub(crate) responses: ResponsesTable,
    pub(crate) drain_deadline: Text,
    pub(crate) deploy: DeployTable,
    pub(crate) timeouts: ServiceTimeoutsTable,
}

/// `[service.heartbeat]`.
#[derive(Debug, Default)]
pub(crate) struct HeartbeatTable {
    pub(crate) path: Text,
    pub(crate) every: Text,
    pub(crate) timeout: Text,
    pub(crate) misses: Whole,
    pub(crate) rise: Whole,
}

/// `[service.responses]`.
#[derive(Debug, Default)]
pub(crate) struct ResponsesTable {
    pub(crate) failures: Whole,
    pub(crate) slow_factor: Number,
    pub(crate) ejection: Text,
}

/// `[service.deploy]`.
#[derive(Debug, Default)]
pub(crate) struct DeployTable {
    pub(crate) at_once: Whole,
    pub(crate) bake: Text,
}

/// `[service.timeouts]`.
#[derive(Debug, Default)]
pub(crate) struct ServiceTimeoutsTable {
    pub(crate) connect: Text,
    pub(crate) response: Text,
    pub(crate) idle: Text,
    pub(crate) request: Text,
    pub(crate) upgrade_idle: Text,
}

impl File {
    /// The file's values, as far as they have their places and types; nothing if the text is no
    /// TOML. What is wrong is noted.
    pub(crate) fn read(text: &str, problems: &mut Problems<'_>) -> Option<Self> {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            problems.add(error.span().as_ref(), Wrong::new(one_line(error.message())));
        }
        // Where the syntax is broken, what was recovered is a guess that misleads.
        if !errors.is_empty() {
            return None;
        }
        let mut reader = Reader::new(document.get_ref(), (&LEVELS, TOP), problems);
        let services = reader
            .take_tables("service", "begin each with the header [[service]]")
            .map(|tables| tables.into_iter().map(|table| ServiceTable::read(&table, &mut reader)).collect());
        Some(Self {
            listen: reader.take("listen", &TEXT),
            admin: reader.take("admin", &TEXT),
            workers: reader.take("workers", &WHOLE),
            state_dir: reader.take("state_dir", &TEXT),
            owner: reader.take("owner", &TEXT),
            contract: reader.take("contract", &FLAG),
            request_id: reader.take("request_id", &FLAG),
            trusted_proxies: reader.take_list("trusted_proxies", &TEXT, "trusted_proxies = [\"10.0.0.0/8\"]"),
            listeners: ListenerTable::read_all(&mut reader),
            limits: LimitsTable::read(&mut reader),
            timeouts: TimeoutsTable::read(&mut reader),
            access_log: AccessLogTable::read(&mut reader),
            services,
        })
    }
}

impl ServiceTable {
    fn read<'d>(table: &Given<&'d DeTable<'d>>, top: &mut Reader<'d, '_, '_>) -> Self {
        let mut reader = top.inner(table.value, (&LEVELS, SERVICE));
        Self {
            at: table.at.clone(),
            keys: reader.keys().into_iter().collect(),
            name: reader.take("name", &TEXT),
            host: reader.take("host", &TEXT),
            path: reader.take("path", &TEXT),
            replicas: reader.take("replicas", &WHOLE),
            driver: reader.take("driver", &TEXT),
            image: reader.take("image", &TEXT),
            command: reader.take_list("command", &TEXT, "command = [\"./server\", \"--port\", \"{port}\"]"),
            addresses: reader.take_list("addresses", &TEXT, "addresses = [\"127.0.0.1:9001\"]"),
            port: reader.take("port", &WHOLE),
            socket: reader.take("socket", &FLAG),
            network: reader.take("network", &TEXT),
            publish: reader.take("publish", &FLAG),
            memory: reader.take("memory", &SIZE),
            cpus: reader.take("cpus", &NUMBER),
            env: reader.take_pairs("env"),
            key: reader.take("key", &TEXT),
            algorithm: reader.take("algorithm", &TEXT),
            weights: reader.take_list("weights", &WHOLE, "weights = [1, 2, 1]"),
            slots: reader.take("slots", &WHOLE),
            virtual_servers: reader.take("virtual", &WHOLE),
            probe: reader.take("probe", &TEXT),
            hash: reader.take("hash", &TEXT),
            seat_choice: reader.take("seat_choice", &TEXT),
            layout: reader.take("layout", &TEXT),
            table_size: reader.take("table_size", &WHOLE),
            seat_names: reader.take_list("seat_names", &TEXT, "seat_names = [\"10.0.0.1:80\"]"),
            load_factor: reader.take("load_factor", &NUMBER),
            server_id: reader.take("server_id", &TEXT),
            start_timeout: reader.take("start_timeout", &DURATION),
            max_replicas: reader.take("max_replicas", &WHOLE),
            spares: reader.take("spares", &WHOLE),
            stop_timeout: reader.take("stop_timeout", &DURATION),
            stop_signal: reader.take("stop_signal", &TEXT),
            on_exit: reader.take("on_exit", &TEXT),
            protocol: reader.take("protocol", &TEXT),
            heartbeat: HeartbeatTable::read(&mut reader),
            responses: ResponsesTable::read(&mut reader),
            drain_deadline: read_drain_deadline(&mut reader),
            deploy: DeployTable::read(&mut reader),
            timeouts: ServiceTimeoutsTable::read(&mut reader),
        }
    }
}

impl ServiceTable {
    /// Whether its replicas are to listen on Unix sockets.
    pub(crate) fn has_sockets(&self) -> bool {
        self.socket.as_ref().is_some_and(|given| given.value)
    }
}

impl HeartbeatTable {
    fn read(service: &mut Reader<'_, '_, '_>) -> Self {
        let Some(table) = service.take_table("heartbeat") else { return Self::default() };
        let mut reader = service.inner(table.value, (&LEVELS, HEARTBEAT));
        Self {
            path: reader.take("path", &TEXT),
            every: reader.take("every", &DURATION),
            timeout: reader.take("timeout", &DURATION),
            misses: reader.take("misses", &WHOLE),
            rise: reader.take("rise", &WHOLE),
        }
    }
}

impl ResponsesTable {
    fn read(service: &mut Reader<'_, '_, '_>) -> Self {
        let Some(table) = service.take_table("responses") else { return Self::default() };
        let mut reader = service.inner(table.value, (&LEVELS, ANSWERS));
        Self {
            failures: reader.take("failures", &WHOLE),
            slow_factor: reader.take("slow_factor", &NUMBER),
            ejection: reader.take("ejection", &DURATION),
        }
    }
}

impl DeployTable {
    fn read(service: &mut Reader<'_, '_, '_>) -> Self {
        let Some(table) = service.take_table("deploy") else { return Self::default() };
        let mut reader = service.inner(table.value, (&LEVELS, DEPLOY));
        Self { at_once: reader.take("at_once", &WHOLE), bake: reader.take("bake", &DURATION) }
    }
}

impl ServiceTimeoutsTable {
    fn read(service: &mut Reader<'_, '_, '_>) -> Self {
        let Some(table) = service.take_table("timeouts") else { return Self::default() };
        let mut reader = service.inner(table.value, (&LEVELS, SERVICE_TIMEOUTS));
        Self {
            connect: reader.take("connect", &DURATION),
            response: reader.take("response", &DURATION),
            idle: reader.take("idle", &DURATION),
            request: reader.take("request", &DURATION),
            upgrade_idle: reader.take("upgrade_idle", &DURATION),
        }
    }
}

fn read_drain_deadline(service: &mut Reader<'_, '_, '_>) -> Text {
    let table = service.take_table("drain")?;
    service.inner(table.value, (&LEVELS, DRAIN)).take("deadline", &DURATION)
}

/// The parser's message, which may have several lines, as one.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}
