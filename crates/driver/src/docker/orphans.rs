//! Containers of services that are configured no more.

use std::fs;
use std::io;
use std::time::Duration;

use bollard::models::ContainerSummary;
use futures_util::future::try_join_all;

use super::engine::{self, Engine};
use super::labels::{self, Filters};
use super::ledger::Ledger;
use super::network;
use super::proof::Proof;
use super::records::DockerRecords;
use super::strangers::Strangers;
use crate::DriverError;

/// Containers of a service that were ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedContainers {
    /// What the service is called.
    pub service: String,
    /// How many there were.
    pub count: usize,
}

/// Ends and removes every container that this balancer has started and that belongs to none of these
/// services; says which services they belonged to. Each is asked to end and has `stop_timeout` for it.
pub async fn end_orphaned_containers(
    owner: &str,
    services: &[String],
    stop_timeout: Duration,
    records: &DockerRecords,
) -> Result<Vec<EndedContainers>, DriverError> {
    let socket = engine::socket_path(std::env::var("DOCKER_HOST").ok().as_deref())?;
    let engine = Engine::connect(&socket).await?;
    let filters = Filters::from([("label".into(), vec![format!("{}={owner}", labels::OWNER)])]);
    let listed = engine.list(filters).await;
    let mut listed = listed.map_err(|error| error.during("cannot list containers"))?;
    // One that says nothing of a service does not even claim to be a replica.
    listed
        .retain(|one| service_in(one).is_some_and(|service| !services.iter().any(|known| known == service)));
    let mut ended = Vec::new();
    for service in services_in(records)? {
        if services.contains(&service) {
            continue;
        }
        let proof = Proof::open(records, owner, &service)?;
        let (ours, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(|one| proof.is_ours(one));
        listed = others;
        let ids = ours.into_iter().filter_map(|one| one.id);
        let ends = ids.map(|id| end(&engine, &proof, id, stop_timeout)).collect::<Vec<_>>();
        if !ends.is_empty() {
            let count = ends.len();
            try_join_all(ends).await?;
            ended.push(EndedContainers { service: service.clone(), count });
        }
        // Whatever else is written down there is of nobody any more.
        let removed = fs::remove_dir_all(records.containers().join(&service));
        removed.map_err(|error| DriverError::caused("cannot remove what was written down of them", error))?;
    }
    if !listed.is_empty() {
        Strangers::default().note("unknown", &listed);
    }
    Ok(ended)
}

/// Removes every network that this balancer has made and that nobody uses; says what they were called.
pub async fn remove_unused_networks(records: &DockerRecords) -> Result<Vec<String>, DriverError> {
    let ledger = Ledger::open(&records.networks())?;
    let ids = ledger.ids();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let socket = engine::socket_path(std::env::var("DOCKER_HOST").ok().as_deref())?;
    let engine = Engine::connect(&socket).await?;
    let mut removed = Vec::new();
    for id in ids {
        match engine.network(&id).await {
            Ok(network) => {
                let name = network.name.clone().unwrap_or_default();
                if network::remove_if_ours(&engine, network, &ledger, records).await? {
                    removed.push(name);
                }
            }
            Err(error) if error.is_missing() => ledger.forget(&id).await,
            Err(error) => return Err(error.during(format!("cannot look for network {id}"))),
        }
    }
    Ok(removed)
}

fn service_in(summary: &ContainerSummary) -> Option<&str> {
    summary.labels.as_ref()?.get(labels::SERVICE).map(String::as_str)
}

/// The services that something was written down of. A label may name any folder; these are ours.
fn services_in(records: &DockerRecords) -> Result<Vec<String>, DriverError> {
    let folder = records.containers();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DriverError::caused(format!("cannot read '{}'", folder.display()), error)),
    };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(folders.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

async fn end(engine: &Engine, proof: &Proof, id: String, stop_timeout: Duration) -> Result<(), DriverError> {
    if let Err(error) = engine.stop(&id, stop_timeout).await {
        // The removal below ends it by force, so this is no failure yet.
        tracing::warn!("{}", error.during("cannot stop a container gracefully").in_full());
    }
    engine.remove(&id).await.map_err(|error| error.during(format!("cannot remove container {id}")))?;
    proof.ledger().forget(&id).await;
    Ok(())
}
