//! The network that the replicas of a service share.
//!
//! Owns its making and its removal. A network of which we cannot prove that we made it is used and
//! never removed, whatever its labels say.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{NetworkCreateRequest, NetworkInspect};

use super::engine::Engine;
use super::errors::CallError;
use super::labels;
use super::ledger::Ledger;
use super::records::DockerRecords;
use super::seal::{self, Kind};
use super::settings::DockerSettings;
use crate::DriverError;

/// How often the network is tried to be made when others make it at the same time.
const ATTEMPTS_MAX: usize = 8;
/// The longest pause between two attempts; its length is random, so that one of two is first.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Makes sure that all networks of a service are there. Safe to call for several services at once.
pub(super) async fn ensure(engine: &Engine, settings: &DockerSettings) -> Result<(), DriverError> {
    for name in settings.networks() {
        ensure_one(engine, settings, name).await?;
    }
    Ok(())
}

async fn ensure_one(engine: &Engine, settings: &DockerSettings, name: &str) -> Result<(), DriverError> {
    if matches!(name, "host" | "none") || name.starts_with("container:") {
        return Err(DriverError::new(format!(
            "network '{name}' gives replicas no address of their own; name a bridge network, which is made if missing"
        )));
    }
    for _ in 0..ATTEMPTS_MAX {
        if exists(engine, name).await? || make(engine, settings, name).await? {
            return Ok(());
        }
        // Whoever made one at the same time gave way too; whoever pauses longer will find theirs.
        tokio::time::sleep(PAUSE_MAX.mul_f64(fastrand::f64())).await;
    }
    Err(DriverError::new(format!("network '{name}' is made again and again by somebody else")))
}

async fn exists(engine: &Engine, name: &str) -> Result<bool, DriverError> {
    match engine.network(name).await {
        // The engine also takes the beginning of an ID, which would be somebody else's network.
        Ok(network) => Ok(network.name.as_deref() == Some(name)),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error.during(format!("cannot look for network '{name}'"))),
    }
}

/// Makes the network; false if another one with its name was there at the same time. Engines before
/// API 1.44 allow that, and then refuse to use either. Ours goes then: the other may be in use.
async fn make(engine: &Engine, settings: &DockerSettings, name: &str) -> Result<bool, DriverError> {
    let ledger = Ledger::open(&settings.records.networks())?;
    let number = seal::new_number();
    let mut labels = HashMap::from([
        (labels::OWNER.to_string(), settings.owner.clone()),
        (labels::NAME.to_string(), name.to_owned()),
    ]);
    seal::put_on(&mut labels, &settings.records.secret, Kind::Network, &number);
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".into()),
        labels: Some(labels),
        ..Default::default()
    };
    let own_id = match engine.create_network(request).await {
        Ok(id) => id,
        // Another service was faster.
        Err(error) if error.is_conflict() => return Ok(false),
        Err(error) => return Err(error.during(format!("cannot create network '{name}'"))),
    };
    ledger.bind(&number, &own_id).await;
    let namesakes = engine.networks_named(name).await;
    let namesakes = namesakes.map_err(|error| error.during(format!("cannot look for network '{name}'")))?;
    if namesakes.iter().all(|id| *id == own_id) {
        return Ok(true);
    }
    let removed = engine.remove_network(&own_id).await;
    removed.map_err(|error| error.during(format!("cannot remove a second network '{name}'")))?;
    ledger.forget(&own_id).await;
    Ok(false)
}

/// Lets a container that is not started yet join the networks that it has beside the first. Those that are not
/// there are made.
pub(super) async fn join(engine: &Engine, settings: &DockerSettings, id: &str) -> Result<(), DriverError> {
    for name in &settings.fittings.networks {
        let mut joined = engine.join_network(name, id).await;
        if joined.as_ref().is_err_and(CallError::is_missing) {
            ensure_one(engine, settings, name).await?;
            joined = engine.join_network(name, id).await;
        }
        match joined {
            // An earlier attempt of this very start, whose response did not get through.
            Err(error) if error.is_forbidden() && is_on(engine, name, id).await => {}
            Err(error) => return Err(error.during(format!("cannot join network '{name}'"))),
            Ok(()) => {}
        }
    }
    Ok(())
}

async fn is_on(engine: &Engine, name: &str, id: &str) -> bool {
    let inspected = engine.inspect(id).await.ok();
    let networks = inspected.and_then(|one| one.network_settings).and_then(|settings| settings.networks);
    networks.is_some_and(|networks| networks.contains_key(name))
}

/// Removes the networks that we made and nothing uses.
pub(super) async fn remove_if_unused(engine: &Engine, settings: &DockerSettings) -> Result<(), DriverError> {
    for name in settings.networks() {
        remove_one_if_unused(engine, settings, name).await?;
    }
    Ok(())
}

async fn remove_one_if_unused(
    engine: &Engine,
    settings: &DockerSettings,
    name: &str,
) -> Result<(), DriverError> {
    let network = match engine.network(name).await {
        Ok(network) if network.name.as_deref() != Some(name) => return Ok(()),
        Ok(network) => network,
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(error.during(format!("cannot look for network '{name}'"))),
    };
    let ledger = Ledger::open(&settings.records.networks())?;
    remove_if_ours(engine, network, &ledger, &settings.records).await.map(drop)
}

/// Removes a network if we made it and nothing uses it. Says whether it was removed.
pub(super) async fn remove_if_ours(
    engine: &Engine,
    network: NetworkInspect,
    ledger: &Ledger,
    records: &DockerRecords,
) -> Result<bool, DriverError> {
    let (id, carried) = (network.id.unwrap_or_default(), network.labels.unwrap_or_default());
    let number = seal::number(&carried, &records.secret, Kind::Network);
    let is_ours = number.is_some_and(|number| ledger.belongs(number, &id, false));
    let is_empty = network.containers.is_none_or(|containers| containers.is_empty());
    if !is_ours || !is_empty {
        return Ok(false);
    }
    let name = network.name.unwrap_or_default();
    match engine.remove_network(&id).await {
        Ok(()) => {
            ledger.forget(&id).await;
            Ok(true)
        }
        // Somebody moved in, or somebody else removed it.
        Err(error) if error.is_forbidden() || error.is_missing() => Ok(false),
        Err(error) => Err(error.during(format!("cannot remove network '{name}'"))),
    }
}
