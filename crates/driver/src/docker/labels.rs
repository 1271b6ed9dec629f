//! The labels that mark a container as ours and say which replica it is.
//!
//! Owns their names, how they are written and how they are read. What they say is not proved by them:
//! everybody can write some.

use std::collections::HashMap;

use bollard::models::ContainerSummary;
use fleet::Life;
use placement::Seat;

use super::settings::DockerSettings;
use crate::StartOrder;

pub(super) const OWNER: &str = "evenkeel.owner";
pub(super) const SERVICE: &str = "evenkeel.service";
pub(super) const SEAT: &str = "evenkeel.seat";
pub(super) const INCARNATION: &str = "evenkeel.incarnation";
pub(super) const NAME: &str = "evenkeel.name";
/// There with [`NO_ALIAS`] where the replica does not go by its name on its network.
pub(super) const ALIAS: &str = "evenkeel.alias";
pub(super) const NO_ALIAS: &str = "none";
pub(super) const SPEC: &str = "evenkeel.spec";
pub(super) const RELEASE: &str = "evenkeel.release";
pub(super) const SEAL: &str = "evenkeel.seal";

/// What an engine takes as a filter: a kind, and the values that must all hold.
pub(super) type Filters = HashMap<String, Vec<String>>;

/// The labels that a container is created with, but for its release and its seal.
pub(super) fn of(settings: &DockerSettings, order: &StartOrder) -> HashMap<String, String> {
    HashMap::from([
        (OWNER.into(), settings.owner.clone()),
        (SERVICE.into(), settings.environment.service.clone()),
        (SEAT.into(), order.life.seat.to_string()),
        (INCARNATION.into(), order.life.incarnation.to_string()),
        (NAME.into(), order.name.to_string()),
        (SPEC.into(), settings.spec()),
    ])
}

/// Which life some labels speak of, if they can be read.
pub(super) fn life(labels: &HashMap<String, String>) -> Option<Life> {
    let seat = Seat::new(labels.get(SEAT)?.parse().ok()?)?;
    let incarnation = labels.get(INCARNATION)?.parse().ok()?;
    Some(Life { seat, incarnation })
}

/// The name of the replica that a container says it is.
pub(super) fn replica(summary: &ContainerSummary) -> Option<&str> {
    summary.labels.as_ref()?.get(NAME).map(String::as_str)
}

/// Whether a replica goes by its name on its network, by its own account.
pub(super) fn has_alias(summary: &ContainerSummary) -> bool {
    let said = summary.labels.as_ref().and_then(|labels| labels.get(ALIAS));
    said.is_none_or(|said| said != NO_ALIAS)
}

/// Everything of a service.
pub(super) fn filters_of_service(settings: &DockerSettings) -> Filters {
    let service = &settings.environment.service;
    let labels = vec![format!("{OWNER}={}", settings.owner), format!("{SERVICE}={service}")];
    Filters::from([("label".into(), labels)])
}

/// What is left of one life.
pub(super) fn filters_of_life(settings: &DockerSettings, life: Life) -> Filters {
    let mut filters = filters_of_service(settings);
    let labels = filters.entry("label".into()).or_default();
    labels.push(format!("{SEAT}={}", life.seat));
    labels.push(format!("{INCARNATION}={}", life.incarnation));
    filters
}

/// The events that say something about a replica of a service.
pub(super) fn filters_of_events(settings: &DockerSettings) -> Filters {
    let mut filters = filters_of_service(settings);
    filters.insert("type".into(), vec!["container".into()]);
    let actions = ["die", "pause", "unpause", "oom", "destroy", "health_status"];
    filters.insert("event".into(), actions.map(String::from).to_vec());
    filters
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{order, settings};
    use super::*;

    #[test]
    fn labels_written_are_read_back_as_the_same_life() {
        let order = order();
        assert_eq!(life(&of(&settings(), &order)), Some(order.life));
    }

    #[test]
    fn labels_that_cannot_be_read_name_no_life() {
        for (seat, incarnation) in [("0", "1"), ("", "1"), ("1", "-1"), ("x", "1"), ("1", "")] {
            let labels = HashMap::from([
                (SEAT.to_string(), seat.to_string()),
                (INCARNATION.to_string(), incarnation.to_string()),
            ]);
            assert_eq!(life(&labels), None, "{seat:?} {incarnation:?}");
        }
        assert_eq!(life(&HashMap::new()), None);
    }

    #[test]
    fn one_life_is_looked_for_by_all_four_labels() {
        let filters = filters_of_life(&settings(), order().life);
        let labels =
            ["evenkeel.owner=me", "evenkeel.service=web", "evenkeel.seat=3", "evenkeel.incarnation=7"];
        assert_eq!(filters["label"], labels);
    }
}
