//! `evenkeel deploy`: what is run becomes what the configuration file says now.
//!
//! This is the balancer's side: it reads the file anew, takes from it what replicas run, and refuses what only
//! a restart could change.

use admin::{DeployOrder, Deployer};
use config::{Change, Effect, ServiceSettings, Settings};
use fleet::in_full;

use crate::cli::UpOptions;
use crate::services::Services;
use crate::{settings, wiring};

/// Reads the configuration as it was read at the start.
pub(crate) fn deployer(options: &UpOptions, began_with: &Settings, services: &Services) -> Deployer {
    let began_with = began_with.clone();
    let (options, registry) = (options.clone(), services.registry().clone());
    let identity = services.shared().identity.clone();
    Box::new(move |name| {
        let asked = settings::chosen(&options).map_err(|refused| refused.without_values())?;
        let mut notes = beside_services(&began_with, &asked);
        let running = registry.find(name).ok_or_else(|| format!("there is no service '{name}'"))?;
        let asked = asked.services.into_iter().find(|one| one.name == name);
        let asked =
            asked.ok_or_else(|| format!("the configuration has no service '{name}' any more; {RESTART}"))?;
        let fixed = changes_that_need_a_restart(&running.attached.settings, &asked);
        if !fixed.is_empty() {
            let fixed: Vec<String> = fixed.iter().map(|key| format!("`{key}`")).collect();
            return Err(format!("{} of service '{name}' changed; {RESTART}", fixed.join(", ")));
        }
        if running.attached.settings.replicas != asked.replicas {
            let count = asked.replicas;
            notes.push(format!(
                "`replicas` of service '{name}' is {count} in the file now: `evenkeel scale {count} --service {name}` brings it about"
            ));
        }
        let spec = wiring::spec(&asked, &identity).map_err(|error| in_full(&error))?;
        let spec = spec.ok_or("the replicas of this service are not ours to replace")?;
        Ok(DeployOrder { spec, rollout: asked.rollout.clone(), notes })
    })
}

const RESTART: &str = "that needs a restart of the balancer, and nothing was deployed";

/// What the file says otherwise than at the start, beside what it says of services that were there.
fn beside_services(began_with: &Settings, asked: &Settings) -> Vec<String> {
    let keys = config::changes_outside_of_services(began_with, asked);
    let mut what: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    let is_in = |settings: &Settings, name: &str| settings.services.iter().any(|one| one.name == name);
    let new = asked.services.iter().filter(|one| !is_in(began_with, &one.name));
    what.extend(new.map(|one| format!("service '{}', which is new", one.name)));
    let gone = began_with.services.iter().filter(|one| !is_in(asked, &one.name));
    what.extend(gone.map(|one| format!("service '{}', which is gone", one.name)));
    if what.is_empty() {
        return Vec::new();
    }
    vec![format!("what changed in the file beside, and takes a restart of the balancer: {}", what.join(", "))]
}

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
            ("key = \"path\"\nhost = \"a.example\"", &["hosts", "key"]),
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
