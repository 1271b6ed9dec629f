//! The routing table: who may get a request now. Immutable; a change is a new table.

use std::sync::Arc;
use std::time::Duration;

use placement::{Key, KeyHash, Placement, Seat};

use crate::{Claim, Life, Replica};

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
        Self { version, placement, seats, has_members, has_half_open, load_factor, hold: Duration::ZERO }
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

    /// A place in the first replica in the key's order that is open, was not tried, and is not
    /// over its load bound. If only the bound stands in the way, the bound gives way: it is there
    /// for balance, not to turn requests away.
    pub fn claim(&self, key: Key, tried: &[Life]) -> Option<Claim> {
        let mut bound = self.load_bound();
        for _ in 0..BOUND_LOOKS_MAX {
            if let Some(claim) = self.claim_below(key, tried, bound) {
                return Some(claim);
            }
            // Others may have come in meanwhile, which raises the bound.
            let bound_before = std::mem::replace(&mut bound, self.load_bound());
            if bound_before == bound {
                break;
            }
        }
        self.claim_below(key, tried, LoadBound::NONE)
    }

    /// A place in the replica that is the first choice of this key, if that one is half-open and has an
    /// admission to give. For requests that can go elsewhere if this one fails.
    pub fn claim_half_open(&self, key: Key) -> Option<Claim> {
        if !self.has_half_open {
            return None;
        }
        let seat = self.placement.order(key).next()?;
        self.seats.get(seat.index())?.as_ref()?.claim_half_open()
    }

    /// Whether another replica takes requests, and answers them well as far as one knows.
    pub fn has_better_than(&self, life: Life) -> bool {
        let is_better = |replica: &Replica| replica.gate.is_open() && !replica.responses.are_failing();
        self.replicas().any(|replica| replica.life != life && is_better(replica))
    }

    /// What would become of a request with this key now, seat by seat in the key's order.
    pub fn explain(&self, key: Key) -> Vec<Choice> {
        let bound = self.load_bound();
        let mut is_chosen = false;
        let choices = self.placement.order(key).map(|seat| {
            let replica = self.seats.get(seat.index()).cloned().flatten();
            let ranking = match &replica {
                None => Ranking::Empty,
                Some(replica) if !replica.gate.is_open() => Ranking::Closed,
                Some(replica) if replica.gate.claims() >= bound.of(replica) => Ranking::OverBound,
                Some(_) if is_chosen => Ranking::Next,
                Some(_) => Ranking::Chosen,
            };
            is_chosen |= ranking == Ranking::Chosen;
            let bound = replica.as_ref().map(|replica| bound.of(replica)).filter(|bound| *bound < u64::MAX);
            Choice { seat, replica, ranking, bound }
        });
        choices.collect()
    }

    /// How bytes become keys here.
    pub fn key_hash(&self) -> KeyHash {
        self.placement.key_hash()
    }

    fn claim_below(&self, key: Key, tried: &[Life], bound: LoadBound) -> Option<Claim> {
        self.placement.order(key).find_map(|seat| {
            let replica = self.seats.get(seat.index())?.as_ref()?;
            if tried.contains(&replica.life) { None } else { replica.claim(bound.of(replica)) }
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

/// One seat in the order of a key; made by [`RoutingTable::explain`].
#[derive(Clone, Debug)]
pub struct Choice {
    /// The seat.
    pub seat: Seat,
    /// Who sits in it, if somebody does who may be routed to.
    pub replica: Option<Arc<Replica>>,
    /// What the request does here.
    pub ranking: Ranking,
    /// The most requests at a time that the replica may have now, if there is a bound.
    pub bound: Option<u64>,
}

/// What a request does at a seat of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// It stays here.
    Chosen,
    /// It would come here next, if the ones before failed.
    Next,
    /// Nobody sits here who may be routed to.
    Empty,
    /// The replica takes no new requests.
    Closed,
    /// The replica has as many requests as the load bound allows.
    OverBound,
}

impl Ranking {
    /// One or two words, as shown to people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Next => "next",
            Self::Empty => "empty",
            Self::Closed => "closed",
            Self::OverBound => "over bound",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReplicaName;
    use placement::{Member, Rendezvous};

    fn replica(seat: u32) -> Arc<Replica> {
        Arc::new(Replica {
            seat: Seat::new(seat).unwrap(),
            life: Life { seat: Seat::new(seat).unwrap(), incarnation: 1 },
            name: ReplicaName::parse(&format!("server_{seat}")).unwrap(),
            address: "127.0.0.1:1".parse().unwrap(),
            weight: 1,
            gate: crate::Gate::default(),
            responses: crate::Responses::default(),
        })
    }

    fn table(members: u32, replicas: &[Arc<Replica>], load_factor: f64) -> RoutingTable {
        let mut placement = Placement::Rendezvous(Rendezvous::default());
        for seat in 1..=members {
            placement.insert(Member::new(Seat::new(seat).unwrap())).unwrap();
        }
        RoutingTable::new(1, placement, replicas, load_factor)
    }

    #[test]
    fn a_claim_goes_to_the_next_when_the_first_is_closed_tried_or_missing() {
        let replicas = [replica(1), replica(2), replica(3)];
        let whole = table(3, &replicas, 0.0);
        for number in 0..200 {
            let key = Key::of(&[number]);
            let first = whole.claim(key, &[]).unwrap().life;
            let second = whole.claim(key, &[first]).unwrap().life;
            assert_ne!(first, second);
            let others: Vec<_> = replicas.iter().filter(|replica| replica.life != first).cloned().collect();
            assert_eq!(table(3, &others, 0.0).claim(key, &[]).unwrap().life, second);
            let gate = &replicas[first.seat.index()].gate;
            gate.close();
            assert_eq!(whole.claim(key, &[]).unwrap().life, second);
            gate.open();
        }
    }

    #[test]
    fn a_hot_key_stays_under_the_bound_and_spills_in_order() {
        let replicas = [replica(1), replica(2), replica(3), replica(4)];
        let table = table(4, &replicas, 1.25);
        let key = Key::of(b"hot");
        let order: Vec<Seat> = table.placement.order(key).collect();
        let mut claims = Vec::new();
        for _ in 0..200u32 {
            let bound = table.load_bound().of(&replicas[0]);
            let claim = table.claim(key, &[]).unwrap();
            assert!(claim.gate.claims() <= bound);
            let full_before = order.iter().take_while(|seat| **seat != claim.life.seat);
            for seat in full_before {
                assert!(replicas[seat.index()].gate.claims() >= bound, "passed over without need");
            }
            claims.push(claim);
        }
        assert!(claims[..4].iter().all(|claim| claim.life.seat == order[0]), "the floor holds");
        drop(claims);
        assert!(replicas.iter().all(|replica| replica.gate.claims() == 0));
    }

    #[test]
    fn nobody_goes_over_the_bound_however_many_come_at_once() {
        const THREADS: u64 = 16;
        let replicas = [replica(1), replica(2), replica(3)];
        let table = table(3, &replicas, 1.25);
        let highest = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let claim = table.claim(Key::of(b"hot"), &[]).unwrap();
                        highest.fetch_max(claim.gate.claims(), std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        // With all of them inside: ceil(1.25 · 16 / 3).
        let highest = highest.into_inner();
        assert!(highest <= 7, "{highest} requests at once of {THREADS} on one of three");
        assert!(replicas.iter().all(|replica| replica.gate.claims() == 0));
    }

    #[test]
    fn a_half_open_replica_is_tried_with_its_own_keys_and_the_others_do_not_notice() {
        let replicas = [replica(1), replica(2), replica(3)];
        let tried = &replicas[1];
        assert!(table(3, &replicas, 1.25).claim_half_open(Key::of(b"x")).is_none());
        tried.gate.restrict();
        let table = table(3, &replicas, 1.25);
        let is_own = |key: Key| table.placement.order(key).next() == Some(tried.life.seat);
        let keys = || (0..50u32).map(|number| Key::of(&number.to_le_bytes()));
        let own = keys().find(|key| is_own(*key)).unwrap();
        assert!(table.claim_half_open(own).is_none(), "nothing was admitted");
        tried.gate.admit_one();
        for key in keys() {
            assert_ne!(table.claim(key, &[]).unwrap().life, tried.life);
            if !is_own(key) {
                assert!(table.claim_half_open(key).is_none());
            }
        }
        let claim = table.claim_half_open(own).unwrap();
        assert!(claim.is_half_open() && claim.life == tried.life);
        assert!(table.claim_half_open(own).is_none(), "one at a time");
    }

    #[test]
    fn an_explanation_says_what_a_claim_then_does() {
        let replicas = [replica(1), replica(2), replica(4)];
        let table = table(5, &replicas, 1.25);
        let mut claims = Vec::new();
        for number in 0..300u32 {
            let key = Key::of(&(number % 7).to_le_bytes());
            let told = table.explain(key);
            assert_eq!(told.len(), 5, "every seat is told of");
            let chosen = told.iter().find(|choice| choice.ranking == Ranking::Chosen).unwrap();
            let claim = table.claim(key, &[]).unwrap();
            assert_eq!(chosen.seat, claim.life.seat);
            if number % 3 > 0 {
                claims.push(claim);
            }
        }
    }

    #[test]
    fn the_bound_gives_way_rather_than_turn_a_request_away() {
        let only = [replica(1)];
        let table = table(3, &only, 1.25);
        let claims: Vec<_> = (0..50).map(|_| table.claim(Key::of(b"x"), &[]).unwrap()).collect();
        assert_eq!(only[0].gate.claims(), claims.len() as u64);
    }
}
