//! The routing table: who may get a request now. Immutable; a change is a new table.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use placement::{Key, KeyHash, Placement, Seat};

use crate::{Choice, Claim, Life, Preference, Ranking, Replica};

/// Below this many requests in flight a replica is never called overloaded. Without the floor,
/// half of the requests of a nearly idle fleet would leave their first choice.
const LOAD_FLOOR: u64 = 4;

/// How often a request looks at the load anew before it goes over the bound. Each further look means
/// that others came in between, and so that there is room.
const BOUND_LOOKS_MAX: usize = 16;

/// Placement, and the replica in each seat that may be routed to.
#[derive(Debug)]
pub struct RoutingTable {
    pub(crate) version: u64,
    // Placement holds every seat, also the empty ones: if it shrank with each failure,
    // keys would move twice, once away and once back.
    placement: Placement,
    seats: Vec<Option<Arc<Replica>>>,
    has_members: bool,
    has_half_open: bool,
    load_factor: f64,
    /// The most requests in a replica at a time, whatever the load.
    pub(crate) requests_max: u64,
    pub(crate) hold: Duration,
}

impl RoutingTable {
    /// A table; `replicas` are those that may be routed to, each sits in its own seat. Whose gate is
    /// closed when the table is made is half-open.
    /// `load_factor` is the bound on a replica's share of the requests in flight, relative to the
    /// mean; below 1 there is no bound.
    pub fn new(version: u64, placement: Placement, replicas: &[Arc<Replica>], load_factor: f64) -> Self {
        let size = replicas.iter().map(|replica| replica.seat.index() + 1).max().unwrap_or(0);
        let mut seats = vec![None; size];
        for replica in replicas {
            seats[replica.seat.index()] = Some(Arc::clone(replica));
        }
        let has_members = placement.order(Key::from_number(0)).next().is_some();
        let has_half_open = replicas.iter().any(|replica| !replica.gate.is_open());
        let (requests_max, hold) = (u64::MAX, Duration::ZERO);
        Self { version, placement, seats, has_members, has_half_open, load_factor, requests_max, hold }
    }

    /// The table of a fleet that is not known yet: nobody can be routed to, and somebody may be on the way.
    pub fn awaited(placement: Placement) -> Self {
        Self { has_members: true, ..Self::new(0, placement, &[], 0.0) }
    }

    /// Requests are held back for so long, and are to be patient for as much longer. Zero if they are not.
    pub fn hold(&self) -> Duration {
        self.hold
    }

    /// Rises with each table that is published.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether the fleet is meant to have any replica at all; if so, one may be on its way.
    pub fn has_members(&self) -> bool {
        self.has_members
    }

    /// The replicas that may be routed to, by seat.
    pub fn replicas(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.seats.iter().flatten()
    }

    /// Whether the fleet is meant to have this seat, though nobody may sit in it now.
    pub fn has_seat(&self, seat: Seat) -> bool {
        self.placement.has(seat)
    }

    /// A place in the first replica in the order of preference that is open, was not tried, and is not
    /// over its load bound. If only the bound stands in the way, the bound gives way: it is there
    /// for balance, not to turn requests away. The most requests that a replica may have are no
    /// such bound: whoever has them is passed over.
    pub fn claim(&self, preference: impl Into<Preference>, tried: &[Life]) -> Option<Claim> {
        let preference = preference.into();
        let mut bound = self.load_bound();
        for _ in 0..BOUND_LOOKS_MAX {
            if let Some(claim) = self.claim_below(preference, tried, bound) {
                return Some(claim);
            }
            // Others may have come in meanwhile, which raises the bound.
            let bound_before = std::mem::replace(&mut bound, self.load_bound());
            if bound_before == bound {
                break;
            }
        }
        self.claim_below(preference, tried, LoadBound::NONE)
    }

    /// A place for a request that was inside of a replica when that was lost, and may be the reason: among those
    /// who are open, were not tried, and have room, in the one with the fewest others of its kind inside, so
    /// that they are not lost with it. The first in the order of preference, if there are several.
    pub fn claim_apart(&self, preference: impl Into<Preference>, tried: &[Life]) -> Option<Claim> {
        let preference = preference.into();
        let order = self.order(preference).filter_map(|seat| self.seats.get(seat.index())?.as_ref());
        let untried = order.filter(|replica| !tried.contains(&replica.life) && self.has_room(replica));
        let apart = untried.min_by_key(|replica| replica.gate.suspects())?;
        apart.claim_as_suspect(self.requests_max).or_else(|| self.claim(preference, tried))
    }

    fn has_room(&self, replica: &Replica) -> bool {
        replica.gate.claims_if_open().is_some_and(|claims| claims < self.requests_max)
    }

