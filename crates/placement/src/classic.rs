//! The original system's placement, exact: M slots, K virtual servers per replica.
//!
//! Virtual server j of seat i goes to slot (i² + j² + 2j + 25) mod M, request id r looks at slot
//! (r² + 2r + 17) mod M and is served by the first occupied slot at or after it. These formulas
//! reach only a part of the slots, so the load is uneven; that is the original's behaviour and
//! is kept. Other hash functions and other seat numbers are choices.

mod hash;
mod seat_choice;

pub use hash::ClassicHash;
pub use seat_choice::{SPREAD_SEAT_MAX, SeatChoice};

use crate::key::REQUEST_IDS;
use crate::{Key, Member, NoRoom, Seat};

/// How a virtual server looks on when its slot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The next slot, and the next.
    Linear,
    /// k² slots on, for k = 1, 2, …; linear once every slot that this reaches was seen.
    Quadratic,
}

/// The size of the slot table and how it is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassicSettings {
    /// M, the number of slots.
    pub slots: u16,
    /// K, the number of virtual servers of each replica.
    pub virtual_servers: u16,
    /// What happens when a slot is taken.
    pub probe: Probe,
    /// Where virtual servers and requests go.
    pub hash: ClassicHash,
}

impl Default for ClassicSettings {
    fn default() -> Self {
        Self { slots: 512, virtual_servers: 9, probe: Probe::Linear, hash: ClassicHash::Quadratic }
    }
}

/// The slots of one seat, in the order of its virtual servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Whose they are.
    pub seat: Seat,
    /// Where its virtual servers sit.
    pub slots: Vec<u16>,
}

/// The slot table.
#[derive(Clone, Debug)]
pub struct Classic {
    settings: ClassicSettings,
    slots: Vec<Option<Seat>>,
    holdings: Vec<Holding>,
}

impl Classic {
    /// An empty table.
    pub fn new(settings: ClassicSettings) -> Self {
        Self { settings, slots: vec![None; usize::from(settings.slots)], holdings: Vec::new() }
    }

    /// Places the virtual servers of a seat; all or nothing. A seat that is there stays as it is.
    pub fn insert(&mut self, member: Member) -> Result<(), NoRoom> {
        let seat = member.seat;
        if self.holdings.iter().any(|holding| holding.seat == seat) {
            return Ok(());
        }
        let taken: usize = self.holdings.iter().map(|holding| holding.slots.len()).sum();
        let wanted = usize::from(self.settings.virtual_servers);
        if taken + wanted > self.slots.len() {
            let replicas_max = self.slots.len() / wanted.max(1);
            return Err(NoRoom::Slots { slots: self.slots.len(), virtual_servers: wanted, replicas_max });
        }
        let mut slots = Vec::with_capacity(wanted);
        for number in 0..self.settings.virtual_servers {
            let home = self.settings.hash.server_slot(seat.number(), number, self.slots.len() as u64);
            let slot = self.free_slot(home);
            self.slots[slot] = Some(seat);
            slots.push(u16::try_from(slot).expect("a slot number is below a u16"));
        }
        self.holdings.push(Holding { seat, slots });
        Ok(())
    }

    /// Frees the slots of a seat; nobody else's move.
    pub fn remove(&mut self, seat: Seat) {
        for slot in &mut self.slots {
            if *slot == Some(seat) {
                *slot = None;
            }
        }
        self.holdings.retain(|holding| holding.seat != seat);
    }

    /// Puts a seat back into the slots that it is remembered to have held. Refuses, without any
    /// change, slots that are taken, out of range, or not as many as the settings ask for.
    pub fn restore(&mut self, holding: Holding) -> bool {
        let free = |slot: &u16| self.slots.get(usize::from(*slot)).is_some_and(Option::is_none);
        let fits = holding.slots.len() == usize::from(self.settings.virtual_servers);
        if !fits || !holding.slots.iter().all(free) {
            return false;
        }
        for slot in &holding.slots {
            self.slots[usize::from(*slot)] = Some(holding.seat);
        }
        self.holdings.push(holding);
        true
    }

    /// Who holds which slots, in the order of insertion.
    pub fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    /// The slot table, empty slots included.
    pub fn slots(&self) -> &[Option<Seat>] {
        &self.slots
    }

