//! From the engine's responses to what the fleet wants to know of a replica.
//!
//! Pure. Owns where in a response an address, a state or an exit code stands.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as State, ContainerSummary,
    ContainerSummaryStateEnum as SummaryState, EndpointSettings,
};
use fleet::{Address, Exit, Life, ReplicaName};

use super::proof::own_name;
use super::settings::DockerSettings;
use super::{create, labels};

/// Codes from 129 to 192 stand for an end by signal 1 to 64.
const SIGNAL_CODE_BASE: i64 = 128;
const SIGNAL_MAX: i64 = 64;
const SIGKILL: i32 = 9;

/// How a container looks from here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// It runs and can be reached.
    Running { address: Address, is_paused: bool },
    /// It does not run, or not any more.
    Over,
    /// It runs, but has no address to reach it by: its network was taken from it.
    NowhereToReach,
}

/// Which container is which replica.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: String,
    /// What commands of the engine call it now; whoever may use the engine can rename it.
    pub(super) called: String,
    pub(super) life: Life,
    /// What the replica was called when it was started.
    pub(super) name: ReplicaName,
}

/// Which replica a container is, if it says so.
pub(super) fn identity(summary: &ContainerSummary) -> Option<Identity> {
    let labels = summary.labels.as_ref();
    let life = labels.and_then(labels::life);
    let name = labels.and_then(|labels| ReplicaName::parse(labels.get(labels::NAME)?).ok());
    match (&summary.id, own_name(summary), life, name) {
        (Some(id), Some(called), Some(life), Some(name)) => {
            Some(Identity { id: id.clone(), called: called.to_owned(), life, name })
        }
        (id, _, _, _) => {
            let id = id.as_deref().unwrap_or("without id");
            tracing::warn!(container = id, "skipping a container with our owner label but unreadable others");
            None
        }
    }
}

/// What a line of the engine's list says.
pub(super) fn sighting_of_summary(summary: &ContainerSummary, settings: &DockerSettings) -> Sighting {
    let is_paused = match summary.state {
        Some(SummaryState::RUNNING | SummaryState::STOPPING) => false,
        Some(SummaryState::PAUSED) => true,
        // We never ask the engine to restart anything, so a container that it restarts has ended;
        // one that it removes has, too.
        Some(
            SummaryState::EXITED
            | SummaryState::DEAD
            | SummaryState::CREATED
            | SummaryState::RESTARTING
            | SummaryState::REMOVING
            | SummaryState::EMPTY,
        )
        | None => return Sighting::Over,
    };
    let published = || {
        let ports = summary.ports.iter().flatten();
        let ours = ports.filter(|port| port.private_port == settings.port);
        ours.filter_map(|port| loopback(port.ip.as_deref(), port.public_port)).next()
    };
    let attached = || {
        let networks = summary.network_settings.as_ref()?.networks.as_ref()?;
        address_on(networks.get(&settings.network)?, settings.port)
    };
    sighting(if settings.publish { published() } else { attached() }, is_paused)
}

/// What a closer look says.
pub(super) fn sighting_of_inspect(
    inspected: &ContainerInspectResponse,
    settings: &DockerSettings,
) -> Sighting {
    let is_paused = match inspected.state.as_ref().and_then(|state| state.status) {
        Some(State::RUNNING | State::STOPPING) => false,
        Some(State::PAUSED) => true,
        Some(
            State::EXITED | State::DEAD | State::CREATED | State::RESTARTING | State::REMOVING | State::EMPTY,
        )
        | None => return Sighting::Over,
    };
    let address = || {
        let network = inspected.network_settings.as_ref()?;
        if settings.publish {
            let bindings = network.ports.as_ref()?.get(&create::port_key(settings.port))?.as_ref()?;
            return bindings.iter().find_map(|binding| {
                loopback(binding.host_ip.as_deref(), binding.host_port.as_ref()?.parse().ok())
            });
        }
        address_on(network.networks.as_ref()?.get(&settings.network)?, settings.port)
    };
    sighting(address(), is_paused)
}

fn sighting(address: Option<SocketAddr>, is_paused: bool) -> Sighting {
    let running = |address: SocketAddr| Sighting::Running { address: address.into(), is_paused };
    address.map_or(Sighting::NowhereToReach, running)
}

fn loopback(ip: Option<&str>, port: Option<u16>) -> Option<SocketAddr> {
    let is_loopback = ip?.parse::<IpAddr>().ok()?.is_loopback();
    let port = port.filter(|port| *port != 0)?;
    is_loopback.then(|| (Ipv4Addr::LOCALHOST, port).into())
}

fn address_on(endpoint: &EndpointSettings, port: u16) -> Option<SocketAddr> {
    let addresses = [&endpoint.ip_address, &endpoint.global_ipv6_address];
    let address: IpAddr = addresses.into_iter().flatten().find_map(|text| text.parse().ok())?;
    Some((address, port).into())
}

/// Whether a container is not well by the healthcheck of its image, as all versions of the engine tell it.
pub(super) fn is_unhealthy(summary: &ContainerSummary) -> bool {
    summary.status.as_ref().is_some_and(|status| status.ends_with("(unhealthy)"))
}

/// Whether a container is paused.
pub(super) fn is_paused(inspected: &ContainerInspectResponse) -> bool {
    inspected.state.as_ref().and_then(|state| state.paused).unwrap_or(false)
}

