//! The answers that callers got, and whether they equal some serial order: each answer shows the fleet
//! as one change after the other left it.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Edit, FleetView, ReplicaName};
use placement::Seat;

/// What one generation of the desired state looked like to who was answered with it.
#[derive(Debug)]
struct Entry {
    /// Nothing for the desired state that a run began with.
    edit: Option<Edit>,
    seats: BTreeSet<Seat>,
    names: BTreeSet<ReplicaName>,
}

/// The answers of one run of the balancer, by generation.
#[derive(Debug, Default)]
pub(crate) struct History(BTreeMap<u64, Entry>);

impl History {
    pub(crate) fn begin(&mut self, view: &FleetView) {
        self.0.insert(view.generation, entry(None, view));
    }

    /// Takes in an answer; says what is wrong with it.
    pub(crate) fn answered(&mut self, edit: &Edit, view: &FleetView) -> Option<String> {
        let generation = view.generation;
        let entry = entry(Some(edit.clone()), view);
        if let Some(other) = self.0.get(&generation) {
            // Who asked to fill what is full is answered with what is there.
            let is_noop = matches!(edit, Edit::Fill { .. }) && other.seats == entry.seats;
            let both =
                || format!("{edit:?} and {:?} are both answered with generation {generation}", other.edit);
            return (!is_noop).then(both);
        }
        self.0.insert(generation, entry);
        let pairs = [(generation.wrapping_sub(1), generation), (generation, generation + 1)];
        pairs.into_iter().find_map(|(before, after)| {
            let (before, after) = (self.0.get(&before)?, self.0.get(&after)?);
            let is_right = follows(before, after);
            (!is_right).then(|| format!("generation {generation}: {after:?} does not follow from {before:?}"))
        })
    }
}

fn entry(edit: Option<Edit>, view: &FleetView) -> Entry {
    let seats = view.replicas.iter().map(|replica| replica.seat).collect();
    Entry { edit, seats, names: view.names().cloned().collect() }
}

fn follows(before: &Entry, after: &Entry) -> bool {
    let grows_by = |count: usize| {
        after.seats.is_superset(&before.seats) && after.seats.len() == before.seats.len() + count
    };
    let shrinks_by = |count: usize| {
        before.seats.is_superset(&after.seats) && before.seats.len() == after.seats.len() + count
    };
    let scales = |count: usize| {
        after.seats.len() == count
            && (after.seats.is_superset(&before.seats) || before.seats.is_superset(&after.seats))
    };
    match &after.edit {
        None => true,
        Some(Edit::Add { count, names }) => {
            grows_by(*count as usize) && names.iter().all(|name| after.names.contains(name))
        }
        Some(Edit::Remove { count, names }) => {
            shrinks_by(*count as usize) && names.iter().all(|name| !after.names.contains(name))
        }
        Some(Edit::Scale { count }) => scales(*count as usize),
        Some(Edit::Deploy(_)) => after.seats == before.seats,
        Some(Edit::Fill { count }) => after.seats.len() >= *count as usize && scales(after.seats.len()),
    }
}