    /// Every seat, in the order in which the walk clockwise from the key's slot meets them.
    pub fn order(&self, key: Key) -> ClassicOrder<'_> {
        let start = self.settings.hash.request_slot(key.request_id(), self.slots.len() as u64);
        ClassicOrder { classic: self, start, walked: 0, given: 0 }
    }

    /// Each seat's part of the request ids, exact, in the order of insertion; counted over as many of
    /// the 900 000 ids as are a multiple of the number of slots.
    pub fn shares(&self) -> Vec<(Seat, f64)> {
        let demand = self.demand();
        let ids: u64 = demand.iter().copied().map(u64::from).sum();
        let requests = self.requests(&demand).into_iter();
        requests.map(|(seat, count)| (seat, count as f64 / ids as f64)).collect()
    }

    /// How many request ids begin to look at each slot. The contract's formula repeats after as many
    /// ids as there are slots, so whole periods are counted: the last, broken one would bend the
    /// shares that the contract states.
    fn demand(&self) -> Vec<u32> {
        let mut demand = vec![0; self.slots.len()];
        let broken = REQUEST_IDS.len() % self.slots.len();
        for id in REQUEST_IDS.take(REQUEST_IDS.len() - broken) {
            demand[self.settings.hash.request_slot(id.into(), self.slots.len() as u64)] += 1;
        }
        demand
    }

    /// How many of the requests of this demand each seat serves.
    fn requests(&self, demand: &[u32]) -> Vec<(Seat, u64)> {
        let mut counts: Vec<(Seat, u64)> = self.holdings.iter().map(|holding| (holding.seat, 0)).collect();
        let mut waiting = 0;
        // Twice round, the second time without newcomers: what waits behind the last holder is
        // served by the first.
        let demands = demand.iter().copied().chain(std::iter::repeat(0));
        for (slot, demand) in self.slots.iter().chain(&self.slots).zip(demands) {
            waiting += u64::from(demand);
            if let Some(seat) = slot
                && waiting > 0
                && let Some(entry) = counts.iter_mut().find(|(other, _)| other == seat)
            {
                entry.1 += std::mem::take(&mut waiting);
            }
        }
        counts
    }

    /// The first free slot on the walk from `home`; there is one, the caller has counted.
    fn free_slot(&self, home: usize) -> usize {
        let size = self.slots.len();
        // k² modulo the size repeats after `size` steps: further on there is nothing new.
        let quadratic = (0..size).map(|k| (home + k * k) % size);
        let linear = (0..size).map(|k| (home + k) % size);
        let is_free = |slot: &usize| self.slots[*slot].is_none();
        let found = match self.settings.probe {
            Probe::Linear => linear.clone().find(is_free),
            Probe::Quadratic => quadratic.chain(linear).find(is_free),
        };
        found.expect("the caller counted the free slots")
    }
}

/// The seats of one key, in the order of the walk.
#[derive(Clone, Debug)]
pub struct ClassicOrder<'a> {
    classic: &'a Classic,
    start: usize,
    walked: usize,
    given: usize,
}

impl ClassicOrder<'_> {
    /// How far clockwise from the start a slot lies.
    fn distance(&self, slot: u16) -> usize {
        let size = self.classic.slots.len();
        (usize::from(slot) + size - self.start) % size
    }

    fn was_met_before(&self, seat: Seat, walked: usize) -> bool {
        let mut holdings = self.classic.holdings.iter().filter(|holding| holding.seat == seat);
        holdings.any(|holding| holding.slots.iter().any(|slot| self.distance(*slot) < walked))
    }
}

