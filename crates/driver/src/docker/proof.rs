//! What we can prove to have started: what has our seal, and is the one that the seal was given to. Nothing
//! else is stopped, removed, adopted or waited for, whatever its labels say.

use std::collections::HashMap;

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use files::Secret;

use super::container_name::is_name_of;
use super::labels;
use super::ledger::Ledger;
use super::records::DockerRecords;
use super::seal::{self, Kind};
use crate::DriverError;

/// Something with labels, as the engine shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) id: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) labels: &'a HashMap<String, String>,
}

impl<'a> Shown<'a> {
    pub(super) fn in_summary(summary: &'a ContainerSummary) -> Option<Self> {
        let (id, labels) = (summary.id.as_deref()?, summary.labels.as_ref()?);
        Some(Self { id, name: own_name(summary), labels })
    }

    pub(super) fn in_inspect(inspected: &'a ContainerInspectResponse) -> Option<Self> {
        let name = inspected.name.as_deref().map(|name| name.trim_start_matches('/'));
        Some(Self { id: inspected.id.as_deref()?, name, labels: inspected.config.as_ref()?.labels.as_ref()? })
    }
}

/// A container has one name of its own, and one as `/other/alias` for each link to it.
pub(super) fn own_name(summary: &ContainerSummary) -> Option<&str> {
    let names = summary.names.iter().flatten().filter_map(|name| name.strip_prefix('/'));
    names.into_iter().find(|name| !name.contains('/'))
}

/// How the containers of one service are known.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    secret: Secret,
    owner: String,
    service: String,
    ledger: Ledger,
}

impl Proof {
    pub(super) fn open(records: &DockerRecords, owner: &str, service: &str) -> Result<Self, DriverError> {
        Ok(Self {
            secret: records.secret.clone(),
            owner: owner.to_owned(),
            service: service.to_owned(),
            ledger: Ledger::open(&records.containers().join(service))?,
        })
    }

    /// What was written down.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Seals the labels of a container that is to be made.
    pub(super) fn seal(&self, labels: &mut HashMap<String, String>, number: &str) {
        seal::put_on(labels, &self.secret, Kind::Container, number);
    }

    /// The number of the seal by which a container is one of this service that we have started; without
    /// it, it is not.
    pub(super) fn number<'a>(&self, shown: Shown<'a>) -> Option<&'a str> {
        let Shown { id, name, labels } = shown;
        let is_of_service = labels.get(labels::OWNER) == Some(&self.owner)
            && labels.get(labels::SERVICE) == Some(&self.service);
        let number = seal::number(labels, &self.secret, Kind::Container).filter(|_| is_of_service)?;
        let replica = labels.get(labels::NAME);
        let has_its_own_name =
            name.zip(replica).is_some_and(|(name, replica)| is_name_of(name, &self.owner, replica));
        self.ledger.belongs(number, id, has_its_own_name).then_some(number)
    }

    /// Whether it was ours and is gone by now; a list that was asked for before may still show it.
    pub(super) fn was_ours(&self, summary: &ContainerSummary) -> bool {
        summary.id.as_deref().is_some_and(|id| self.ledger.has_ended(id))
    }

    /// Whether it says that it is a replica of another balancer. That is believed where it makes no difference to
    /// whom it is a stranger.
    pub(super) fn is_of_another_owner(&self, summary: &ContainerSummary) -> bool {
        summary.labels.as_ref().is_some_and(|labels| {
            let is_replica = labels.contains_key(labels::NAME) && labels::life(labels).is_some();
            is_replica && labels.get(labels::OWNER).is_some_and(|owner| *owner != self.owner)
        })
    }

    /// Whether it says that it is of this balancer, of whatever service.
    pub(super) fn claims_our_owner(&self, summary: &ContainerSummary) -> bool {
        summary.labels.as_ref().is_some_and(|labels| labels.get(labels::OWNER) == Some(&self.owner))
    }

    /// Whether we have started it.
    pub(super) fn is_ours(&self, summary: &ContainerSummary) -> bool {
        Shown::in_summary(summary).is_some_and(|shown| self.number(shown).is_some())
    }
}
