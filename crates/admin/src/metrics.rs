//! The metrics page: what the fleets are and what the data plane counted, in OpenMetrics text.

use std::fmt;

use control::Handle;
use fleet::FleetView;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// What the data plane counted for one service since the start.
#[derive(Clone, Debug, Default)]
pub struct ServiceTraffic {
    /// The service's name.
    pub service: String,
    /// Responses by the first digit of their status.
    pub responses: [u64; 6],
    /// Requests sent to replicas.
    pub attempts: u64,
    /// Requests sent again after a failure.
    pub replays: u64,
    /// Times that a replica died or broke off while it had a request.
    pub losses: u64,
    /// Requests that waited for a replica, or for a place within a limit.
    pub waits: u64,
    /// Requests that met a limit, by its name.
    pub limited: Vec<(&'static str, u64)>,
    /// Requests that ended with an answer of ours.
    pub unserved: u64,
}

/// What a policy did with requests since the start.
#[derive(Clone, Debug)]
pub struct PolicyCount {
    /// The service that they were for; empty where none is.
    pub service: String,
    /// Which policy.
    pub policy: &'static str,
    /// What it did.
    pub outcome: &'static str,
    /// How often.
    pub count: u64,
}

/// What the data plane counted since the start.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Of each service.
    pub services: Vec<ServiceTraffic>,
    /// Lines that the access log lost; nothing if there is no access log.
    pub access_log_dropped_lines: Option<u64>,
    /// Connections of clients that each worker has now.
    pub connections: Vec<usize>,
    /// What clients make the balancer keep, in bytes, and the most that it may be.
    pub memory: Option<(u64, u64)>,
    /// How often which defence against strangers was needed.
    pub defences: Vec<(&'static str, u64)>,
    /// Requests that were refused before any service had them, by reason.
    pub refusals: Vec<(&'static str, u64)>,
    /// What policies did with requests.
    pub policies: Vec<PolicyCount>,
    /// Connections that came to nothing before their first request, by reason.
    pub failed_handshakes: Vec<(&'static str, u64)>,
    /// Connections to replicas now, as far as they are counted.
    pub replica_connections: Option<usize>,
}

/// Reads the counters of this moment. The admin API does not know the proxy; the program connects them.
pub type TrafficSource = Box<dyn Fn() -> Traffic + Send + Sync>;

struct Snapshot {
    fleets: Vec<(String, FleetView)>,
    ejections: Vec<(String, Vec<(&'static str, u64)>)>,
    traffic: Traffic,
}

/// The page.
pub(crate) fn page(services: &[Handle], traffic: &TrafficSource) -> String {
    let fleets = services.iter().map(|handle| (handle.service().to_string(), handle.view().fleet.clone()));
    let ejections =
        services.iter().map(|handle| (handle.service().to_string(), handle.view().ejections.by_kind()));
    let snapshot = Snapshot { fleets: fleets.collect(), ejections: ejections.collect(), traffic: traffic() };
    let mut registry = Registry::with_prefix("evenkeel");
    registry.register_collector(Box::new(snapshot));
    let mut page = String::new();
    if prometheus_client::encoding::text::encode(&mut page, &registry).is_err() {
        tracing::error!("the metrics could not be written");
    }
    page
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

/// A figure of a fleet, as it is now.
struct Gauge {
    name: &'static str,
    help: &'static str,
    read: fn(&FleetView) -> usize,
}

const GAUGES: [Gauge; 5] = [
    Gauge { name: "replicas_desired", help: "Replicas that should run", read: |view| view.replicas.len() },
    Gauge { name: "replicas_ready", help: "Replicas that take traffic", read: FleetView::ready },
    Gauge {
        name: "replicas_crash_looping",
        help: "Replicas that do not serve because lives keep failing in their seats",
        read: FleetView::crash_looping,
    },
    Gauge {
        name: "spares_desired",
        help: "Spares that should be held ready",
        read: |view| view.spares.len(),
    },
    Gauge { name: "spares_ready", help: "Spares that could take a seat now", read: FleetView::spares_ready },
];

/// Something of a service that was counted since the start.
struct Counter {
    name: &'static str,
    help: &'static str,
    read: fn(&ServiceTraffic) -> u64,
}

const COUNTERS: [Counter; 5] = [
    Counter { name: "attempts", help: "Requests sent to replicas", read: |traffic| traffic.attempts },
    Counter { name: "replays", help: "Requests sent again after a failure", read: |traffic| traffic.replays },
    Counter {
        name: "losses",
        help: "Times that a replica died or broke off while it had a request",
        read: |traffic| traffic.losses,
    },
    Counter {
        name: "waits",
        help: "Requests that waited for a replica or in line for a limit",
        read: |traffic| traffic.waits,
    },
    Counter {
        name: "unserved",
        help: "Requests that ended with an answer of our own, because no replica gave one",
        read: |traffic| traffic.unserved,
    },
];

/// What is counted for no service, by kind.
struct Kinds {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    read: fn(&Traffic) -> &[(&'static str, u64)],
}

const KINDS: &[Kinds] = &[
    Kinds {
        name: "defences",
        help: "What clients tried and was cut short, by kind",
        label: "kind",
        read: |traffic| &traffic.defences,
    },
    Kinds {
        name: "refused_requests",
        help: "Requests that were refused before any service had them, by reason",
        label: "reason",
        read: |traffic| &traffic.refusals,
    },
    Kinds {
        name: "failed_handshakes",
        help: "Connections that came to nothing before their first request, by reason",
        label: "reason",
        read: |traffic| &traffic.failed_handshakes,
    },
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Gauge { name, help, read } in GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (service, view) in &self.fleets {
                let value = ConstGauge::new(read(view) as i64);
                value.encode(metric.encode_family(&[("service", service.as_str())])?)?;
            }
        }
        for Counter { name, help, read } in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for traffic in &self.traffic.services {
                let value = ConstCounter::new(read(traffic));
                value.encode(metric.encode_family(&[("service", traffic.service.as_str())])?)?;
            }
        }
        self.encode_responses(&mut encoder)?;
        self.encode_limited(&mut encoder)?;
        self.encode_policies(&mut encoder)?;
        self.encode_ejections(&mut encoder)?;
        if let Some(lines) = self.traffic.access_log_dropped_lines {
            let (name, help) = ("access_log_dropped_lines", "Lines that the access log lost");
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(lines).encode(metric)?;
        }
        self.encode_connections(&mut encoder)?;
        self.encode_memory(&mut encoder)?;
        for Kinds { name, help, label, read } in KINDS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (kind, count) in read(&self.traffic) {
                ConstCounter::new(*count).encode(metric.encode_family(&[(*label, *kind)])?)?;
            }
        }
        Ok(())
    }
}

impl Snapshot {
    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Connections of clients, by worker";
        let mut metric = encoder.encode_descriptor("connections", help, None, MetricType::Gauge)?;
        for (worker, count) in self.traffic.connections.iter().enumerate() {
            let worker = worker.to_string();
            ConstGauge::new(*count as i64).encode(metric.encode_family(&[("worker", worker.as_str())])?)?;
        }
        if let Some(count) = self.traffic.replica_connections {
            let (name, help) = ("replica_connections", "Connections to replicas, idle ones included");
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(count as i64).encode(metric)?;
        }
        Ok(())
    }

    fn encode_limited(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Requests that met a limit and waited in line or were turned away, by limit";
        let mut metric = encoder.encode_descriptor("limited", help, None, MetricType::Counter)?;
        for traffic in &self.traffic.services {
            for (limit, count) in &traffic.limited {
                let labels = [("service", traffic.service.as_str()), ("limit", *limit)];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// What never happened has no line: most policies are those of few services.
    fn encode_policies(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Requests that a policy has answered or changed, by policy and by what it did";
        let mut metric = encoder.encode_descriptor("policies", help, None, MetricType::Counter)?;
        for counted in self.traffic.policies.iter().filter(|counted| counted.count > 0) {
            let labels = [
                ("service", counted.service.as_str()),
                ("policy", counted.policy),
                ("outcome", counted.outcome),
            ];
            ConstCounter::new(counted.count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_memory(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some((kept, limit)) = self.traffic.memory else { return Ok(()) };
        for (name, help, bytes) in [
            ("memory_kept_bytes", "What clients make the balancer keep", kept),
            ("memory_limit_bytes", "The most that it may be", limit),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX)).encode(metric)?;
        }
        Ok(())
    }

    fn encode_ejections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Replicas taken out of the routing table for their health, by what was seen first";
        let mut metric = encoder.encode_descriptor("ejections", help, None, MetricType::Counter)?;
        for (service, kinds) in &self.ejections {
            for (kind, count) in kinds {
                let labels = [("service", service.as_str()), ("kind", *kind)];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_responses(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Responses to clients, by class of status";
        let mut metric = encoder.encode_descriptor("responses", help, None, MetricType::Counter)?;
        for traffic in &self.traffic.services {
            for (class, count) in traffic.responses.iter().enumerate().skip(1) {
                let class = format!("{class}xx");
                let labels = [("service", traffic.service.as_str()), ("class", class.as_str())];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
