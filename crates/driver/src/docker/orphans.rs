//! Containers of services that are configured no more.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::engine::{self, Engine};
use super::labels::{self, Filters};
use crate::DriverError;

/// Ends and removes every container that carries the owner's label and belongs to none of these
/// services; says which services they belonged to. Each is asked to end and has `stop_timeout` for it.
pub async fn end_orphaned_containers(
    owner: &str,
    services: &[String],
    stop_timeout: Duration,
) -> Result<Vec<String>, DriverError> {
    let socket = engine::socket_path(std::env::var("DOCKER_HOST").ok().as_deref())?;
    let engine = Engine::connect(&socket).await?;
    let filters = Filters::from([("label".into(), vec![format!("{}={owner}", labels::OWNER)])]);
    let listed = engine.list(filters).await;
    let mut ended = Vec::new();
    let mut ends = Vec::new();
    for container in listed.map_err(|error| error.during("cannot list containers"))? {
        let service = container.labels.and_then(|mut labels| labels.remove(labels::SERVICE));
        // One that says nothing of a service is no replica.
        let (Some(service), Some(id)) = (service, container.id) else { continue };
        if services.contains(&service) {
            continue;
        }
        if !ended.contains(&service) {
            ended.push(service);
        }
        ends.push(end(&engine, id, stop_timeout));
    }
    try_join_all(ends).await?;
    Ok(ended)
}

async fn end(engine: &Engine, id: String, stop_timeout: Duration) -> Result<(), DriverError> {
    if let Err(error) = engine.stop(&id, stop_timeout).await {
        // The removal below ends it by force, so this is no failure yet.
        tracing::warn!("{}", error.during("cannot stop a container gracefully").in_full());
    }
    engine.remove(&id).await.map_err(|error| error.during(format!("cannot remove container {id}")))
}