impl Iterator for ClassicOrder<'_> {
    type Item = Seat;

    fn next(&mut self) -> Option<Seat> {
        let size = self.classic.slots.len();
        while self.given < self.classic.holdings.len() && self.walked < size {
            let walked = self.walked;
            self.walked += 1;
            // Before the first choice nobody was met, and most walks end with it.
            if let Some(seat) = self.classic.slots[(self.start + walked) % size]
                && (self.given == 0 || !self.was_met_before(seat, walked))
            {
                self.given += 1;
                return Some(seat);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(number: u32) -> Seat {
        Seat::new(number).unwrap()
    }

    fn table(probe: Probe, seats: &[u32]) -> Classic {
        let mut classic = Classic::new(ClassicSettings { probe, ..ClassicSettings::default() });
        for number in seats {
            classic.insert(Member::new(seat(*number))).unwrap();
        }
        classic
    }

    fn slots_of(classic: &Classic, number: u32) -> Vec<u16> {
        classic.holdings().iter().find(|holding| holding.seat == seat(number)).unwrap().slots.clone()
    }

    fn first(classic: &Classic, id: u64) -> u32 {
        classic.order(Key::from_request_id(id)).next().unwrap().number()
    }

    #[test]
    fn three_seats_take_the_slots_of_the_contract() {
        let classic = table(Probe::Linear, &[1, 2, 3]);
        assert_eq!(slots_of(&classic, 1), [26, 29, 34, 41, 50, 61, 74, 89, 106]);
        assert_eq!(slots_of(&classic, 2), [30, 32, 37, 44, 53, 64, 77, 92, 109]);
        assert_eq!(slots_of(&classic, 3), [35, 38, 42, 49, 58, 69, 82, 97, 114]);
        assert_eq!((first(&classic, 132_574), first(&classic, 237_891)), (3, 2));
    }

    #[test]
    fn the_shares_are_those_of_the_contract() {
        let classic = table(Probe::Linear, &[1, 2, 3]);
        let mut counts = [0u32; 3];
        // Residues modulo 512 decide, so 512 successive ids weigh like the uniform distribution.
        for id in 100_000..100_512 {
            counts[first(&classic, id) as usize - 1] += 1;
        }
        let expected = [0.84375, 0.046_875, 0.109_375];
        assert_eq!(counts.map(|count| f64::from(count) / 512.0), expected);
        // Over all six-digit ids, which 512 does not divide, they are the same to four digits.
        for ((_, share), expected) in classic.shares().into_iter().zip(expected) {
            assert!((share - expected).abs() < 1e-4, "{share}, not {expected}");
        }
    }

    #[test]
    fn a_taken_slot_is_probed_as_the_settings_say() {
        let tiny = |probe| {
            let settings = ClassicSettings { slots: 16, virtual_servers: 3, probe, ..Default::default() };
            let mut classic = Classic::new(settings);
            for number in [1, 9, 17] {
                classic.insert(Member::new(seat(number))).unwrap();
            }
            classic.holdings().iter().map(|holding| holding.slots.clone()).collect::<Vec<_>>()
        };
        // Seats 1, 9 and 17 are alike modulo 16: each wants slots 10, 13, 2.
        assert_eq!(tiny(Probe::Linear), [[10, 13, 2], [11, 14, 3], [12, 15, 4]]);
        // For seat 17, slot 10 leads to 11, 14, 3, all taken, and so to the linear walk and 12;
        // 13 leads over 14 to 17 = 1, and 2 over 3 to 6.
        assert_eq!(tiny(Probe::Quadratic), [[10, 13, 2], [11, 14, 3], [12, 1, 6]]);
    }

    #[test]
    fn the_quadratic_walk_falls_back_to_the_linear_one() {
        // Squares modulo 16 are 0, 1, 4 and 9: four slots, then the walk has seen all it can.
        let probe = Probe::Quadratic;
        let settings = ClassicSettings { slots: 16, virtual_servers: 1, probe, ..Default::default() };
        let mut classic = Classic::new(settings);
        for number in [1, 17, 33, 49, 65] {
            classic.insert(Member::new(seat(number))).unwrap();
        }
        let slots: Vec<u16> = classic.holdings().iter().map(|holding| holding.slots[0]).collect();
        assert_eq!(slots, [10, 11, 14, 3, 12]);
    }

    #[test]
    fn a_full_table_refuses_and_stays_as_it_was() {
        let seats: Vec<u32> = (1..=56).collect();
        let mut classic = table(Probe::Linear, &seats);
        let before = classic.slots().to_vec();
        let refusal = classic.insert(Member::new(seat(57))).unwrap_err();
        assert!(matches!(refusal, NoRoom::Slots { replicas_max: 56, .. }));
        assert_eq!(classic.slots(), before);
    }

    #[test]
    fn removal_moves_nobody_and_a_remembered_seat_comes_back() {
        let mut classic = table(Probe::Linear, &[1, 2, 3]);
        let whole = classic.slots().to_vec();
        let remembered = classic.holdings()[1].clone();
        classic.remove(seat(2));
        assert_eq!(slots_of(&classic, 3), [35, 38, 42, 49, 58, 69, 82, 97, 114]);
        assert!(classic.restore(remembered.clone()));
        assert_eq!(classic.slots(), whole);
        assert!(!classic.restore(remembered), "its slots are taken now");
    }

    #[test]
    fn the_order_names_every_seat_once() {
        let classic = table(Probe::Quadratic, &[4, 1, 3, 2, 11]);
        for id in 100_000..100_512 {
            let mut order: Vec<u32> = classic.order(Key::from_request_id(id)).map(Seat::number).collect();
            order.sort_unstable();
            assert_eq!(order, [1, 2, 3, 4, 11]);
        }
    }
}
