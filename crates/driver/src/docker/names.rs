//! Who goes by which name where our replicas are.
//!
//! On a network of containers a replica's name is the name of a machine: whoever asks for it there is sent to
//! the replica. So a replica gets no name by which something else is known, or may be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use fleet::ReplicaName;
use futures_util::stream::{self, StreamExt};

use super::containers::Containers;
use super::engine::Engine;
use super::errors::CallError;
use super::labels::{self, Filters};
use super::proof::{Proof, own_name};
use crate::NameOfAnother;

/// How many containers are looked at more closely at once.
const INSPECTIONS_AT_ONCE: usize = 8;

/// How often it is looked whether somebody has come who goes by the name of a replica.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Names in small letters, as machines are looked for, and which container has each.
#[derive(Debug, Default)]
pub(super) struct KnownNames {
    of_others: BTreeMap<String, String>,
    /// Those of replicas of other balancers, on our network. Each balancer may call its replicas as it likes.
    of_peers: BTreeMap<String, String>,
    /// Our own replicas, who may be asked about in other words.
    ours: BTreeMap<String, Own>,
}

#[derive(Debug)]
struct Own {
    name: String,
    has_alias: bool,
}

/// How a name stands that a replica is to have.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody else goes by it.
    Free,
    /// It is to be had, but a replica of another balancer goes by it on our network.
    Shared { holder: String },
    /// It is not to be had.
    Refused(NameOfAnother),
}

impl Containers {
    /// The names of all containers of the engine, and what those on our network answer to besides.
    pub(super) async fn known_names(&self) -> Result<KnownNames, CallError> {
        KnownNames::ask(&self.engine, &self.proof, &self.networks()).await
    }
}

/// Looks again and again, until it is aborted, whether somebody has come to the networks who goes by the name
/// of a replica, and says so. Whose the name is from then on is the operator's to decide.
pub(super) async fn watch(engine: Engine, proof: Proof, networks: Vec<String>) {
    let mut told = BTreeSet::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // An engine that does not answer is told by others.
        let Ok(known) = KnownNames::ask(&engine, &proof, &networks).await else { continue };
        let shared = known.shared();
        told.retain(|name| shared.contains_key(name));
        for (name, holder) in shared {
            if told.insert(name.clone()) {
                tracing::warn!(
                    "container '{holder}' has come to a network of ours as '{name}', and a replica is called so, too: what is \
                     meant for one may reach the other; `evenkeel rm {name}` ends the replica, and reserved_names keeps the name"
                );
            }
        }
    }
}

