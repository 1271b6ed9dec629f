//! The network that the replicas of a service share.
//!
//! Owns its making and its removal. A network that somebody else made is used and never removed.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;

use super::engine::Engine;
use super::{DockerSettings, labels};
use crate::DriverError;

/// Makes sure that the network is there. Safe to call for several services at once.
pub(super) async fn ensure(engine: &Engine, settings: &DockerSettings) -> Result<(), DriverError> {
    let name = &settings.network;
    if matches!(name.as_str(), "host" | "none") || name.starts_with("container:") {
        return Err(DriverError::new(format!(
            "network '{name}' gives replicas no address of their own; name a bridge network, which is made if missing"
        )));
    }
    match engine.network(name).await {
        Ok(_) => return Ok(()),
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(error.during(format!("cannot look for network '{name}'"))),
    }
    let request = NetworkCreateRequest {
        name: name.clone(),
        driver: Some("bridge".into()),
        labels: Some(HashMap::from([(labels::OWNER.to_string(), settings.owner.clone())])),
        ..Default::default()
    };
    let id = match engine.create_network(request).await {
        Ok(id) => id,
        // Another service was faster.
        Err(error) if error.is_conflict() => return Ok(()),
        Err(error) => return Err(error.during(format!("cannot create network '{name}'"))),
    };
    settle(engine, name, &id).await
}

/// Engines before API 1.44 allow two networks with one name, and then refuse to use either. When two
/// services made it at the same time, the older one stays.
async fn settle(engine: &Engine, name: &str, own_id: &str) -> Result<(), DriverError> {
    let namesakes = engine.networks_named(name).await;
    let namesakes = namesakes.map_err(|error| error.during(format!("cannot look for network '{name}'")))?;
    let oldest = namesakes.into_iter().min().map(|(_created, id)| id);
    if oldest.is_none_or(|oldest| oldest == own_id) {
        return Ok(());
    }
    let removed = engine.remove_network(own_id).await;
    removed.map_err(|error| error.during(format!("cannot remove a second network '{name}'")))
}

/// Removes the network if it carries our label and nothing uses it.
pub(super) async fn remove_if_unused(engine: &Engine, settings: &DockerSettings) -> Result<(), DriverError> {
    let name = &settings.network;
    let network = match engine.network(name).await {
        Ok(network) => network,
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(error.during(format!("cannot look for network '{name}'"))),
    };
    let is_ours = network.labels.is_some_and(|carried| carried.get(labels::OWNER) == Some(&settings.owner));
    let is_empty = network.containers.is_none_or(|containers| containers.is_empty());
    if !is_ours || !is_empty {
        return Ok(());
    }
    match engine.remove_network(network.id.as_deref().unwrap_or(name)).await {
        Ok(()) => Ok(()),
        // Somebody moved in, or somebody else removed it.
        Err(error) if error.is_forbidden() || error.is_missing() => Ok(()),
        Err(error) => Err(error.during(format!("cannot remove network '{name}'"))),
    }
}
