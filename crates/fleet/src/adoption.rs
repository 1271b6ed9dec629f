//! Adoption: what an earlier balancer left is taken over by the next one, so that nothing is doubled and
//! nothing is forgotten.

use crate::spares::spare_seats;
use crate::{Assignment, Event, Fleet, Found, FoundState, Life, Moment, Release, StoredAssignment};

impl Fleet {
    /// Takes over what an earlier balancer left, before anything else happens: whatever runs in a
    /// seat of ours is that seat's life, and a seat without one takes a spare that runs, or begins its
    /// next life. If nothing was ever wished for here, what runs is what was wished for. Spares are what
    /// runs in their seats, as many as the settings say. `release_of` tells what somebody runs.
    pub fn adopt(&mut self, found: &[Found], release_of: impl Fn(Life) -> Option<Release>, now: Moment) {
        let known = found.iter().map(|one| one.life);
        let wished = self.desired.places().map(|place| place.life);
        for life in known.chain(wished).collect::<Vec<_>>() {
            let record = self.observed.record(life.seat);
            record.last_incarnation = record.last_incarnation.max(life.incarnation);
        }
        if self.desired.generation == 0 && self.desired.assignments.is_empty() {
            self.assign_what_runs(found);
        }
        let mut free = self.running_spares(found, &release_of);
        for index in 0..self.desired.assignments.len() {
            let assignment = self.desired.assignments[index].clone();
            let spare = || free.iter().position(|(_, release)| *release == assignment.release);
            if let Some(one) = self.heir_of(&assignment, found) {
                self.desired.succeed(assignment.life, one.life, &one.name);
            } else if let Some(at) = spare() {
                let (one, _) = free.remove(at);
                self.desired.succeed(assignment.life, one.life, &one.name);
            } else {
                let next = self.next_life(&assignment);
                self.desired.succeed(assignment.life, next, &assignment.name);
            }
        }
        self.adopt_spares(&free);
        self.observe(&Event::Listed { asked_at: now, found: found.to_vec() }, now);
    }

    /// Who runs that a seat goes on with.
    fn heir_of<'a>(&self, assignment: &Assignment, found: &'a [Found]) -> Option<&'a Found> {
        // What was only tried when a rollout was interrupted does not have the seat; and where a spare
        // has it, what else runs there was to go.
        let has_precedence = self.desired.rollout.is_some() || assignment.life.began_as_spare();
        let itself =
            found.iter().find(|one| one.life == assignment.life && has_precedence && is_running(one));
        let in_seat = found.iter().filter(|one| one.life.seat == assignment.seat && is_running(one));
        itself.or_else(|| in_seat.max_by_key(|one| one.life.incarnation))
    }

    fn next_life(&self, assignment: &Assignment) -> Life {
        Life { seat: assignment.seat, incarnation: self.observed.next_incarnation(assignment.seat) }
    }

    /// Who runs that began as a spare and has no seat of the fleet, the lowest first, and what they run.
    fn running_spares<'a>(
        &self,
        found: &'a [Found],
        release_of: &impl Fn(Life) -> Option<Release>,
    ) -> Vec<(&'a Found, Release)> {
        let has_seat = |life: Life| self.desired.assignment_of(life).is_some();
        let is_meant = |one: &&Found| one.life.began_as_spare() && is_running(one) && !has_seat(one.life);
        let stored = |life: Life| {
            let spare = self.desired.spares.iter().find(|spare| spare.seat == life.seat);
            spare.map(|spare| spare.release)
        };
        let release = |life| release_of(life).or_else(|| stored(life)).unwrap_or_default();
        let mut running: Vec<_> = found.iter().filter(is_meant).map(|one| (one, release(one.life))).collect();
        running.sort_by_key(|(one, _)| one.life);
        running
    }

    /// As many spares as there shall be, each the latest that runs in its seat, or one that begins.
    fn adopt_spares(&mut self, running: &[(&Found, Release)]) {
        self.desired.spares.clear();
        for seat in spare_seats().take(self.settings.spares as usize) {
            let in_seat = running.iter().filter(|(one, _)| one.life.seat == seat);
            let spare = match in_seat.max_by_key(|(one, _)| one.life.incarnation) {
                Some((one, release)) => {
                    let (life, name) = (one.life, one.name.clone());
                    Assignment { seat, life, name, release: *release, pending: None }
                }
                None => {
                    let life = Life { seat, incarnation: self.observed.next_incarnation(seat) };
                    let name = self.desired.random_name(life, &self.settings, &self.observed);
                    Assignment { seat, life, name, release: self.desired.release, pending: None }
                }
            };
            self.desired.spares.push(spare);
        }
    }

    fn assign_what_runs(&mut self, found: &[Found]) {
        // Which seat one has that began as a spare, nobody knows any more.
        let is_meant = |one: &&Found| is_running(one) && !one.life.began_as_spare();
        let mut running: Vec<&Found> = found.iter().filter(is_meant).collect();
        // The latest life of each seat, by seat.
        running.sort_by_key(|one| (one.life.seat, std::cmp::Reverse(one.life.incarnation)));
        running.dedup_by_key(|one| one.life.seat);
        let stored = running.into_iter().map(|one| StoredAssignment {
            seat: one.life.seat,
            life: one.life,
            name: one.name.clone(),
            release: Release::default(),
            slots: None,
        });
        let mut wish = self.desired.clone();
        if wish.restore(1, stored.collect()).is_ok() && !wish.assignments.is_empty() {
            self.desired = wish;
        }
    }
}

fn is_running(found: &Found) -> bool {
    matches!(found.state, FoundState::Running { .. })
}
