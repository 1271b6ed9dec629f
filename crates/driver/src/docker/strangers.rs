//! Containers that say that they are ours, and are not: from an earlier version, from a state folder that was
//! lost, or from somebody who has copied our labels. They are told once, and left alone.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use bollard::models::ContainerSummary;
use fleet::ReplicaName;

use super::container_name::replica_in;
use super::labels;
use super::proof::own_name;

/// How many are named in a line of the log; the others are counted.
const NAMED_MAX: usize = 20;
/// How many are remembered as told. Who makes more hears of some of them again.
const TOLD_MAX: usize = 4096;

/// Those of one service.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    told: BTreeSet<String>,
    names: BTreeSet<ReplicaName>,
}

impl Strangers {
    /// Those that there are now; the new ones are told.
    pub(super) fn note(&self, service: &str, found: &[ContainerSummary]) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.names = found.iter().flat_map(names_held_by).collect();
        if inner.told.len() > TOLD_MAX {
            inner.told.clear();
        }
        let is_new = |one: &&ContainerSummary| one.id.clone().is_some_and(|id| inner.told.insert(id));
        let mut new: Vec<&str> = found.iter().filter(is_new).filter_map(own_name).collect();
        new.sort_unstable();
        if !new.is_empty() {
            tracing::warn!(%service, "{}", told(&new));
        }
    }

    /// The names that no replica can have because of them.
    pub(super) fn names(&self) -> Vec<ReplicaName> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).names.iter().cloned().collect()
    }
}

/// What replicas would be called that were in the way of it: who has the same alias, or a container of the same name.
fn names_held_by(summary: &ContainerSummary) -> BTreeSet<ReplicaName> {
    let label = |label: &str| summary.labels.as_ref().and_then(|labels| labels.get(label));
    let called = own_name(summary);
    let parsed = |name: &str| ReplicaName::parse(name).ok();
    let replica = called.zip(label(labels::OWNER)).and_then(|(called, owner)| replica_in(called, owner));
    let by_label = label(labels::NAME).and_then(|name| parsed(name));
    [replica.or_else(|| called.and_then(parsed)), by_label].into_iter().flatten().collect()
}

/// What is said of containers that claim to be ours. Their names are of letters, digits, `_`, `.` and `-`.
pub(super) fn told(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(" ");
    let others = match names.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    format!(
        "containers carry our labels, but it cannot be proved that this balancer started them: {shown}{others}. They are \
         left alone, and their names are not used. If an earlier version started them, or the state folder was \
         lost, remove them: docker rm --force --volumes {shown}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_with_what_to_do_and_many_are_counted() {
        let text = told(&["web_1", "web_2"]);
        assert!(text.contains("started them: web_1 web_2. They"), "{text}");
        assert!(text.ends_with("docker rm --force --volumes web_1 web_2"), "{text}");
        let many: Vec<String> = (0..NAMED_MAX + 3).map(|number| format!("web_{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(told(&many).contains("web_19 (and 3 more)"), "{}", told(&many));
    }

    #[test]
    fn names_are_those_of_now() {
        let named = |name: &str| ContainerSummary {
            id: Some(name.into()),
            names: Some(vec![format!("/other/{name}"), format!("/{name}")]),
            ..Default::default()
        };
        let strangers = Strangers::default();
        strangers.note("web", &[named("web_1"), named("web_2")]);
        assert_eq!(strangers.names().iter().map(ReplicaName::as_str).collect::<Vec<_>>(), ["web_1", "web_2"]);
        let mut lost = named("me_web_3");
        lost.labels =
            Some([(labels::OWNER.into(), "me".into()), (labels::NAME.into(), "web_9".into())].into());
        strangers.note("web", &[lost]);
        let held = strangers.names();
        assert_eq!(held.iter().map(ReplicaName::as_str).collect::<Vec<_>>(), ["web_3", "web_9"]);
        strangers.note("web", &[]);
        assert!(strangers.names().is_empty());
    }
}
