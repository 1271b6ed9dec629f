//! What decisions are made from: everything about a fleet at one moment, to be looked at and not changed.

use crate::{FleetSettings, Known, Moment, Observed, Phase, Roster};

/// A fleet at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: &'a FleetSettings,
    /// Who is meant to run.
    pub(crate) roster: &'a Roster,
    /// Who is known to run.
    pub(crate) observed: &'a Observed,
    pub(crate) now: Moment,
}

impl Facts<'_> {
    /// What speaks against a life, in words.
    pub(crate) fn signs(&self, known: &Known) -> Vec<String> {
        known.signs_in_words(self.settings, self.now)
    }
}

/// Whether more than half of those who serve look ill to heartbeats or by their responses alone. Then it
/// is rather the checker, the machine or something that they all depend on: nobody is ejected and
/// nobody is killed for it. Who is ill beyond that serves nobody, and is not counted; so health alone
/// never leaves the table empty.
pub(crate) fn is_mass_illness(roster: &Roster, observed: &Observed) -> bool {
    let known = roster.assignments().filter_map(|assignment| observed.get(assignment.life));
    let serving = known.filter(|known| known.phase == Phase::Serving);
    let (mut ill, mut all) = (0, 0);
    for known in serving {
        let is_soft = known.signs.are_soft();
        ill += usize::from(is_soft);
        all += usize::from(is_soft || known.is_well());
    }
    ill * 2 > all
}
