//! What requests see of a fleet: the gates of its replicas, and the routing table. The one publisher of a
//! service's table is here, and nothing else is.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use driver::{Driver, Whereabouts};
use fleet::{Assignment, Fleet, Gate, Life, Moment, Publisher, Replica, Responses, Standing};
use placement::Seat;

use super::pause::Pause;
use crate::view::{Runner, Running};

pub(super) struct Publishing {
    publisher: Publisher,
    load_factor: f64,
    /// How many failed answers in a row of a replica are worth a word.
    failures_max: u32,
    replicas: BTreeMap<Life, Arc<Replica>>,
    /// What they run as, for people.
    whereabouts: BTreeMap<Life, Whereabouts>,
    published: Table,
}

/// What a table is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    generation: u64,
    seats: Vec<Seat>,
    pause: Option<Pause>,
    standings: Standings,
}

/// Who may be routed to, who is half-open, and who was given up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Standings {
    routable: Vec<Life>,
    half_open: Vec<Life>,
    abandoned: Vec<Life>,
}

/// What a table changes for replicas.
pub(super) struct Turnover {
    pub(super) came: Vec<Life>,
    pub(super) left: Vec<Life>,
    pub(super) became_half_open: Vec<Life>,
}

impl Publishing {
    pub(super) fn new(publisher: Publisher, load_factor: f64, failures_max: u32) -> Self {
        // None that there can be: the first one is due in any case.
        let published = Table { generation: u64::MAX, ..Table::default() };
        let (replicas, whereabouts) = (BTreeMap::new(), BTreeMap::new());
        Self { publisher, load_factor, failures_max, replicas, whereabouts, published }
    }

    pub(super) fn replica(&self, life: Life) -> Option<&Arc<Replica>> {
        self.replicas.get(&life)
    }

    pub(super) fn replicas(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.replicas.values()
    }

    /// Those that run. What a life runs as is asked until it is known, and then not again.
    pub(super) fn running(&mut self, driver: &dyn Driver) -> Running {
        self.whereabouts.retain(|life, _| self.replicas.contains_key(life));
        for life in self.replicas.keys() {
            if let Entry::Vacant(place) = self.whereabouts.entry(*life)
                && let Some(whereabouts) = driver.whereabouts(*life)
            {
                place.insert(whereabouts);
            }
        }
        let runner = |(life, replica): (&Life, &Arc<Replica>)| {
            let whereabouts = self.whereabouts.get(life).cloned();
            (*life, Runner { replica: Arc::clone(replica), whereabouts })
        };
        Running(self.replicas.iter().map(runner).collect())
    }

    /// Brings the gates in line with what the fleet is now, all but those that are to be closed:
    /// [`close_gates`](Self::close_gates) is for after the table.
    pub(super) fn open_gates(&mut self, fleet: &Fleet) -> Standings {
        let mut standings = Standings::default();
        self.replicas.retain(|life, _| fleet.observed().get(*life).is_some());
        for (life, _) in fleet.observed().lives() {
            let Some(replica) = self.keep_replica(fleet, life) else { continue };
            match fleet.standing(life) {
                Standing::Open => {
                    replica.gate.open();
                    standings.routable.push(life);
                }
                Standing::HalfOpen => {
                    replica.gate.restrict();
                    standings.half_open.push(life);
                }
                Standing::Closed => {}
                // Before the table changes: those inside look up when it does, and not again.
                Standing::Abandoned => {
                    replica.gate.abandon();
                    standings.abandoned.push(life);
                }
            }
        }
        standings
    }

    /// Closes the gates of those who are not to be routed to. After the table has changed: where a seat
    /// passes to its next life, no key is without a replica.
    pub(super) fn close_gates(&self, fleet: &Fleet) {
        for (life, replica) in &self.replicas {
            if fleet.standing(*life) == Standing::Closed {
                replica.gate.close();
            }
        }
    }

    /// The table that there should be, if it is not the one that is published.
    pub(super) fn due(&self, fleet: &Fleet, standings: Standings, pause: Option<Pause>) -> Option<Table> {
        let seats = fleet.roster().assignments().map(|assignment| assignment.seat).collect();
        let table = Table { generation: fleet.desired().generation, seats, pause, standings };
        (table != self.published).then_some(table)
    }

    /// What a table will change.
    pub(super) fn turnover(&self, table: &Table) -> Turnover {
        let (before, now) = (&self.published.standings, &table.standings);
        Turnover {
            came: without(&now.routable, &before.routable),
            left: without(&before.routable, &now.routable),
            became_half_open: without(&now.half_open, &before.half_open),
        }
    }

    /// Publishes a table.
    pub(super) fn publish(&mut self, table: Table, fleet: &Fleet, now: Moment) {
        let lives = table.standings.routable.iter().chain(&table.standings.half_open);
        let replicas: Vec<_> = lives.filter_map(|life| self.replicas.get(life)).cloned().collect();
        let placement = fleet.placement().clone();
        match table.pause {
            Some(pause) => self.publisher.publish_held(placement, pause.until.saturating_sub(now)),
            None => self.publisher.publish(placement, &replicas, self.load_factor),
        }
        self.published = table;
    }

    /// The replica that requests know a life by, once it has an address.
    fn keep_replica(&mut self, fleet: &Fleet, life: Life) -> Option<&Arc<Replica>> {
        let known = fleet.observed().get(life)?;
        let address = known.address.as_ref()?;
        // A spare that has taken a seat is another replica for requests; none of them has met it.
        let has_moved = |assignment: &&Assignment| assignment.life == life && assignment.seat != life.seat;
        let moved = fleet.roster().assignments().find(has_moved);
        if moved.is_some_and(|to| self.replicas.get(&life).is_some_and(|replica| replica.seat != to.seat)) {
            self.replicas.remove(&life);
        }
        Some(self.replicas.entry(life).or_insert_with(|| {
            let gate = Gate::default();
            gate.close();
            let seat = fleet.seat_of(life);
            let weight = fleet.weight(seat);
            let (name, address) = (known.name.clone(), address.clone());
            let responses = Responses::new(self.failures_max);
            Arc::new(Replica { seat, life, name, address, weight, gate, responses })
        }))
    }
}

/// Those of the one list that are not in the other.
fn without(lives: &[Life], others: &[Life]) -> Vec<Life> {
    lives.iter().filter(|life| !others.contains(life)).copied().collect()
}
