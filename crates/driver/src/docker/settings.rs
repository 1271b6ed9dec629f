//! What the containers of a service are made from, and what makes two of them the same. Nothing here
//! talks to an engine.

use std::time::Duration;

use fleet::ReplicaName;

use super::container_name::container_name;
use super::contents::Contents;
use super::fittings::{Fittings, Pull};
use super::records::DockerRecords;
use crate::ReplicaEnvironment;
use crate::keyed::Keyed;

/// What the containers of a service are made from, and how they end.
#[derive(Clone, Debug)]
pub struct DockerSettings {
    /// The image, which must be on this host already.
    pub image: String,
    /// What to run in place of the image's own command; `{port}`, `{name}` and `{seat}` are filled in.
    pub command: Option<Vec<String>>,
    /// Where a replica listens inside its container.
    pub port: u16,
    /// The network that replicas share; created when it is missing.
    pub network: String,
    /// Whether to reach replicas through a port of 127.0.0.1 instead of their own address, for
    /// hosts that have no route to container addresses.
    pub publish: bool,
    /// The mark that a balancer puts on its containers and networks.
    pub owner: String,
    /// By what it knows them again.
    pub records: DockerRecords,
    /// What replicas learn from their environment.
    pub environment: ReplicaEnvironment,
    /// The most memory that a replica may use, in bytes, swap included.
    pub memory: Option<u64>,
    /// The most processor time that a replica may use, in CPUs.
    pub cpus: Option<f64>,
    /// What a replica may do beyond its user's rights, as `NET_BIND_SERVICE`; all else is dropped.
    pub capabilities: Vec<String>,
    /// Whether programs in it may gain rights that it did not begin with.
    pub new_privileges: bool,
    /// What a replica has beside.
    pub fittings: Fittings,
    /// What its secrets hold, as far as that was read now; what was kept earlier is kept still.
    pub contents: Contents,
    /// When the image is fetched.
    pub pull: Pull,
    /// How long a replica may take to end before it is killed.
    pub stop_timeout: Duration,
    /// The signal that asks a replica to end, in place of the image's own.
    pub stop_signal: Option<String>,
}

impl DockerSettings {
    /// All networks that a replica is on; it is reached by the first.
    pub(super) fn networks(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.network).chain(&self.fittings.networks)
    }

    /// What the engine calls the container of this replica.
    pub(super) fn container_name(&self, replica: &ReplicaName) -> String {
        container_name(&self.owner, replica.as_str())
    }

    /// A keyed hash of everything that all containers of a service have in common: 64 bits in
    /// hexadecimal. Two settings with one hash make equal containers. It is shown to everybody, so nobody
    /// without the secret can find out by it what is in the environment.
    pub(super) fn spec(&self) -> String {
        // Every field is named here, so that a new one cannot be forgotten. Who owns a container and
        // how long we wait for its end are not part of what it is.
        let Self {
            image,
            command,
            port,
            network,
            publish,
            owner: _,
            records,
            environment,
            memory,
            cpus,
            capabilities,
            new_privileges,
            fittings,
            contents: _,
            pull: _,
            stop_timeout: _,
            stop_signal,
        } = self;
        let mut parts = vec![
            image.clone(),
            port.to_string(),
            network.clone(),
            publish.to_string(),
            environment.service.clone(),
            format!("{:?}", environment.server_id),
            format!("{memory:?}"),
            format!("{cpus:?}"),
            format!("{stop_signal:?}"),
            format!("{capabilities:?}"),
            (!new_privileges).to_string(),
            format!("{:?}", command.as_ref().map(Vec::len)),
        ];
        parts.extend(command.iter().flatten().cloned());
        parts.extend(environment.extra.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
        // Whoever has none is what it was before there were any.
        parts.extend((!fittings.are_none()).then(|| fittings.in_words()));

        format!("{:016x}", Keyed::over(&records.secret, "spec", &parts).number())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::settings;
    use super::*;

    #[test]
    fn the_spec_changes_with_what_a_container_is_and_with_nothing_else() {
        let original = settings().spec();
        assert_eq!(original, settings().spec());
        let change = |change: fn(&mut DockerSettings)| {
            let mut changed = settings();
            change(&mut changed);
            changed.spec()
        };
        for (claim, changed) in [
            ("image", change(|s| s.image = "shop:2".into())),
            ("command", change(|s| s.command = None)),
            ("parts are not run together", change(|s| s.command = Some(vec!["serve--fast".into()]))),
            ("variables", change(|s| s.environment.extra.clear())),
            ("memory", change(|s| s.memory = Some(1))),
            ("cpus", change(|s| s.cpus = Some(1.0))),
            ("capabilities", change(|s| s.capabilities = vec!["CHOWN".into()])),
            ("privileges", change(|s| s.new_privileges = true)),
            ("what it has beside", change(|s| s.fittings.init = true)),
            ("signal", change(|s| s.stop_signal = Some("INT".into()))),
        ] {
            assert_ne!(original, changed, "{claim}");
        }
        assert_eq!(original, change(|s| s.owner = "you".into()));
        // Fixed, so that an upgrade of the balancer does not make every container look outdated.
        assert_eq!(original, "c9fae19659f20820");
        assert_ne!(original, change(|s| s.records.secret = files::Secret::of([2; 32])), "it is keyed");
    }
}
