//! Adoption: what an earlier balancer left is taken over by the next one, so that nothing is doubled and
//! nothing is forgotten.

use crate::life::spare_seats;
use crate::rollout::Rollout;
use crate::{Assignment, Event, Fleet, Found, FoundState, Life, Moment, Phase, Release, Transition};

impl Fleet {
    /// Takes over what an earlier balancer left, before anything else happens: whatever runs in a
    /// seat of ours is that seat's life, and a seat without one takes a spare that runs, or begins its
    /// next life. If nothing was ever desired here, what runs is what was desired. Spares are what
    /// runs in their seats, as many as the settings say. `release_of` tells what somebody runs.
    pub fn adopt(&mut self, found: &[Found], release_of: impl Fn(Life) -> Option<Release>, now: Moment) {
        let known = found.iter().map(|one| one.life);
        let desired = self.roster.places().map(|place| place.life);
        for life in known.chain(desired).collect::<Vec<_>>() {
            let record = self.observed.record(life.seat);
            record.last_incarnation = record.last_incarnation.max(life.incarnation);
        }
        if self.desired().generation == 0 && self.desired().replicas.is_empty() {
            self.assign_what_runs(found);
        }
        let mut free = self.running_spares(found, &release_of);
        for index in 0..self.desired().replicas.len() {
            let assignment = self.desired().replicas[index].clone();
            let spare = || free.iter().position(|(_, release)| *release == assignment.release);
            if let Some(one) = self.heir_of(&assignment, found) {
                self.roster.succeed(assignment.life, one.life, &one.name);
            } else if let Some(at) = spare() {
                let (one, _) = free.remove(at);
                self.roster.succeed(assignment.life, one.life, &one.name);
            } else {
                let next = self.next_life(&assignment);
                let is_free = !self.reserved.has(&assignment.name);
                let name = if is_free { assignment.name.clone() } else { self.random_name(next) };
                self.roster.succeed(assignment.life, next, &name);
            }
        }
        self.adopt_spares(&free);
        self.observe(&Event::Listed { asked_at: now, found: found.to_vec() }, now);
    }

    /// Who runs that a seat goes on with.
    fn heir_of<'a>(&self, assignment: &Assignment, found: &'a [Found]) -> Option<&'a Found> {
        // What was only tried when a rollout was interrupted does not have the seat; and where a spare
        // has it, what else runs there was to go.
        let has_precedence = self.roster.progress.rollout.is_some() || assignment.life.began_as_spare();
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
        let has_seat = |life: Life| self.roster.assignment_of(life).is_some();
        let is_meant = |one: &&Found| one.life.began_as_spare() && is_running(one) && !has_seat(one.life);
        let stored = |life: Life| {
            let spare = self.desired().spares.iter().find(|spare| spare.seat == life.seat);
            spare.map(|spare| spare.release)
        };
        let release = |life| release_of(life).or_else(|| stored(life)).unwrap_or_default();
        let mut running: Vec<_> = found.iter().filter(is_meant).map(|one| (one, release(one.life))).collect();
        running.sort_by_key(|(one, _)| one.life);
        running
    }

    /// As many spares as there shall be, each the latest that runs in its seat, or one that begins.
    fn adopt_spares(&mut self, running: &[(&Found, Release)]) {
        self.roster.desired.spares.clear();
        for seat in spare_seats().take(self.settings.spares as usize) {
            let in_seat = running.iter().filter(|(one, _)| one.life.seat == seat);
            let spare = match in_seat.max_by_key(|(one, _)| one.life.incarnation) {
                Some((one, release)) => {
                    let (life, name) = (one.life, one.name.clone());
                    Assignment { seat, life, name, release: *release, slots: None }
                }
                None => {
                    let life = Life { seat, incarnation: self.observed.next_incarnation(seat) };
                    let (name, release) = (self.random_name(life), self.roster.desired.release);
                    Assignment { seat, life, name, release, slots: None }
                }
            };
            self.roster.desired.spares.push(spare);
        }
    }

    fn assign_what_runs(&mut self, found: &[Found]) {
        // Which seat one has that began as a spare, nobody knows any more.
        let is_meant = |one: &&Found| is_running(one) && !one.life.began_as_spare();
        let mut running: Vec<&Found> = found.iter().filter(is_meant).collect();
        // The latest life of each seat, by seat.
        running.sort_by_key(|one| (one.life.seat, std::cmp::Reverse(one.life.incarnation)));
        running.dedup_by_key(|one| one.life.seat);
        let replicas = running.into_iter().map(|one| Assignment {
            seat: one.life.seat,
            life: one.life,
            name: one.name.clone(),
            release: Release::default(),
            slots: None,
        });
        let mut replicas: Vec<Assignment> = replicas.collect();
        let mut seating = self.roster.seating.clone();
        let has_room = replicas.iter_mut().all(|assignment| seating.restore(assignment).is_ok());
        if has_room && !replicas.is_empty() {
            self.roster.seating = seating;
            (self.roster.desired.generation, self.roster.desired.replicas) = (1, replicas);
        }
    }

    /// After the start of a balancer: what is to be run from now on, what the replicas run that were found,
    /// and of which releases it is known what they are. A rollout that was under way goes on, or is undone, if
    /// what is to be run is one of its two ends. Returns how many replicas run something else and are left alone.
    pub fn settle_releases(
        &mut self,
        current: Release,
        release_of: impl Fn(Life) -> Option<Release>,
        is_known: impl Fn(Release) -> bool,
    ) -> usize {
        let stored = self.roster.progress.rollout.take();
        self.roster.desired.release = current;
        self.roster.desired.rollout = None;
        let mut outdated = Vec::new();
        for assignment in self.roster.places_mut() {
            let known = self.observed.get(assignment.life);
            let runs = known.is_some_and(|known| !matches!(known.phase, Phase::Over(_)));
            assignment.release =
                if runs { release_of(assignment.life).unwrap_or(assignment.release) } else { current };
            if assignment.release != current && !assignment.is_spare() {
                outdated.push(assignment.seat);
            }
        }
        let is_end = |rollout: &Rollout| {
            let Transition { from, to, is_return: _ } = rollout.transition;
            [from, to].contains(&current)
        };
        let Some(stored) = stored.filter(is_end) else {
            self.renew_spares(false);
            return outdated.len();
        };
        let is_forward = current == stored.transition.to;
        let transition = if is_forward { stored.transition } else { stored.transition.reversed() };
        let rollout = Rollout::begin(stored.number, transition, self.settings.rollout.clone());
        let knows_before = is_known(transition.from);
        self.roster.begin_rollout(Rollout { knows_before, ..rollout.with_seats(outdated) });
        0
    }
}

fn is_running(found: &Found) -> bool {
    matches!(found.state, FoundState::Running { .. })
}
