//! `evenkeel deploy`: what is run becomes what the configuration file says now.
//!
//! This is the balancer's side: it reads the file anew, takes from it what replicas run, and refuses what only
//! a restart could change.

use admin::{DeployOrder, Deployer};
use config::{Change, Effect, ServiceSettings};
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
fn changes_that_need_a_restart(running: &ServiceSettings, asked: &ServiceSettings) -> Vec<String> {
    let needs_restart = |change: &Change| match change.effect {
        Effect::Restart => true,
        // How many replicas there are is what `evenkeel scale` says; the rest is what is deployed.
        Effect::Beginning | Effect::Deploy => false,
    };
    let changes = config::changes(running, asked).into_iter().filter(needs_restart);
    let mut names: Vec<String> = changes.map(|change| told(&change.key).to_owned()).collect();
    names.dedup();
    names
}

/// What a key is called here: keys of one table belong together, and are told by its name. A drain has but one.
fn told(key: &str) -> &str {
    match key.split_once('.') {
        Some((table, _)) if table != "drain" => table,
        _ => key,
    }
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
            ("[service.heartbeat]\nmisses = 3\nrise = 3", &["heartbeat"]),
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
