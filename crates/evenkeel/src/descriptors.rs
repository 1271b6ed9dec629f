//! Open descriptors: as many as the system allows, and who gets them. A reserve is nobody's but our own: what
//! clients and requests take, they take from the rest.

use std::sync::OnceLock;

use config::{CONNECTIONS_MAX, DriverChoice, Settings};
use rustix::process::{Resource, getrlimit, setrlimit};

/// For ourselves: standard streams, logs, the state, the runtimes of control and heartbeats, the engine.
const RESERVE_BASE: u64 = 32;
/// For connections to the admin API.
const RESERVE_ADMIN: u64 = 64;
/// For a worker's runtime.
const RESERVE_PER_WORKER: u64 = 6;
/// For a listener in a worker: its socket, and a client that was accepted and waits for its place.
const RESERVE_PER_DOOR: u64 = 2;
/// For a replica: what watches its process or container, what it says, its heartbeat, and as much again for
/// a successor that begins while it ends.
const RESERVE_PER_REPLICA: u64 = 6;
/// For a thread that reads files: one that nobody waits for any more, and while one is looked for, its folder and
/// what lies beside it.
const RESERVE_PER_READER: u64 = 4;
/// Where the system allows very few, the reserve takes this part of them.
const RESERVE_PART_MAX: u64 = 2;
/// How many connections of clients there are to one pipe of a worker, and the most pipes of it.
const CLIENTS_PER_PIPE: u64 = 32;
const PIPES_MAX: u64 = 128;
/// With fewer connections than this, nothing works.
const CONNECTIONS_MIN: u64 = 16;

/// How many connections and requests there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Connections of clients.
    pub(crate) clients: usize,
    /// Connections to replicas.
    pub(crate) replicas: usize,
    /// Requests under way.
    pub(crate) requests: usize,
}

/// What is known of the configuration where descriptors are divided.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    workers: u64,
    listeners: u64,
    /// The most replicas of all services.
    replicas: u64,
    /// The threads of a worker that read files, itself among them, if any service has files.
    readers: u64,
    clients: Option<u64>,
    requests: Option<u64>,
}

/// What it was before it was raised. A process has one limit.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the limit of this process as far as it goes; returns it, if there is one.
pub(crate) fn raise_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if let Some(before) = limit.current {
        BEFORE.get_or_init(|| before);
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open descriptors");
    }
    getrlimit(Resource::Nofile).current
}

/// What the limit was before it was raised for us: what replicas get, for which many descriptors may be a trap
/// (`select`, and those who close all that they could have).
pub(crate) fn limit_before() -> Option<u64> {
    BEFORE.get().copied()
}