    /// Whether there are replicas to be tried, and nothing but the most requests that they may have keeps one
    /// out of them.
    pub fn is_full(&self, tried: &[Life]) -> bool {
        let is_full = |replica: &Replica| {
            replica.gate.claims_if_open().is_some_and(|claims| claims >= self.requests_max)
        };
        self.replicas().any(|replica| !tried.contains(&replica.life) && is_full(replica))
    }

    /// A place in the replica that is the first choice, if that one is half-open and has an
    /// admission to give. For requests that can go elsewhere if this one fails.
    pub fn claim_half_open(&self, preference: impl Into<Preference>) -> Option<Claim> {
        if !self.has_half_open {
            return None;
        }
        let seat = self.order(preference.into()).next()?;
        self.seats.get(seat.index())?.as_ref()?.claim_half_open()
    }

    /// Whether another replica takes requests, and answers them well as far as one knows.
    pub fn has_better_than(&self, life: Life) -> bool {
        let is_better = |replica: &Replica| replica.gate.is_open() && !replica.responses.are_failing();
        self.replicas().any(|replica| replica.life != life && is_better(replica))
    }

    /// What would become of a request with this preference now, seat by seat in its order.
    pub fn explain(&self, preference: impl Into<Preference>) -> Vec<Choice> {
        let bound = self.load_bound();
        let mut is_chosen = false;
        let choices = self.order(preference.into()).map(|seat| {
            let replica = self.seats.get(seat.index()).cloned().flatten();
            let ranking = match &replica {
                None => Ranking::Empty,
                Some(replica) if !replica.gate.is_open() => Ranking::Closed,
                Some(replica) if replica.gate.claims() >= self.requests_max => Ranking::Full,
                Some(replica) if replica.gate.claims() >= bound.of(replica) => Ranking::OverBound,
                Some(_) if is_chosen => Ranking::Next,
                Some(_) => Ranking::Chosen,
            };
            is_chosen |= ranking == Ranking::Chosen;
            let bound = replica
                .as_ref()
                .map(|replica| bound.of(replica).min(self.requests_max))
                .filter(|bound| *bound < u64::MAX);
            Choice { seat, replica, ranking, bound }
        });
        choices.collect()
    }

    /// How bytes become keys here.
    pub fn key_hash(&self) -> KeyHash {
        self.placement.key_hash()
    }

    /// Of two keys the one whose first choice has less to do, for its weight; the first if it is all the same.
    pub fn lighter(&self, keys: [Key; 2]) -> Key {
        let load = |key: Key| {
            let seat = self.placement.order(key).next()?;
            let replica = self.seats.get(seat.index())?.as_ref()?;
            Some((replica.gate.claims_if_open()?, u64::from(replica.weight)))
        };
        let [first, second] = keys;
        let is_second_lighter = match (load(first), load(second)) {
            (Some((claims, weight)), Some((other_claims, other_weight))) => {
                other_claims * weight < claims * other_weight
            }
            (None, other) => other.is_some(),
            (Some(_), None) => false,
        };
        if is_second_lighter { second } else { first }
    }

    /// The seat that is preferred, if there is such a one, then all others.
    fn order(&self, Preference { seat, key }: Preference) -> impl Iterator<Item = Seat> {
        let first = seat.filter(|seat| self.placement.has(*seat));
        let others = self.placement.order(key).filter(move |seat| Some(*seat) != first);
        first.into_iter().chain(others)
    }

    fn claim_below(&self, preference: Preference, tried: &[Life], bound: LoadBound) -> Option<Claim> {
        self.order(preference).find_map(|seat| {
            let replica = self.seats.get(seat.index())?.as_ref()?;
            let bound = bound.of(replica).min(self.requests_max);
            if tried.contains(&replica.life) { None } else { replica.claim(bound) }
        })
    }

    fn load_bound(&self) -> LoadBound {
        if self.load_factor < 1.0 {
            return LoadBound::NONE;
        }
        let (mut in_flight, mut weight) = (0, 0);
        for replica in self.replicas() {
            // Whoever takes no requests carries nothing of the load.
            let Some(claims) = replica.gate.claims_if_open() else { continue };
            in_flight += claims;
            weight += u64::from(replica.weight);
        }
        LoadBound { per_weight: self.load_factor * (in_flight + 1) as f64 / weight.max(1) as f64 }
    }
}

/// The most requests that a replica may have at a time: max(floor, ceil(c · (m + 1) · w / W)), with m
/// requests in flight on replicas of the weight W together. Mirrokni, Thorup and Zadimoghaddam,
/// "Consistent Hashing with Bounded Loads" (2016).
#[derive(Clone, Copy, Debug, PartialEq)]
struct LoadBound {
    per_weight: f64,
}

impl LoadBound {
    const NONE: Self = Self { per_weight: f64::INFINITY };

    // A conversion from infinity gives the highest number, which bounds nothing.
    fn of(self, replica: &Replica) -> u64 {
        ((self.per_weight * f64::from(replica.weight)).ceil() as u64).max(LOAD_FLOOR)
    }
}
