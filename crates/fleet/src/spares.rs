//! Spares: replicas that run beside the fleet and wait for a seat. They get no requests and count for
//! nothing, until one takes the seat of a replica that is replaced: at once, without a start in between.
//! They keep the number of the seat that they began in, and an assignment says who has its seat.

use crate::{Assignment, Fleet, Life, Moment, Phase, Roster};

impl Roster {
    /// Whether spares are as good as what a seat's next life would be. Where all is replaced by the
    /// same, those that have had their turn are newer than any spare.
    fn takes_spares(&self, assignment: &Assignment) -> bool {
        let is_renewed = self.rollout_under_way().is_some_and(|rollout| {
            let is_tried =
                || rollout.successors.iter().any(|successor| successor.life.seat == assignment.seat);
            rollout.is_forced && !rollout.left.contains(&assignment.seat) && !is_tried()
        });
        // Whoever added a pending one may have asked for its name.
        self.change_of(assignment.life).is_none() && !is_renewed
    }
}

impl Fleet {
    /// The spare that can take the seat of a life now, if there is one.
    pub(crate) fn spare_for(&self, life: Life) -> Option<Assignment> {
        let assignment =
            self.roster.assignment_of(life).filter(|assignment| self.roster.takes_spares(assignment))?;
        let releases = [assignment.release, self.roster.next_release(assignment.release)];
        let is_ready = |spare: &&Assignment| {
            let known = self.observed.get(spare.life);
            known.is_some_and(|known| known.phase == Phase::Serving && known.is_well())
        };
        let mut ready = self.desired().spares.iter().filter(is_ready);
        ready.find(|spare| releases.contains(&spare.release)).cloned()
    }

    /// A spare takes the seat of a life, and the next spare begins.
    pub(crate) fn give_seat(&mut self, life: Life, spare: Assignment, now: Moment) {
        self.begin_spare_anew(spare.life);
        self.observed.record(spare.seat).forgive(now);
        // What it was before it had requests says little about how it does.
        self.observed.change(spare.life, |known| known.healthy_at = Some(now));
        if let Some(assignment) = self.roster.place_mut(life) {
            assignment.hand_over(spare.life, spare.name, spare.release);
        }
    }

    /// Spares that no seat can use any more make room for such as one can; all of them, if everything is to
    /// be renewed.
    pub(crate) fn renew_spares(&mut self, is_everything: bool) {
        let is_of_use = |spare: &&Assignment| {
            let is_run = |assignment: &Assignment| assignment.release == spare.release;
            spare.release == self.roster.desired.release || self.roster.assignments().any(is_run)
        };
        let spares = self.desired().spares.iter();
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
        let name = self.random_name(next);
        self.roster.succeed(life, next, &name);
    }
}
