//! How keys are placed: the keys that the algorithm does not have, those that must fit each other, and
//! whether the first replicas fit.

use placement::{MAGLEV_SIZE_MAX, MaglevSize, NamedMember, Ring, RingLayout, Seat, SeatChoice, SeatNames};

use super::Checker;
use crate::found::Found;
use crate::only::{AlgorithmKind, Only};
use crate::problem::Wrong;
use crate::settings::{Algorithm, DriverChoice, PlacingKeys, REPLICAS_MAX, ServiceSettings};

impl Checker<'_, '_> {
    pub(super) fn algorithm(
        &mut self,
        keys: &PlacingKeys,
        driver: &DriverChoice,
        table: &Found,
    ) -> Algorithm {
        self.limit_list("weights", table, driver);
        // Which keys an algorithm of an unknown name has is not for us to say.
        if !table.is_sound("algorithm") {
            return Algorithm::Rendezvous;
        }
        self.refuse_foreign_keys(table, "algorithm", keys.kind.name());
        match keys.kind {
            AlgorithmKind::Rendezvous => Algorithm::Rendezvous,
            AlgorithmKind::Classic => self.classic(keys, driver, table),
            AlgorithmKind::Ring => {
                Algorithm::Ring { layout: keys.layout, names: self.seat_names(keys, driver, table) }
            }
            AlgorithmKind::Maglev => Algorithm::Maglev {
                size: self.table_size(keys, table),
                names: self.seat_names(keys, driver, table),
            },
        }
    }

    /// Whether nothing was wrong with the keys that decide where replicas fit.
    pub(super) fn has_sound_placing(table: &Found) -> bool {
        let is_of_algorithms = |only: Only| only.chosen_by() == "algorithm";
        let mut of_algorithms = table.keys().filter(|(_, spot)| spot.only.is_some_and(is_of_algorithms));
        table.is_sound("algorithm") && of_algorithms.all(|(_, spot)| spot.is_sound)
    }

    /// Notes more replicas, or heavier ones, than the placement has room for.
    pub(super) fn fit_placement(&mut self, service: &ServiceSettings, table: &Found) {
        let (room, help) = match &service.algorithm {
            Algorithm::Rendezvous => return,
            Algorithm::Classic { slots, virtual_servers, .. } => {
                let help =
                    format!("{slots} slots, {virtual_servers} of them for each replica (`slots`, `virtual`)");
                (u32::from(slots / virtual_servers), help)
            }
            Algorithm::Ring { layout, names } => {
                return self.fit_points(*layout, &members(names, service), table);
            }
            // One more replica than slots, and one of them would be nobody's first choice.
            Algorithm::Maglev { size, .. } => {
                (size.number(), "each replica needs a slot of its own (`table_size`)".to_owned())
            }
        };
        let replicas = service.replicas;
        if replicas > room {
            let what = format!("{replicas} replicas do not fit: the placement has room for {room}");
            self.note_count(table, Wrong::new(what).help(help));
        }
    }

    fn fit_points(&mut self, layout: RingLayout, members: &[NamedMember], table: &Found) {
        if let Err(no_room) = Ring::check(layout, members) {
            let at = table.key_at("weights").unwrap_or(&table.at);
            let help = "smaller weights in the same proportions share the keys in the same way";
            self.note(at, Wrong::new(no_room.to_string()).help(help));
        }
    }

    fn classic(&mut self, keys: &PlacingKeys, driver: &DriverChoice, table: &Found) -> Algorithm {
        let &PlacingKeys { slots, virtual_servers, probe, hash, seat_choice, .. } = keys;
        if virtual_servers > slots && !table.has("virtual") && table.is_sound("slots") {
            let what =
                format!("`virtual` is {virtual_servers} unless it is given, and {slots} slots are fewer");
            let at = table.key_at("slots").unwrap_or(&table.at);
            self.note(at, Wrong::new(what).help(format!("add virtual = {slots}, or less")));
        }
        // Seat 1 has the first address, seat 2 the second: there is nothing to choose.
        if let (SeatChoice::Spread, DriverChoice::Static { .. }, Some(at)) =
            (seat_choice, driver, table.value_at("seat_choice"))
        {
            let wrong = Wrong::new("`seat_choice` cannot be \"spread\" with driver = \"static\"");
            self.note(at, wrong.help("the seats of `addresses` are numbered in their order"));
        }
        Algorithm::Classic { slots, virtual_servers, probe, hash, seat_choice }
    }

    fn table_size(&mut self, keys: &PlacingKeys, table: &Found) -> MaglevSize {
        let size = keys.table_size;
        MaglevSize::new(size).unwrap_or_else(|_| {
            let wrong = Wrong::new(format!("`table_size` must be a prime number, and {size} is none"));
            let next = (size..=MAGLEV_SIZE_MAX).find(|size| MaglevSize::new(*size).is_ok());
            let help = next.map(|prime| format!("the next one is {prime}"));
            self.note(table.value_at("table_size").unwrap_or(&table.at), Wrong { help, ..wrong });
            MaglevSize::default()
        })
    }

    /// What seats 1, 2, … are hashed by. Addresses that do not change are good names; replicas that
    /// are started anew have nothing that lasts but the number of their seat.
    fn seat_names(&mut self, keys: &PlacingKeys, driver: &DriverChoice, table: &Found) -> SeatNames {
        let Some(at) = table.array_at("seat_names") else {
            let DriverChoice::Static { addresses } = driver else { return SeatNames::default() };
            // An address that is listed twice has been noted as such.
            return SeatNames::new(addresses.iter().map(ToString::to_string).collect()).unwrap_or_default();
        };
        self.limit_list("seat_names", table, driver);
        // Without the wrong ones, the others would stand for other seats.
        if !table.is_sound("seat_names") {
            return SeatNames::default();
        }
        SeatNames::new(keys.seat_names.clone().unwrap_or_default()).unwrap_or_else(|shared| {
            let mut namesakes = table.parts("seat_names").iter().filter(|part| part.text == shared.name);
            let (first, last) = (namesakes.next(), namesakes.next_back());
            let help = match last {
                Some(_) => "it is listed twice".to_owned(),
                None => format!("it is seat {}'s, which is behind the end of the list", shared.name),
            };
            let wrong = Wrong::new(format!("`seat_names` gives two seats the name {:?}", shared.name));
            self.note(last.or(first).map_or(at, |name| &name.at), wrong.help(help));
            SeatNames::default()
        })
    }

    /// Notes a list, one value per seat, that is longer than there are seats. One that is longer than
    /// there can be was noted when it was read.
    fn limit_list(&mut self, key: &str, table: &Found, driver: &DriverChoice) {
        let (length, addresses) = (table.parts(key).len(), table.parts("addresses").len());
        let is_static = matches!(driver, DriverChoice::Static { .. });
        if let Some(at) = table.array_at(key)
            && is_static
            && addresses > 0
            && length > addresses
            && length <= REPLICAS_MAX as usize
        {
            let what = format!("`{key}` lists {length}, but `addresses` lists {addresses}");
            self.note(at, Wrong::new(what));
        }
    }
}

/// The first replicas of a service, as a ring has them.
fn members(names: &SeatNames, service: &ServiceSettings) -> Vec<NamedMember> {
    let weights = service.weights.iter().copied().chain(std::iter::repeat(1));
    (0..service.replicas as usize)
        .zip(weights)
        .map(|(index, weight)| NamedMember::new(names.of(Seat::at_index(index)), weight))
        .collect()
}
