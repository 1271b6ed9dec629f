//! Edits: the one door through which what should run is changed.

use placement::{NoRoom, Placement, Seat, SeatChoice, draw};

use crate::desired::Change;
use crate::names;
use crate::rollout::Successor;
use crate::{Assignment, ChangeId, Deployment, Desired, FleetSettings, Life, Moment, Observed, ReplicaName};

/// What a caller wants changed. Counts and names only: what is run comes from the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `count` more, the first of them with these names.
    Add {
        /// How many, at least 1.
        count: u32,
        /// Names for the first ones.
        names: Vec<ReplicaName>,
    },
    /// As many as this, at the least; those that are missing are named by number.
    Fill {
        /// How many.
        count: u32,
    },
    /// `count` fewer: these, and others drawn at random.
    Remove {
        /// How many, at least 1.
        count: u32,
        /// Who must be among them.
        names: Vec<ReplicaName>,
    },
    /// As many as this, whatever it takes.
    Scale {
        /// How many.
        count: u32,
    },
    /// Every seat to this release, one after the other. What a release is, the operator says.
    Deploy(Deployment),
}

/// Why an edit is not possible; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum Refusal {
    #[error("{names} names for {count} new replicas")]
    MoreNamesThanAdded { names: usize, count: u32 },
    #[error("{names} names for {count} replicas to remove")]
    MoreNamesThanRemoved { names: usize, count: u32 },
    #[error("'{0}' is named twice")]
    NamedTwice(ReplicaName),
    #[error("a replica named '{0}' exists already")]
    NameTaken(ReplicaName),
    #[error("there is no replica named '{0}'")]
    UnknownName(ReplicaName),
    #[error("there are only {present} replicas, {asked} cannot be removed")]
    TooFew { present: u32, asked: u32 },
    #[error("that would be {asked} replicas, max_replicas allows {max}")]
    TooMany { max: u32, asked: u64 },
    #[error("the placement has no room: {0}")]
    NoRoom(NoRoom),
    #[error(
        "the replicas of this service are not ours to add or remove: its addresses are fixed in the configuration"
    )]
    NotOwned,
    #[error("another change is under way")]
    Busy,
    #[error("a rollout is under way; wait until it has ended")]
    RolloutUnderWay,
    #[error("nothing has changed: every replica runs what the configuration asks for")]
    NothingToDeploy,
}

impl Desired {
    /// Applies an edit, whole or not at all. Additions are pending until their replicas take
    /// traffic and then have an id; everything else is settled at once.
    pub(crate) fn apply(
        &mut self,
        edit: &Edit,
        settings: &FleetSettings,
        (observed, now): (&Observed, Moment),
    ) -> Result<Option<ChangeId>, Refusal> {
        let present = self.settled().count() as u32;
        match edit {
            _ if self.changes.iter().any(|change| change.is_alone) => Err(Refusal::Busy),
            Edit::Fill { .. } | Edit::Scale { .. } if self.has_changes() => Err(Refusal::Busy),
            Edit::Fill { count } => {
                let change = self.fill(*count, settings, (observed, now));
                self.let_nobody_between();
                change
            }
            _ if !settings.is_owned => Err(Refusal::NotOwned),
            Edit::Add { count, names } => self.add((*count, names), settings, (observed, now)),
            Edit::Remove { count, names } => self.remove(*count, names).map(|()| None),
            Edit::Deploy(deployment) => self.deploy(deployment).map(|()| None),
            Edit::Scale { count } if *count > present => {
                let change = self.add((*count - present, &[]), settings, (observed, now));
                self.let_nobody_between();
                change
            }
            Edit::Scale { count } => self.remove(present - *count, &[]).map(|()| None),
        }
    }

    /// What was to bring the fleet to a certain size is settled before anything else is taken, or the
    /// size would be another one in the end.
    fn let_nobody_between(&mut self) {
        self.changes.iter_mut().for_each(|change| change.is_alone = true);
    }

    fn fill(
        &mut self,
        count: u32,
        settings: &FleetSettings,
        (observed, now): (&Observed, Moment),
    ) -> Result<Option<ChangeId>, Refusal> {
        let missing = count.saturating_sub(self.assignments.len() as u32);
        let is_free = |name: &ReplicaName| !self.is_name_taken(name);
        let numbered = (1..).map(|number| names::numbered(&settings.name_prefix, number)).filter(is_free);
        let names: Vec<ReplicaName> = numbered.take(missing as usize).collect();
        let change = self.add((missing, &names), settings, (observed, now))?;
        // Replicas that are only watched need not be well for the service to begin.
        match change {
            Some(change) if !settings.is_owned => {
                self.commit(change);
                Ok(None)
            }
            other => Ok(other),
        }
    }

