//! Seats whose lives keep failing: since when that is a state of its own, and what there is to say of it.
//! That the next life has to wait longer and longer is the plan's affair.

use placement::Seat;

use crate::{Death, Fleet, Moment};

/// So many failures in a row are a crash loop. Those of lives that served are not counted until there
/// are many of them: whoever is killed from outside is not to blame.
const CRASH_LOOP_FAILURES: u32 = 3;

/// A seat whose lives keep failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashLoop {
    /// How many failed in a row.
    pub failures: u32,
    /// How the last one ended.
    pub death: Death,
    /// The last lines that it wrote, the oldest first.
    pub last_output: Vec<String>,
    /// When the next one begins, if it has not begun.
    pub next_try: Option<Moment>,
}

impl Fleet {
    /// Whether a seat's lives keep failing. Over when one has served for a while.
    pub fn crash_loop(&self, seat: Seat) -> Option<CrashLoop> {
        let record = self.observed.seats.get(&seat)?;
        if record.strikes < CRASH_LOOP_FAILURES {
            return None;
        }
        let (_, death) = record.last_death.clone()?;
        let assignment = self.roster.places().find(|assignment| assignment.seat == seat)?;
        let is_waiting = self.observed.get(assignment.life).is_none();
        Some(CrashLoop {
            failures: record.failures,
            death,
            last_output: record.last_output.clone(),
            next_try: is_waiting.then_some(record.not_before),
        })
    }
}
