//! What a container is created with.
//!
//! Pure: settings and an order in, the engine's request out. Nothing here comes from a caller of
//! the balancer's API but the replica's name and number.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkingConfig, PortBinding,
    RestartPolicy, RestartPolicyNameEnum,
};

use super::furnish::{BOUNDED_LOGGING_DRIVER, furnish, log_bounds};
use super::labels;
use super::settings::DockerSettings;
use crate::order::{Endpoint, StartOrder};

const LOOPBACK: &str = "127.0.0.1";

/// Whether a replica's name is that of a machine on its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alias {
    /// Whoever asks for the name there is sent to it.
    Given,
    /// Another balancer's replica has it. With both, whoever asks would be sent to either.
    Withheld,
}

/// The engine's request for one replica. `bounds_logs` says that the engine keeps logs with
/// [`BOUNDED_LOGGING_DRIVER`]; the options of other drivers are the operator's affair.
pub(super) fn body(
    settings: &DockerSettings,
    order: &StartOrder,
    alias: Alias,
    bounds_logs: bool,
) -> ContainerCreateBody {
    let variables = settings.environment.of(order, &Endpoint::Port(settings.port));
    let mut labels = labels::of(settings, order);
    let (hostname, aliases) = match alias {
        Alias::Given => (hostname(order.name.as_str()), aliases(settings, order)),
        Alias::Withheld => {
            labels.insert(labels::ALIAS.into(), labels::NO_ALIAS.into());
            // Newer engines let a host name count as an alias.
            (None, None)
        }
    };
    let endpoint = EndpointSettings { aliases, ..Default::default() };
    let mut body = ContainerCreateBody {
        image: Some(settings.image.clone()),
        cmd: command(settings, order),
        hostname,
        env: Some(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(labels),
        exposed_ports: Some(vec![port_key(settings.port)]),
        stop_signal: settings.stop_signal.clone(),
        stop_timeout: Some(whole_seconds(settings.stop_timeout).into()),
        host_config: Some(host_config(settings, bounds_logs)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(settings.network.clone(), endpoint)])),
        }),
        ..Default::default()
    };
    furnish(&mut body, settings, order, &Endpoint::Port(settings.port));
    body
}

fn command(settings: &DockerSettings, order: &StartOrder) -> Option<Vec<String>> {
    let words = settings.command.as_ref()?.iter();
    Some(words.map(|word| order.fill_in(word, &Endpoint::Port(settings.port))).collect())
}

fn host_config(settings: &DockerSettings, bounds_logs: bool) -> HostConfig {
    let memory = settings.memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    HostConfig {
        network_mode: Some(settings.network.clone()),
        // We decide what is started again, and when; an engine that also did would decide otherwise.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        security_opt: (!settings.new_privileges).then(|| vec!["no-new-privileges".into()]),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: (!settings.capabilities.is_empty()).then(|| settings.capabilities.clone()),
        memory,
        // The same number again allows no swap: a replica that swaps is slower than a dead one.
        memory_swap: memory,
        nano_cpus: settings.cpus.map(|cpus| (cpus * 1e9).round() as i64),
        log_config: bounds_logs.then(|| HostConfigLogConfig {
            typ: Some(BOUNDED_LOGGING_DRIVER.into()),
            config: Some(log_bounds()),
        }),
        port_bindings: settings.publish.then(|| {
            let binding = PortBinding { host_ip: Some(LOOPBACK.into()), host_port: Some(String::new()) };
            HashMap::from([(port_key(settings.port), Some(vec![binding]))])
        }),
        ..Default::default()
    }
}

/// A port as the engine writes it.
pub(super) fn port_key(port: u16) -> String {
    format!("{port}/tcp")
}

/// A duration as the engine takes it: never shorter than asked for.
pub(super) fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// A replica's name as its host name, unless it ends like no host name does. The underscore, which
/// names in the DNS may not have, is kept: kernel and engine take it, and the name helps who looks.
fn hostname(name: &str) -> Option<String> {
    let is_legal = name.split('.').all(|label| !label.is_empty() && !label.ends_with('-'));
    is_legal.then(|| name.to_string())
}