impl KnownNames {
    async fn ask(engine: &Engine, proof: &Proof, networks: &[String]) -> Result<Self, CallError> {
        let mut known = Self::default();
        let listed = engine.list(Filters::new()).await?;
        let mut neighbours = Vec::new();
        for summary in &listed {
            let Some(name) = own_name(summary) else { continue };
            if proof.was_ours(summary) {
                continue;
            }
            let replica = labels::replica(summary);
            let has_alias = labels::has_alias(summary);
            if proof.is_ours(summary) {
                let name = replica.unwrap_or(name).to_owned();
                known.ours.insert(name.to_ascii_lowercase(), Own { name, has_alias });
                continue;
            }
            let is_near = is_on(summary, networks);
            if proof.is_of_another_owner(summary) {
                let names = [Some(name), replica.filter(|_| has_alias)].into_iter().flatten();
                names.filter(|_| is_near).for_each(|one| add(&mut known.of_peers, one, name));
                continue;
            }
            add(&mut known.of_others, name, name);
            // Of another service; all replicas of an owner have one space of names.
            let of_ours = replica.filter(|_| proof.claims_our_owner(summary));
            of_ours.into_iter().for_each(|one| add(&mut known.of_others, one, name));
            if is_near {
                neighbours.extend(summary.id.clone());
            }
        }
        let look = |id: String| {
            let engine = engine.clone();
            async move { engine.inspect(&id).await }
        };
        let mut looks = stream::iter(neighbours).map(look).buffered(INSPECTIONS_AT_ONCE);
        while let Some(inspected) = looks.next().await {
            match inspected {
                Ok(inspected) => known.add_neighbour(&inspected, networks),
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    /// The names of our replicas that somebody else goes by on their network, and who.
    fn shared(&self) -> BTreeMap<String, String> {
        let others = |(lower, own): (&String, &Own)| {
            let holder = self.of_others.get(lower).or_else(|| self.of_peers.get(lower))?;
            own.has_alias.then(|| (own.name.clone(), holder.clone()))
        };
        self.ours.iter().filter_map(others).collect()
    }

    /// How a name stands that a replica is to have.
    pub(super) fn standing(&self, name: &ReplicaName) -> Standing {
        if let Err(refused) = self.refuse(name) {
            return Standing::Refused(refused);
        }
        match self.of_peers.get(&name.as_str().to_ascii_lowercase()) {
            Some(holder) => Standing::Shared { holder: holder.clone() },
            None => Standing::Free,
        }
    }

    /// Why a replica cannot be called so, if it cannot. That a replica of ours has the very same name is
    /// not looked at here.
    pub(super) fn refuse(&self, name: &ReplicaName) -> Result<(), NameOfAnother> {
        let refused = |why: &str| Err(NameOfAnother { name: name.clone(), why: why.into() });
        let text = name.as_str();
        if text.contains('.') {
            return refused("with a dot in it, it may be that of another machine");
        }
        let lower = text.to_ascii_lowercase();
        if let Some(holder) = self.of_others.get(&lower) {
            tracing::info!(name = text, holder, "a name that another container goes by was asked for");
            return refused("something else on this engine goes by it");
        }
        match self.ours.get(&lower) {
            Some(own) if own.name != text => refused("a replica has it, in other letters"),
            _ => Ok(()),
        }
    }

    fn add_neighbour(&mut self, inspected: &ContainerInspectResponse, ours: &[String]) {
        let holder = inspected.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
        let networks = inspected.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        let endpoints =
            networks.iter().flat_map(|networks| ours.iter().filter_map(|name| networks.get(name)));
        let names = endpoints.flat_map(|endpoint| [&endpoint.aliases, &endpoint.dns_names]);
        let hostname = inspected.config.as_ref().and_then(|config| config.hostname.as_ref());
        for name in names.flatten().flatten().chain(hostname) {
            add(&mut self.of_others, name, &holder);
        }
    }
}

fn add(names: &mut BTreeMap<String, String>, name: &str, holder: &str) {
    names.insert(name.to_ascii_lowercase(), holder.to_owned());
}

fn is_on(summary: &ContainerSummary, ours: &[String]) -> bool {
    let networks = summary.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    networks.is_some_and(|networks| ours.iter().any(|name| networks.contains_key(name)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{ContainerConfig, EndpointSettings, NetworkSettings};

    use super::*;

    #[test]
    fn a_name_by_which_something_else_is_known_is_refused() {
        let endpoint = |aliases: &[&str], dns_names: &[&str]| {
            let owned = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
            EndpointSettings { aliases: owned(aliases), dns_names: owned(dns_names), ..Default::default() }
        };
        let networks = HashMap::from([
            ("shop".into(), endpoint(&["db", "0123456789ab"], &["database"])),
            ("back".into(), endpoint(&["behind"], &[])),
            ("elsewhere".into(), endpoint(&["far"], &[])),
        ]);
        let database = ContainerInspectResponse {
            name: Some("/shop_db_1".into()),
            config: Some(ContainerConfig { hostname: Some("store".into()), ..Default::default() }),
            network_settings: Some(NetworkSettings { networks: Some(networks), ..Default::default() }),
            ..Default::default()
        };
        let mut known = KnownNames::default();
        add(&mut known.of_others, "Proxy", "Proxy");
        add(&mut known.of_peers, "server_1", "other_server_1");
        known.ours.insert("s5".into(), Own { name: "S5".into(), has_alias: true });
        known.add_neighbour(&database, &["shop".to_owned(), "back".to_owned()]);
        for (name, is_refused) in [
            ("db", true),
            ("DB", true),
            ("0123456789ab", true),
            ("database", true),
            ("store", true),
            ("behind", true),
            ("proxy", true),
            ("s5", true),
            ("api.example.org", true),
            ("172.18.0.1", true),
            ("S5", false),
            ("far", false),
            ("db_2", false),
            ("server_1", false),
        ] {
            assert_eq!(known.refuse(&ReplicaName::parse(name).unwrap()).is_err(), is_refused, "{name}");
        }
        let standing = |name: &str| known.standing(&ReplicaName::parse(name).unwrap());
        assert_eq!(standing("Server_1"), Standing::Shared { holder: "other_server_1".into() });
        assert_eq!(standing("S5"), Standing::Free);
        assert!(matches!(standing("db"), Standing::Refused(_)));
        assert!(known.shared().is_empty());
        add(&mut known.of_peers, "S5", "late");
        assert_eq!(known.shared(), BTreeMap::from([("S5".to_owned(), "late".to_owned())]));
        known.ours.insert("s5".into(), Own { name: "S5".into(), has_alias: false });
        assert!(known.shared().is_empty(), "it gives no name away");
    }
}