    fn add(
        &mut self,
        (count, names): (u32, &[ReplicaName]),
        settings: &FleetSettings,
        (observed, now): (&Observed, Moment),
    ) -> Result<Option<ChangeId>, Refusal> {
        if names.len() > count as usize {
            return Err(Refusal::MoreNamesThanAdded { names: names.len(), count });
        }
        refuse_doubles(names)?;
        if let Some(taken) = names.iter().find(|name| self.is_name_taken(name)) {
            return Err(Refusal::NameTaken(taken.clone()));
        }
        let asked = self.assignments.len() as u64 + u64::from(count);
        if asked > u64::from(settings.replicas_max) {
            return Err(Refusal::TooMany { max: settings.replicas_max, asked });
        }
        if count == 0 {
            return Ok(None);
        }
        let id = ChangeId(self.changes.iter().map(|change| change.id.0 + 1).max().unwrap_or(self.generation));
        let mut next = self.clone();
        next.changes.push(Change { id, deadline: now + settings.start_timeout, is_alone: false });
        let mut names = names.iter().cloned();
        for _ in 0..count {
            next.add_one(id, names.next(), (settings, observed))?;
        }
        *self = next;
        Ok(Some(id))
    }

    fn add_one(
        &mut self,
        change: ChangeId,
        name: Option<ReplicaName>,
        (settings, observed): (&FleetSettings, &Observed),
    ) -> Result<(), Refusal> {
        let seat = self.next_seat(settings.seat_choice);
        let life = Life { seat, incarnation: observed.next_incarnation(seat) };
        self.placement.insert(self.member(seat)).map_err(Refusal::NoRoom)?;
        let name = name.unwrap_or_else(|| self.random_name(life, settings, observed));
        self.assignments.push(Assignment { seat, life, name, release: self.release, pending: Some(change) });
        Ok(())
    }

    /// The seat that the next replica gets. Where a choice finds none, the lowest free one is taken,
    /// and the placement says why it has no room.
    fn next_seat(&self, choice: SeatChoice) -> Seat {
        let chosen = match &self.placement {
            Placement::Classic(classic) => {
                let taken: Vec<Seat> = self.assignments.iter().map(|assignment| assignment.seat).collect();
                choice.next(classic, &taken)
            }
            Placement::Rendezvous(_) | Placement::Named(_) => None,
        };
        let lowest = || self.free_seats().next().expect("there are more seats than assignments");
        chosen.unwrap_or_else(lowest)
    }

    fn remove(&mut self, count: u32, names: &[ReplicaName]) -> Result<(), Refusal> {
        if names.len() > count as usize {
            return Err(Refusal::MoreNamesThanRemoved { names: names.len(), count });
        }
        refuse_doubles(names)?;
        if let Some(unknown) =
            names.iter().find(|name| self.settled().all(|assignment| assignment.name != **name))
        {
            return Err(Refusal::UnknownName(unknown.clone()));
        }
        let present = self.settled().count() as u32;
        if count > present {
            return Err(Refusal::TooFew { present, asked: count });
        }
        let (mut leaving, mut others): (Vec<Seat>, Vec<Seat>) = (Vec::new(), Vec::new());
        for assignment in self.settled() {
            if names.contains(&assignment.name) {
                leaving.push(assignment.seat);
            } else {
                others.push(assignment.seat);
            }
        }
        while leaving.len() < count as usize {
            let number = self.generation.wrapping_mul(1 << 20).wrapping_add(leaving.len() as u64);
            let at = draw(self.seed, number) % others.len() as u64;
            leaving.push(others.swap_remove(at as usize));
        }
        for seat in &leaving {
            self.vacate(*seat);
        }
        self.assignments.retain(|assignment| !leaving.contains(&assignment.seat));
        self.generation += 1;
        Ok(())
    }

    fn is_name_taken(&self, name: &ReplicaName) -> bool {
        self.assignments.iter().chain(&self.spares).any(|assignment| assignment.name == *name)
    }

    /// A random name that nobody in the fleet carries or is about to lay down.
    pub(crate) fn random_name(
        &self,
        life: Life,
        settings: &FleetSettings,
        observed: &Observed,
    ) -> ReplicaName {
        let is_free = |name: &ReplicaName| {
            let is_tried = |successor: &Successor| successor.name == *name;
            let is_successors =
                self.rollout.as_ref().is_some_and(|rollout| rollout.successors.iter().any(is_tried));
            !self.is_name_taken(name) && !observed.holds_name(name) && !is_successors
        };
        let seed = draw(self.seed, self.generation);
        names::random(&settings.name_prefix, seed, (life.seat, life.incarnation), is_free)
    }
}

fn refuse_doubles(names: &[ReplicaName]) -> Result<(), Refusal> {
    let mut seen = std::collections::BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(double) => Err(Refusal::NamedTwice(double.clone())),
        None => Ok(()),
    }
}
