//! The labels that mark a container as ours and say which replica it is.
//!
//! Owns their names, how they are written and how they are read. It decides whether something may
//! be touched, and never touches it.

use std::collections::HashMap;

use fleet::Life;
use placement::Seat;

use super::settings::DockerSettings;
use crate::{DriverError, StartOrder};

pub(super) const OWNER: &str = "evenkeel.owner";
pub(super) const SERVICE: &str = "evenkeel.service";
const SEAT: &str = "evenkeel.seat";
const INCARNATION: &str = "evenkeel.incarnation";
const SPEC: &str = "evenkeel.spec";
pub(super) const RELEASE: &str = "evenkeel.release";

/// What an engine takes as a filter: a kind, and the values that must all hold.
pub(super) type Filters = HashMap<String, Vec<String>>;

/// The labels that a container is created with.
pub(super) fn of(settings: &DockerSettings, order: &StartOrder) -> HashMap<String, String> {
    HashMap::from([
        (OWNER.into(), settings.owner.clone()),
        (SERVICE.into(), settings.environment.service.clone()),
        (SEAT.into(), order.life.seat.to_string()),
        (INCARNATION.into(), order.life.incarnation.to_string()),
        (SPEC.into(), settings.spec()),
    ])
}

/// Which life some labels speak of, if they can be read.
pub(super) fn life(labels: &HashMap<String, String>) -> Option<Life> {
    let seat = Seat::new(labels.get(SEAT)?.parse().ok()?)?;
    let incarnation = labels.get(INCARNATION)?.parse().ok()?;
    Some(Life { seat, incarnation })
}

/// Refuses unless the container that holds a name is a leftover of this very service.
pub(super) fn claim_name(
    settings: &DockerSettings,
    name: &str,
    labels: &HashMap<String, String>,
) -> Result<(), DriverError> {
    if labels.get(OWNER) != Some(&settings.owner) {
        return Err(DriverError::new(format!("the name '{name}' is taken by a container that is not ours")));
    }
    match labels.get(SERVICE) {
        Some(service) if *service == settings.environment.service => Ok(()),
        // Two services of one balancer may choose the same name; neither may end the other's replica.
        other => {
            let service = other.map_or("", String::as_str);
            Err(DriverError::new(format!("the name '{name}' is taken by a replica of service '{service}'")))
        }
    }
}

/// Whether a container was created from these settings.
pub(super) fn is_of_spec(settings: &DockerSettings, labels: Option<&HashMap<String, String>>) -> bool {
    labels.and_then(|labels| labels.get(SPEC)).is_some_and(|spec| *spec == settings.spec())
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
    let actions = ["die", "pause", "unpause", "oom", "destroy"];
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
    fn a_name_may_be_claimed_only_from_the_same_service_of_the_same_owner() {
        let ours = of(&settings(), &order());
        assert!(claim_name(&settings(), "web_1", &ours).is_ok());

        let mut of_other_service = ours.clone();
        of_other_service.insert(SERVICE.into(), "api".into());
        let mut of_other_owner = ours;
        of_other_owner.insert(OWNER.into(), "somebody".into());
        for (labels, reason) in [
            (of_other_service, "the name 'web_1' is taken by a replica of service 'api'"),
            (of_other_owner, "the name 'web_1' is taken by a container that is not ours"),
            (HashMap::new(), "the name 'web_1' is taken by a container that is not ours"),
        ] {
            let refusal = claim_name(&settings(), "web_1", &labels).unwrap_err();
            assert_eq!(refusal.to_string(), reason);
        }
    }

    #[test]
    fn one_life_is_looked_for_by_all_four_labels() {
        let filters = filters_of_life(&settings(), order().life);
        let labels =
            ["evenkeel.owner=me", "evenkeel.service=web", "evenkeel.seat=3", "evenkeel.incarnation=7"];
        assert_eq!(filters["label"], labels);
    }
}