/// Lowers the limit of this process to what it was.
pub(crate) fn restore_limit(before: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(before);
    // It can be lowered always; where it was lowered otherwise meanwhile, it stays so.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Divides the descriptors that the system allows. Says so where that is less than was asked for.
pub(crate) fn divide(settings: &Settings, descriptors: Option<u64>) -> Budget {
    let needs = Needs::of(settings);
    let budget = needs.divide(descriptors);
    let Some(descriptors) = descriptors else { return budget };
    if needs.reserve() > descriptors / RESERVE_PART_MAX {
        tracing::warn!(
            "{} open descriptors are few: half of them are kept for the balancer itself, which would need {} if all \
             services had as many replicas as they may (max_replicas); raise the limit (ulimit -n, or LimitNOFILE \
             of systemd)",
            descriptors,
            needs.reserve()
        );
    }
    for (key, asked_for, carried, of) in [
        ("limits.connections", needs.clients, budget.clients, "connections of clients"),
        ("limits.requests", needs.requests, budget.requests, "requests, each with a connection to a replica"),
    ] {
        if let Some(asked_for) = asked_for.filter(|asked_for| *asked_for > carried as u64) {
            tracing::warn!(
                "{key} is {asked_for}, but {descriptors} open descriptors carry only {carried} {of}, which is the \
                 limit now; raise that of the system (ulimit -n, or LimitNOFILE of systemd)"
            );
        }
    }
    budget
}

impl Needs {
    fn of(settings: &Settings) -> Self {
        let replicas = settings.services.iter().map(|service| match &service.driver {
            DriverChoice::Static { addresses } => addresses.len() as u64,
            DriverChoice::Files { .. } => 0,
            DriverChoice::Process { .. } | DriverChoice::Docker { .. } => {
                u64::from(service.max_replicas) + u64::from(service.spares)
            }
        });
        let has_files =
            |service: &config::ServiceSettings| matches!(service.driver, DriverChoice::Files { .. });
        let has_files = settings.services.iter().any(has_files);
        Self {
            workers: settings.workers as u64,
            listeners: settings.all_listeners().len() as u64,
            replicas: replicas.sum(),
            readers: if has_files { proxy::FILE_READERS_MAX as u64 + 1 } else { 0 },
            clients: settings.connections_max.map(|most| most as u64),
            requests: settings.requests_max.map(|most| most as u64),
        }
    }

    /// What the balancer may need for itself.
    fn reserve(&self) -> u64 {
        let of_worker =
            RESERVE_PER_WORKER + RESERVE_PER_DOOR * self.listeners + RESERVE_PER_READER * self.readers;
        RESERVE_BASE + RESERVE_ADMIN + self.workers * of_worker + RESERVE_PER_REPLICA * self.replicas
    }

    fn divide(&self, descriptors: Option<u64>) -> Budget {
        let Some(descriptors) = descriptors else {
            let clients = count(self.clients.unwrap_or(u64::from(CONNECTIONS_MAX)));
            return Budget {
                clients,
                replicas: usize::MAX,
                requests: self.requests.map_or(usize::MAX, count),
            };
        };
        let left = descriptors - self.reserve().min(descriptors / RESERVE_PART_MAX);
        // Those who ask for many clients leave a quarter of the descriptors to their requests.
        let most = left / 4 * 3;
        let least = self.clients.map_or(CONNECTIONS_MIN, |asked_for| asked_for.min(CONNECTIONS_MIN));
        let clients = self.clients.map_or(left / 2, |asked_for| asked_for.min(most)).max(least);
        let clients = clients.min(u64::from(CONNECTIONS_MAX));
        // A pipe has two ends.
        let pipes = self.workers * 2 * (clients / CLIENTS_PER_PIPE).clamp(1, PIPES_MAX);
        let replicas = left.saturating_sub(clients + pipes).max(CONNECTIONS_MIN);
        let requests = self.requests.map_or(replicas, |asked_for| asked_for.min(replicas));
        Budget { clients: count(clients), replicas: count(replicas), requests: count(requests) }
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_WORKERS: Needs =
        Needs { workers: 2, listeners: 1, replicas: 10, readers: 0, clients: None, requests: None };

    #[test]
    fn clients_and_requests_take_what_the_reserve_leaves() {
        // The reserve of two workers and ten replicas is 172.
        for (descriptors, clients, replicas, requests) in [
            (1024, 426, 374, 374),
            (1_048_576, 524_202, 523_690, 523_690),
            (256, 64, 56, 56),
            (64, 16, 16, 16),
            (0, 16, 16, 16),
        ] {
            let budget = Budget { clients, replicas, requests };
            assert_eq!(TWO_WORKERS.divide(Some(descriptors)), budget, "{descriptors}");
        }
    }

    #[test]
    fn who_asks_for_more_than_there_is_gets_what_there_is() {
        for (asked_for, clients, replicas, requests) in [
            ((Some(100), Some(50)), 100, 740, 50),
            ((Some(5000), Some(5000)), 639, 137, 137),
            ((Some(1), None), 1, 847, 847),
        ] {
            let needs = Needs { clients: asked_for.0, requests: asked_for.1, ..TWO_WORKERS };
            assert_eq!(needs.divide(Some(1024)), Budget { clients, replicas, requests }, "{asked_for:?}");
        }
    }

    #[test]
    fn whatever_is_asked_for_the_reserve_stays() {
        for descriptors in [200, 256, 1000, 4096, 100_000] {
            for clients in [None, Some(1), Some(descriptors), Some(1_000_000)] {
                let needs = Needs { clients, ..TWO_WORKERS };
                let budget = needs.divide(Some(descriptors));
                let pipes = 2 * 2 * (budget.clients / 32).clamp(1, 128);
                let taken = (budget.clients + budget.replicas + pipes) as u64;
                let reserve = needs.reserve().min(descriptors / 2);
                assert!(taken + reserve <= descriptors, "{descriptors} {clients:?}: {budget:?}");
            }
        }
    }

    #[test]
    fn without_a_limit_nothing_is_divided() {
        let budget = Budget { clients: 1_000_000, replicas: usize::MAX, requests: usize::MAX };
        assert_eq!(TWO_WORKERS.divide(None), budget);
        let needs = Needs { requests: Some(7), ..TWO_WORKERS };
        assert_eq!(needs.divide(None), Budget { requests: 7, ..budget });
    }
}
