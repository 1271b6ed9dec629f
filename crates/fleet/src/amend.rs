//! What an edit makes of a fleet: who is added, and who leaves.

use placement::{Seat, SeatChoice, draw};

use crate::names;
use crate::progress::Change;
use crate::rollout::Rollout;
use crate::{Assignment, ChangeId, Deployment, Edit, Fleet, Life, Moment, Refusal, ReplicaName, Transition};

impl Fleet {
    /// Applies an edit. Additions are pending until their replicas take traffic and then have an id;
    /// everything else is settled at once. After a refusal the roster may be half changed.
    pub(crate) fn amend(&mut self, edit: &Edit, now: Moment) -> Result<Option<ChangeId>, Refusal> {
        let present = self.desired().replicas.len() as u32;
        match edit {
            _ if self.roster.progress.changes.iter().any(|change| change.is_alone) => Err(Refusal::Busy),
            Edit::Fill { .. } | Edit::Scale { .. } if self.roster.has_changes() => Err(Refusal::Busy),
            Edit::Fill { count } => self.fill(*count, now).map(|()| None),
            _ if !self.settings.is_owned => Err(Refusal::NotOwned),
            Edit::Add { count, names } => match names.iter().find(|name| self.reserved.has(name)) {
                Some(reserved) => Err(Refusal::NameReserved(reserved.clone())),
                None => self.add(*count, names, now),
            },
            Edit::Remove { count, names } => self.remove(*count, names).map(|()| None),
            Edit::Deploy(deployment) => self.deploy(deployment).map(|()| None),
            Edit::Scale { count } if *count > present => {
                let change = self.add(*count - present, &[], now);
                self.let_nobody_between();
                change
            }
            Edit::Scale { count } => self.remove(present - *count, &[]).map(|()| None),
        }
    }

    /// What was to bring the fleet to a certain size is settled before anything else is taken, or the
    /// size would be another one in the end.
    fn let_nobody_between(&mut self) {
        self.roster.progress.changes.iter_mut().for_each(|change| change.is_alone = true);
    }

    /// What a fleet begins with counts at once: one that cannot be started is shown and tried again, and
    /// keeps none of the others from serving.
    fn fill(&mut self, count: u32, now: Moment) -> Result<(), Refusal> {
        let missing = count.saturating_sub(self.roster.assignments().count() as u32);
        let is_free = |name: &ReplicaName| !self.roster.is_name_taken(name) && !self.reserved.has(name);
        let numbered = (1..).map(|number| names::numbered(&self.settings.name_prefix, number));
        let names: Vec<ReplicaName> = numbered.filter(is_free).take(missing as usize).collect();
        if let Some(change) = self.add(missing, &names, now)? {
            self.roster.commit(change);
        }
        Ok(())
    }

    fn add(&mut self, count: u32, names: &[ReplicaName], now: Moment) -> Result<Option<ChangeId>, Refusal> {
        if names.len() > count as usize {
            return Err(Refusal::MoreNamesThanAdded { names: names.len(), count });
        }
        refuse_doubles(names)?;
        if let Some(taken) = names.iter().find(|name| self.roster.is_name_taken(name)) {
            return Err(Refusal::NameTaken(taken.clone()));
        }
        let asked = self.roster.assignments().count() as u64 + u64::from(count);
        if asked > u64::from(self.settings.replicas_max) {
            return Err(Refusal::TooMany { max: self.settings.replicas_max, asked });
        }
        if count == 0 {
            return Ok(None);
        }
        let after_others = self.roster.progress.changes.iter().map(|change| change.id.0 + 1).max();
        let id = ChangeId(after_others.unwrap_or(self.roster.desired.generation));
        let deadline = now + self.settings.start_timeout;
        self.roster.progress.changes.push(Change { id, added: Vec::new(), deadline, is_alone: false });
        let mut names = names.iter().cloned();
        for _ in 0..count {
            let one = self.newcomer(names.next())?;
            let change = self.roster.progress.changes.last_mut().expect("it was just begun");
            change.added.push(one);
        }
        Ok(Some(id))
    }

    /// One more, in a seat of its own.
    fn newcomer(&mut self, name: Option<ReplicaName>) -> Result<Assignment, Refusal> {
        let seat = self.next_seat(self.settings.seat_choice);
        let life = Life { seat, incarnation: self.observed.next_incarnation(seat) };
        self.roster.seating.insert(seat).map_err(Refusal::NoRoom)?;
        let name = name.unwrap_or_else(|| self.random_name(life));
        Ok(Assignment { seat, life, name, release: self.roster.desired.release, slots: None })
    }

    /// The seat that the next replica gets. Where a choice finds none, the lowest free one is taken,
    /// and the placement says why it has no room.
    fn next_seat(&self, choice: SeatChoice) -> Seat {
        let taken: Vec<Seat> = self.roster.assignments().map(|assignment| assignment.seat).collect();
        let lowest = || self.roster.free_seats().next().expect("there are more seats than assignments");
        self.roster.seating.preferred(choice, &taken).unwrap_or_else(lowest)
    }

    fn remove(&mut self, count: u32, names: &[ReplicaName]) -> Result<(), Refusal> {
        if names.len() > count as usize {
            return Err(Refusal::MoreNamesThanRemoved { names: names.len(), count });
        }
        refuse_doubles(names)?;
        if let Some(unknown) = names
            .iter()
            .find(|name| self.desired().replicas.iter().all(|assignment| assignment.name != **name))
        {
            return Err(Refusal::UnknownName(unknown.clone()));
        }
        let present = self.desired().replicas.len() as u32;
        if count > present {
            return Err(Refusal::TooFew { present, asked: count });
        }
        let (mut leaving, mut others): (Vec<Seat>, Vec<Seat>) = (Vec::new(), Vec::new());
        for assignment in &self.roster.desired.replicas {
            if names.contains(&assignment.name) {
                leaving.push(assignment.seat);
            } else {
                others.push(assignment.seat);
            }
        }
        while leaving.len() < count as usize {
            let number =
                self.roster.desired.generation.wrapping_mul(1 << 20).wrapping_add(leaving.len() as u64);
            let at = draw(self.roster.desired.seed, number) % others.len() as u64;
            leaving.push(others.swap_remove(at as usize));
        }
        for seat in &leaving {
            self.roster.vacate(*seat);
        }
        self.roster.desired.replicas.retain(|assignment| !leaving.contains(&assignment.seat));
        self.roster.desired.generation += 1;
        Ok(())
    }

    fn deploy(&mut self, deployment: &Deployment) -> Result<(), Refusal> {
        if self.roster.rollout_under_way().is_some() {
            return Err(Refusal::RolloutUnderWay);
        }
        let Deployment { release, is_forced, settings } = deployment.clone();
        let is_outdated = |assignment: &&Assignment| is_forced || assignment.release != release;
        let outdated = self.roster.assignments().filter(is_outdated);
        let left: Vec<Seat> = outdated.map(|assignment| assignment.seat).collect();
        if left.is_empty() && release == self.roster.desired.release {
            return Err(Refusal::NothingToDeploy);
        }
        self.roster.desired.generation += 1;
        let transition = Transition { from: self.roster.desired.release, to: release, is_return: false };
        let rollout = Rollout::begin(self.roster.desired.generation, transition, settings);
        self.roster.begin_rollout(Rollout { is_forced, ..rollout.with_seats(left) });
        Ok(())
    }
}

fn refuse_doubles(names: &[ReplicaName]) -> Result<(), Refusal> {
    let mut seen = std::collections::BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(double) => Err(Refusal::NamedTwice(double.clone())),
        None => Ok(()),
    }
}
