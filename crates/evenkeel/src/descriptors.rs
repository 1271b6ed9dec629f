//! Open descriptors: as many as the system allows, and how many connections of clients they carry.

use config::CONNECTIONS_MAX;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything but connections of clients and to replicas.
const RESERVE: u64 = 64;
/// With fewer connections than this, nothing works.
const CONNECTIONS_MIN: usize = 16;

/// Raises the limit of this process as far as it goes; returns it, if there is one.
pub(crate) fn raise_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open descriptors");
    }
    getrlimit(Resource::Nofile).current
}

/// The most connections of clients: what was asked for, or else what the descriptors carry.
pub(crate) fn connections_max(asked_for: Option<usize>, descriptors: Option<u64>) -> usize {
    let carried = carried(descriptors);
    if let (Some(asked_for), Some(descriptors)) = (asked_for, descriptors)
        && asked_for > carried
    {
        tracing::warn!(
            "limits.connections is {asked_for}, but {descriptors} open descriptors carry only {carried} \
             connections of clients; raise the limit (ulimit -n, or LimitNOFILE of systemd)"
        );
    }
    asked_for.unwrap_or(carried)
}

/// Each connection of a client may need another one to a replica.
fn carried(descriptors: Option<u64>) -> usize {
    let connections = descriptors.map_or(u64::MAX, |count| count.saturating_sub(RESERVE) / 2);
    let connections = connections.min(u64::from(CONNECTIONS_MAX));
    usize::try_from(connections).unwrap_or(usize::MAX).max(CONNECTIONS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptors_carry_a_connection_unless_another_number_is_asked_for() {
        let cases = [(1024, 480), (1_048_576, 524_256), (70, 16), (0, 16), (1 << 40, 1_000_000)];
        for (descriptors, connections) in cases {
            assert_eq!(connections_max(None, Some(descriptors)), connections, "{descriptors}");
        }
        assert_eq!(connections_max(None, None), 1_000_000);
        assert_eq!(connections_max(Some(5000), Some(1024)), 5000);
    }
}