/// The engine gives aliases only on networks that somebody made.
fn aliases(settings: &DockerSettings, order: &StartOrder) -> Option<Vec<String>> {
    let is_built_in = matches!(settings.network.as_str(), "bridge" | "default");
    (!is_built_in).then(|| vec![order.name.to_string()])
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{order, settings};
    use super::*;

    #[test]
    fn a_container_is_hardened_and_carries_what_it_needs_to_know() {
        let body = body(&settings(), &order(), Alias::Given, true);
        assert_eq!(body.hostname.as_deref(), Some("web_1"));
        let variables =
            ["EVENKEEL_SEAT=3", "EVENKEEL_SERVICE=web", "GREETING=hello", "PORT=5000", "SERVER_ID=web_1"];
        assert_eq!(body.env.unwrap(), variables);
        assert_eq!(body.stop_timeout, Some(2), "rounded up, or a replica had less time than promised");

        let host = body.host_config.unwrap();
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
        assert_eq!(host.log_config.unwrap().config.unwrap()["max-size"], "10m");
        assert_eq!((host.memory, host.nano_cpus, host.port_bindings), (None, None, None));

        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(endpoints["shop"].aliases.as_deref(), Some(["web_1".to_string()].as_slice()));
    }

    #[test]
    fn limits_leave_no_swap_and_count_in_billionths() {
        let settings = DockerSettings { memory: Some(64 << 20), cpus: Some(0.5), ..settings() };
        let host = body(&settings, &order(), Alias::Given, false).host_config.unwrap();
        assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
        assert_eq!(host.nano_cpus, Some(500_000_000));
        assert_eq!(host.log_config, None, "another logging driver's options are not ours");
    }

    #[test]
    fn rights_are_given_back_one_by_one_and_only_when_asked_for() {
        let host = body(&settings(), &order(), Alias::Given, false).host_config.unwrap();
        assert_eq!((host.cap_add, host.privileged, host.mounts, host.binds), (None, None, None, None));
        let capabilities = vec!["NET_BIND_SERVICE".to_string()];
        let settings = DockerSettings { capabilities, new_privileges: true, ..settings() };
        let host = body(&settings, &order(), Alias::Given, false).host_config.unwrap();
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.cap_add.unwrap(), ["NET_BIND_SERVICE"]);
        assert_eq!(host.security_opt, None);
    }

    #[test]
    fn a_published_port_is_on_the_loopback_address_only() {
        let settings = DockerSettings { publish: true, ..settings() };
        let bindings =
            body(&settings, &order(), Alias::Given, false).host_config.unwrap().port_bindings.unwrap();
        let binding = &bindings["5000/tcp"].as_ref().unwrap()[0];
        assert_eq!(binding.host_ip.as_deref(), Some("127.0.0.1"));
    }

    #[test]
    fn the_built_in_network_gets_no_alias_for_it_would_refuse_one() {
        let settings = DockerSettings { network: "bridge".into(), ..settings() };
        assert_eq!(aliases(&settings, &order()), None);
    }

    #[test]
    fn a_name_that_another_balancers_replica_has_on_the_network_is_neither_alias_nor_host_name() {
        let body = body(&settings(), &order(), Alias::Withheld, false);
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!((body.hostname, &endpoints["shop"].aliases), (None, &None));
        assert_eq!(body.labels.unwrap()["evenkeel.alias"], "none");
        assert!(body.env.unwrap().contains(&"SERVER_ID=web_1".to_owned()), "it is called so all the same");
    }

    #[test]
    fn names_that_end_like_no_host_name_are_left_to_the_engine() {
        for (name, expected) in [("web-1.a", true), ("web_1", true), ("web-", false), ("a..b", false)] {
            assert_eq!(hostname(name).is_some(), expected, "{name}");
        }
    }
}
