//! `evenkeel deploy`: what is run becomes what the configuration file says now.
//!
//! This is the balancer's side: it reads the file anew, takes from it what replicas run, and refuses what only
//! a restart could change.

use admin::{DeployOrder, Deployer};
use config::{DriverChoice, ServiceSettings};
use fleet::in_full;

use crate::cli::UpOptions;
use crate::services::Services;
use crate::{settings, wiring};

/// Reads the configuration as it was read at the start.
pub(crate) fn deployer(options: &UpOptions, services: &Services) -> Deployer {
    let (options, registry) = (options.clone(), services.registry().clone());
    let (owner, state) = (services.shared().owner.clone(), services.shared().state.clone());
    Box::new(move |name| {
        let asked = settings::chosen(&options).map_err(|stopped| stopped.to_string())?;
        let running = registry.find(name).ok_or_else(|| format!("there is no service '{name}'"))?;
        let asked = asked.services.into_iter().find(|one| one.name == name);
        let asked =
            asked.ok_or_else(|| format!("the configuration has no service '{name}' any more; {RESTART}"))?;
        let fixed = changes_that_need_a_restart(&running.attached.settings, &asked);
        if !fixed.is_empty() {
            let fixed: Vec<String> = fixed.iter().map(|key| format!("`{key}`")).collect();
            return Err(format!("{} of service '{name}' changed; {RESTART}", fixed.join(", ")));
        }
        let spec = wiring::spec(&asked, &owner, state.as_ref()).map_err(|error| in_full(&error))?;
        let spec = spec.ok_or("the replicas of this service are not ours to replace")?;
        Ok(DeployOrder { spec, rollout: asked.rollout.clone() })
    })
}

const RESTART: &str = "that needs a restart of the balancer, and nothing was deployed";

/// The keys whose values differ and cannot be taken over while replicas run.
fn changes_that_need_a_restart(running: &ServiceSettings, asked: &ServiceSettings) -> Vec<&'static str> {
    // Every field is named here, so that a new one cannot be forgotten.
    let ServiceSettings {
        name: _,
        host,
        path,
        // What to begin with; how many there are is what `evenkeel scale` says.
        replicas: _,
        driver,
        // These are what is deployed.
        port: _,
        env: _,
        server_id: _,
        stop_timeout: _,
        stop_signal: _,
        rollout: _,
        key,
        algorithm,
        weights,
        load_factor,
        start_timeout,
        max_replicas,
        spares,
        protocol,
        timeouts,
        heartbeat,
        responses,
        drain_deadline,
        on_exit,
    } = running;
    let mut changed = fixed_keys_of_driver(driver, &asked.driver);
    let others = [
        ("host", *host != asked.host),
        ("path", *path != asked.path),
        ("key", *key != asked.key),
        ("algorithm", *algorithm != asked.algorithm),
        ("weights", *weights != asked.weights),
        ("load_factor", *load_factor != asked.load_factor),
        ("start_timeout", *start_timeout != asked.start_timeout),
        ("max_replicas", *max_replicas != asked.max_replicas),
        ("spares", *spares != asked.spares),
        ("protocol", *protocol != asked.protocol),
        ("timeouts", *timeouts != asked.timeouts),
        ("heartbeat", *heartbeat != asked.heartbeat),
        ("responses", *responses != asked.responses),
        ("drain.deadline", *drain_deadline != asked.drain_deadline),
        ("on_exit", *on_exit != asked.on_exit),
    ];
    changed.extend(others.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key));
    changed
}

fn fixed_keys_of_driver(running: &DriverChoice, asked: &DriverChoice) -> Vec<&'static str> {
    let changed = match (running, asked) {
        (
            DriverChoice::Process { command: _, socket },
            DriverChoice::Process { command: _, socket: asked },
        ) => vec![("socket", socket != asked)],
        (
            DriverChoice::Docker { network, publish, image: _, command: _, memory: _, cpus: _ },
            DriverChoice::Docker { network: asked_network, publish: asked_publish, .. },
        ) => vec![("network", network != asked_network), ("publish", publish != asked_publish)],
        (DriverChoice::Static { addresses }, DriverChoice::Static { addresses: asked }) => {
            vec![("addresses", addresses != asked)]
        }
        _ => vec![("driver", true)],
    };
    changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(keys: &str) -> ServiceSettings {
        let text = format!("[[service]]\nname = \"web\"\n{keys}");
        config::parse(&text, "evenkeel.toml").unwrap().services.remove(0)
    }

    #[test]
    fn what_is_run_is_deployed_and_the_rest_needs_a_restart() {
        let running = "command = [\"./a\", \"{port}\"]";
        for (asked, expected) in [
            ("command = [\"./b\", \"{port}\"]", &[][..]),
            ("env = { A = \"b\" }\nstop_timeout = \"1s\"\nserver_id = \"number\"\nreplicas = 9", &[]),
            ("[service.deploy]\nat_once = 2", &[]),
            ("socket = true", &["socket"]),
            ("spares = 1", &["spares"]),
            ("key = \"path\"\nhost = \"a.example\"", &["host", "key"]),
            ("driver = \"docker\"\nimage = \"x\"", &["driver", "on_exit"]),
            ("[service.heartbeat]\nmisses = 3", &["heartbeat"]),
            ("[service.drain]\ndeadline = \"1s\"", &["drain.deadline"]),
        ] {
            let changed = changes_that_need_a_restart(&service(running), &service(asked));
            assert_eq!(changed, expected, "{asked}");
        }
        let docker = |rest: &str| service(&format!("driver = \"docker\"\n{rest}"));
        let changed = changes_that_need_a_restart(
            &docker("image = \"a\""),
            &docker("image = \"b\"\nmemory = \"64MiB\"\nport = 1\nnetwork = \"n\"\npublish = true"),
        );
        assert_eq!(changed, ["network", "publish"]);
    }
}
