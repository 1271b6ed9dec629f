//! Spares: replicas that run beside the fleet and wait for a seat. They get no requests and count for
//! nothing, until one takes the seat of a replica that is replaced: at once, without a start in between.
//!
//! A life keeps the number that it was begun with, because that is written on its container or process.
//! So spares begin in seats of their own, out of the fleet, and an assignment says who has its seat.

use placement::Seat;

use crate::{Assignment, Desired, Fleet, Life, Moment, Phase, Release, StoredAssignment};

/// The lowest seat of spares. A fleet has ten thousand seats at most, so it never gets there.
pub const SPARE_SEAT_MIN: u32 = 10_001;

/// The seats in which spares begin, lowest first.
pub(crate) fn spare_seats() -> impl Iterator<Item = Seat> {
    (SPARE_SEAT_MIN..).filter_map(Seat::new)
}

/// Whether a seat is one of those.
pub(crate) fn is_spare_seat(seat: Seat) -> bool {
    seat.number() >= SPARE_SEAT_MIN
}

impl Life {
    /// Whether it was begun as a spare; it may have a seat of the fleet by now.
    pub fn began_as_spare(self) -> bool {
        is_spare_seat(self.seat)
    }
}

impl Desired {
    /// The assignments of those that wait for a seat, each in a seat out of the fleet.
    pub fn spares(&self) -> &[Assignment] {
        &self.spares
    }

    /// The spares that were stored. How many there shall be is not theirs to say.
    pub fn restore_spares(&mut self, stored: Vec<StoredAssignment>) {
        let assignment = |StoredAssignment { seat, life, name, release, slots: _ }| Assignment {
            seat,
            life,
            name,
            release,
            pending: None,
        };
        self.spares = stored.into_iter().map(assignment).collect();
    }

    /// The spares as they are to be kept on disk.
    pub fn spares_to_store(&self) -> Vec<StoredAssignment> {
        let stored = self.spares.iter().map(|spare| StoredAssignment {
            seat: spare.seat,
            life: spare.life,
            name: spare.name.clone(),
            release: spare.release,
            slots: None,
        });
        stored.collect()
    }

    /// The seats that somebody has who began as a spare: a balancer that knows only what runs cannot tell.
    pub fn seats_of_spares(&self) -> Vec<(Seat, Life)> {
        let began_as_spare = self.settled().filter(|assignment| assignment.life.began_as_spare());
        began_as_spare.map(|assignment| (assignment.seat, assignment.life)).collect()
    }

    /// All that should run but what a rollout tries: the assignments of the fleet, and those of spares.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Assignment> {
        self.assignments.iter().chain(&self.spares)
    }

    /// The assignment that a life has, in the fleet or as a spare.
    pub(crate) fn place_of(&self, life: Life) -> Option<&Assignment> {
        self.places().find(|assignment| assignment.life == life)
    }

    /// Whether a life waits for a seat.
    pub(crate) fn is_spare(&self, life: Life) -> bool {
        self.spares.iter().any(|spare| spare.life == life)
    }

    /// What the next life runs where this was run.
    pub(crate) fn next_release(&self, release: Release) -> Release {
        if self.can_run(release) { release } else { self.release }
    }

    /// Whether spares are as good as what a seat's next life would be. Where all is replaced by the
    /// same, those that have had their turn are newer than any spare.
    fn takes_spares(&self, assignment: &Assignment) -> bool {
        let is_renewed = self.rollout_under_way().is_some_and(|rollout| {
            let is_tried =
                || rollout.successors.iter().any(|successor| successor.life.seat == assignment.seat);
            rollout.is_forced && !rollout.left.contains(&assignment.seat) && !is_tried()
        });
        // Whoever added a pending one may have asked for its name.
        assignment.pending.is_none() && !is_renewed
    }
}

impl Fleet {
    /// The spare that can take the seat of a life now, if there is one.
    pub(crate) fn spare_for(&self, life: Life) -> Option<Assignment> {
        let assignment =
            self.desired.assignment_of(life).filter(|assignment| self.desired.takes_spares(assignment))?;
        let releases = [assignment.release, self.desired.next_release(assignment.release)];
        let is_ready = |spare: &&Assignment| {
            let known = self.observed.get(spare.life);
            known.is_some_and(|known| known.phase == Phase::Serving && known.is_well())
        };
        let mut ready = self.desired.spares.iter().filter(is_ready);
        ready.find(|spare| releases.contains(&spare.release)).cloned()
    }

    /// A spare takes the seat of a life, and the next spare begins.
    pub(crate) fn give_seat(&mut self, life: Life, spare: Assignment, now: Moment) {
        self.begin_spare_anew(spare.life);
        self.observed.record(spare.seat).forgive(now);
        // What it was before it had requests says little about how it does.
        self.observed.change(spare.life, |known| known.healthy_at = Some(now));
        if let Some(assignment) =
            self.desired.assignments.iter_mut().find(|assignment| assignment.life == life)
        {
            (assignment.life, assignment.name, assignment.release) = (spare.life, spare.name, spare.release);
        }
    }

    /// Spares that no seat can use any more make room for such as one can; all of them, if everything is to
    /// be renewed.
    pub(crate) fn renew_spares(&mut self, is_everything: bool) {
        let is_of_use = |spare: &&Assignment| {
            let is_run = |assignment: &Assignment| assignment.release == spare.release;
            spare.release == self.desired.release || self.desired.assignments.iter().any(is_run)
        };
        let spares = self.desired.spares.iter();
        let outdated: Vec<Life> =
            spares.filter(|spare| is_everything || !is_of_use(spare)).map(|spare| spare.life).collect();
        for life in outdated {
            self.begin_spare_anew(life);
        }
    }

    /// The place of a spare goes on with another life.
    fn begin_spare_anew(&mut self, life: Life) {
        let next =
            Life { incarnation: self.observed.next_incarnation(life.seat).max(life.incarnation + 1), ..life };
        let name = self.desired.random_name(next, &self.settings, &self.observed);
        self.desired.succeed(life, next, &name);
    }
}