/// The number of a container's first process, as the engine's host counts.
pub(super) fn pid(inspected: &ContainerInspectResponse) -> Option<i32> {
    let pid = inspected.state.as_ref()?.pid?;
    i32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// How a container ended. One that never ran has no code.
pub(super) fn exit_of_inspect(inspected: &ContainerInspectResponse) -> Exit {
    let Some(state) = &inspected.state else { return Exit::default() };
    match state.status {
        Some(State::EXITED | State::DEAD | State::REMOVING) => {
            exit(state.exit_code, state.oom_killed.unwrap_or(false))
        }
        _ => Exit::default(),
    }
}

/// How something ended, by its exit code. `had_no_memory` says that the kernel killed something in
/// the container for want of memory; that was its end only if the end was by that signal.
pub(super) fn exit(code: Option<i64>, had_no_memory: bool) -> Exit {
    let signal = code.map(|code| code - SIGNAL_CODE_BASE).filter(|signal| (1..=SIGNAL_MAX).contains(signal));
    let signal = signal.and_then(|signal| i32::try_from(signal).ok());
    let is_out_of_memory = had_no_memory && signal == Some(SIGKILL);
    Exit { code, signal, is_out_of_memory, last_output: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{
        ContainerState, ContainerSummaryNetworkSettings, NetworkSettings, PortBinding, PortSummary,
    };

    use super::super::fixtures::{order, settings};
    use super::*;

    fn summary(state: SummaryState) -> ContainerSummary {
        let endpoint = EndpointSettings { ip_address: Some("172.18.0.2".into()), ..Default::default() };
        ContainerSummary {
            id: Some("abc".into()),
            names: Some(vec!["/other/alias".into(), "/me_web_1".into()]),
            labels: Some(labels::of(&settings(), &order())),
            state: Some(state),
            ports: Some(vec![
                PortSummary { private_port: 9999, ..Default::default() },
                PortSummary {
                    ip: Some("127.0.0.1".into()),
                    private_port: 5000,
                    public_port: Some(49153),
                    ..Default::default()
                },
            ]),
            network_settings: Some(ContainerSummaryNetworkSettings {
                networks: Some(HashMap::from([("shop".into(), endpoint)])),
            }),
            ..Default::default()
        }
    }

    fn running(address: &str, is_paused: bool) -> Sighting {
        Sighting::Running { address: address.parse().unwrap(), is_paused }
    }

    #[test]
    fn each_state_of_a_container_is_told_as_running_or_over() {
        let inside = "172.18.0.2:5000";
        for (state, expected) in [
            (SummaryState::RUNNING, running(inside, false)),
            (SummaryState::PAUSED, running(inside, true)),
            (SummaryState::STOPPING, running(inside, false)),
            (SummaryState::EXITED, Sighting::Over),
            (SummaryState::DEAD, Sighting::Over),
            (SummaryState::CREATED, Sighting::Over),
            (SummaryState::RESTARTING, Sighting::Over),
            (SummaryState::REMOVING, Sighting::Over),
        ] {
            assert_eq!(sighting_of_summary(&summary(state), &settings()), expected, "{state:?}");
        }
    }

    #[test]
    fn a_published_replica_is_found_at_its_loopback_port() {
        let publishing = DockerSettings { publish: true, ..settings() };
        let expected = running("127.0.0.1:49153", false);
        assert_eq!(sighting_of_summary(&summary(SummaryState::RUNNING), &publishing), expected);

        let bindings = vec![
            PortBinding { host_ip: Some("0.0.0.0".into()), host_port: Some("1".into()) },
            PortBinding { host_ip: Some("127.0.0.1".into()), host_port: Some("49153".into()) },
        ];
        let inspected = ContainerInspectResponse {
            state: Some(ContainerState { status: Some(State::RUNNING), ..Default::default() }),
            network_settings: Some(NetworkSettings {
                ports: Some(HashMap::from([("5000/tcp".into(), Some(bindings))])),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(sighting_of_inspect(&inspected, &publishing), expected);
        assert_eq!(sighting_of_inspect(&inspected, &settings()), Sighting::NowhereToReach);
    }

    #[test]
    fn a_container_says_who_it_is_or_is_skipped() {
        let order = order();
        let expected =
            Identity { id: "abc".into(), called: "me_web_1".into(), life: order.life, name: order.name };
        assert_eq!(identity(&summary(SummaryState::RUNNING)), Some(expected));
        let unlabelled = ContainerSummary { labels: None, ..summary(SummaryState::RUNNING) };
        assert!(identity(&unlabelled).is_none());
        let nameless = ContainerSummary { names: Some(vec![]), ..summary(SummaryState::RUNNING) };
        assert!(identity(&nameless).is_none());
    }

    #[test]
    fn exit_codes_tell_signals_and_only_a_kill_is_for_want_of_memory() {
        for (code, had_no_memory, text) in [
            (Some(0), false, "exited with code 0"),
            (Some(1), true, "exited with code 1"),
            (Some(137), false, "killed by signal 9"),
            (Some(137), true, "killed for want of memory"),
            (Some(143), true, "killed by signal 15"),
            (Some(128), false, "exited with code 128"),
            (Some(255), false, "exited with code 255"),
            (None, false, "ended"),
        ] {
            let exit = exit(code, had_no_memory);
            assert_eq!((exit.code, exit.to_string().as_str()), (code, text));
        }
    }

    #[test]
    fn a_container_that_never_ran_has_no_exit_code() {
        let inspected = |status| ContainerInspectResponse {
            state: Some(ContainerState { status: Some(status), exit_code: Some(0), ..Default::default() }),
            ..Default::default()
        };
        assert_eq!(exit_of_inspect(&inspected(State::CREATED)), Exit::default());
        assert_eq!(exit_of_inspect(&inspected(State::EXITED)).code, Some(0));
    }
}
