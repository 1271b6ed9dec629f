//! How keys are placed: the algorithm, its own keys, the keys that it does not have, and whether the
//! first replicas fit.

use placement::{
    ClassicHash, ClassicSettings, MAGLEV_SIZE_MAX, MaglevSize, NamedMember, Probe, Ring, RingLayout, Seat,
    SeatChoice, SeatNames, WEIGHT_MAX,
};

use super::Checker;
use crate::file::ServiceTable;
use crate::problem::Wrong;
use crate::reader::Given;
use crate::settings::{Algorithm, DriverChoice, REPLICAS_MAX, ServiceSettings};
use crate::value;

const LOAD_FACTOR_MAX: f64 = 100.0;
const MAGLEV_SIZE_MIN: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rendezvous,
    Classic,
    Ring,
    Maglev,
}

const KINDS: [(&str, Kind); 4] = [
    ("rendezvous", Kind::Rendezvous),
    ("classic", Kind::Classic),
    ("ring", Kind::Ring),
    ("maglev", Kind::Maglev),
];

const OF_CLASSIC: &[Kind] = &[Kind::Classic];

/// The keys that not every algorithm has.
const KEYS_OF_ALGORITHMS: [(&str, &[Kind]); 9] = [
    ("slots", OF_CLASSIC),
    ("virtual", OF_CLASSIC),
    ("probe", OF_CLASSIC),
    ("hash", OF_CLASSIC),
    ("seat_choice", OF_CLASSIC),
    ("layout", &[Kind::Ring]),
    ("table_size", &[Kind::Maglev]),
    ("seat_names", &[Kind::Ring, Kind::Maglev]),
    ("weights", &[Kind::Rendezvous, Kind::Ring, Kind::Maglev]),
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Rendezvous => "rendezvous",
            Self::Classic => "classic",
            Self::Ring => "ring",
            Self::Maglev => "maglev",
        }
    }
}

impl Checker<'_, '_> {
    pub(super) fn algorithm(&mut self, table: &ServiceTable, driver: &DriverChoice) -> Algorithm {
        let kind = self.parse(&table.algorithm, |text| value::choice(text, &KINDS));
        // Which keys an algorithm of an unknown name has is not for us to say.
        if kind.is_none() && table.keys.contains_key("algorithm") {
            return Algorithm::Rendezvous;
        }
        let kind = kind.unwrap_or(Kind::Rendezvous);
        for (key, owners) in KEYS_OF_ALGORITHMS {
            let Some(at) = table.keys.get(key).filter(|_| !owners.contains(&kind)) else { continue };
            let owners: Vec<&str> = owners.iter().map(|owner| owner.name()).collect();
            let is_default = table.algorithm.is_none();
            self.refuse_foreign_key((key, at), ("algorithm", &owners), (kind.name(), is_default));
        }
        match kind {
            Kind::Rendezvous => Algorithm::Rendezvous,
            Kind::Classic => self.classic(table, driver),
            Kind::Ring => {
                let layout = |text: &str| value::known_name(text, &RingLayout::NAMES, RingLayout::from_name);
                let layout = self.parse(&table.layout, layout).unwrap_or(RingLayout::Nginx);
                Algorithm::Ring { layout, names: self.seat_names(table, driver) }
            }
            Kind::Maglev => {
                Algorithm::Maglev { size: self.table_size(table), names: self.seat_names(table, driver) }
            }
        }
    }

    /// The weights of seats 1, 2, …
    pub(super) fn weights(&mut self, table: &ServiceTable, driver: &DriverChoice) -> Vec<u32> {
        let Some(given) = &table.weights else { return Vec::new() };
        self.limit_list(given, table, driver);
        let weights = given.value.iter().take(REPLICAS_MAX as usize);
        weights.filter_map(|weight| self.whole_given(weight, 1..=WEIGHT_MAX)).collect()
    }

    pub(super) fn load_factor(&mut self, table: &ServiceTable, algorithm: &Algorithm) -> f64 {
        let Some(given) = &table.load_factor else { return algorithm.load_factor_default() };
        // Written so that NaN, which compares as false with everything, is refused.
        if given.value == 0.0 || (1.0..=LOAD_FACTOR_MAX).contains(&given.value) {
            return given.value;
        }
        let what = format!("`load_factor` must be 0, or from 1 to {LOAD_FACTOR_MAX}, not {}", given.value);
        let help = "1.25 allows a replica a quarter more than the mean; 0 turns the bound off";
        self.note(&given.at, Wrong::new(what).help(help));
        0.0
    }

    /// Notes more replicas, or heavier ones, than the placement has room for.
    pub(super) fn fit_placement(&mut self, table: &ServiceTable, service: &ServiceSettings) {
        let (room, help) = match &service.algorithm {
            Algorithm::Rendezvous => return,
            Algorithm::Classic { slots, virtual_servers, .. } => {
                let help =
                    format!("{slots} slots, {virtual_servers} of them for each replica (`slots`, `virtual`)");
                (u32::from(slots / virtual_servers), help)
            }
            Algorithm::Ring { layout, names } => return self.fit_points(table, service, (*layout, names)),
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

    fn fit_points(
        &mut self,
        table: &ServiceTable,
        service: &ServiceSettings,
        (layout, names): (RingLayout, &SeatNames),
    ) {
        let weights = service.weights.iter().copied().chain(std::iter::repeat(1));
        let members: Vec<NamedMember> = (0..service.replicas as usize)
            .zip(weights)
            .map(|(index, weight)| NamedMember::new(names.of(Seat::at_index(index)), weight))
            .collect();
        if let Err(no_room) = Ring::check(layout, &members) {
            let at = table.keys.get("weights").unwrap_or(&table.at);
            let help = "smaller weights in the same proportions share the keys in the same way";
            self.note(at, Wrong::new(no_room.to_string()).help(help));
        }
    }

    fn classic(&mut self, table: &ServiceTable, driver: &DriverChoice) -> Algorithm {
        let slots = self.small(&table.slots, 1..=u16::MAX);
        let probes = [("linear", Probe::Linear), ("quadratic", Probe::Quadratic)];
        let probe = self.parse(&table.probe, |text| value::choice(text, &probes));
        let hash = |text: &str| value::known_name(text, &ClassicHash::NAMES, ClassicHash::from_name);
        let is_slots_fine = slots.is_some() || !table.keys.contains_key("slots");
        let base = ClassicSettings::default();
        let slots = slots.unwrap_or(base.slots);
        // Where the number of slots is wrong, it is no limit for anything else.
        let limit = if is_slots_fine { slots } else { u16::MAX };
        let virtual_servers = self.small(&table.virtual_servers, 1..=limit);
        let virtual_servers = virtual_servers.unwrap_or(base.virtual_servers);
        if virtual_servers > slots && table.virtual_servers.is_none() && is_slots_fine {
            let what =
                format!("`virtual` is {virtual_servers} unless it is given, and {slots} slots are fewer");
            let at = table.keys.get("slots").unwrap_or(&table.at);
            self.note(at, Wrong::new(what).help(format!("add virtual = {slots}, or less")));
        }
        Algorithm::Classic {
            slots,
            virtual_servers,
            probe: probe.unwrap_or(base.probe),
            hash: self.parse(&table.hash, hash).unwrap_or(base.hash),
            seat_choice: self.seat_choice(table, driver),
        }
    }

    fn seat_choice(&mut self, table: &ServiceTable, driver: &DriverChoice) -> SeatChoice {
        let choice = |text: &str| value::known_name(text, &SeatChoice::NAMES, SeatChoice::from_name);
        let choice = self.parse(&table.seat_choice, choice).unwrap_or_default();
        // Seat 1 has the first address, seat 2 the second: there is nothing to choose.
        if let (SeatChoice::Spread, DriverChoice::Static { .. }, Some(given)) =
            (choice, driver, &table.seat_choice)
        {
            let wrong = Wrong::new("`seat_choice` cannot be \"spread\" with driver = \"static\"");
            self.note(&given.at, wrong.help("the seats of `addresses` are numbered in their order"));
        }
        choice
    }

    fn table_size(&mut self, table: &ServiceTable) -> MaglevSize {
        let limits = MAGLEV_SIZE_MIN..=MAGLEV_SIZE_MAX;
        let (Some(given), Some(size)) = (&table.table_size, self.whole(&table.table_size, limits)) else {
            return MaglevSize::default();
        };
        MaglevSize::new(size).unwrap_or_else(|_| {
            let wrong = Wrong::new(format!("`table_size` must be a prime number, and {size} is none"));
            let next = (size..=MAGLEV_SIZE_MAX).find(|size| MaglevSize::new(*size).is_ok());
            let help = next.map(|prime| format!("the next one is {prime}"));
            self.note(&given.at, Wrong { help, ..wrong });
            MaglevSize::default()
        })
    }

    /// What seats 1, 2, … are hashed by. Addresses that do not change are good names; replicas that
    /// are started anew have nothing that lasts but the number of their seat.
    fn seat_names(&mut self, table: &ServiceTable, driver: &DriverChoice) -> SeatNames {
        let Some(given) = &table.seat_names else {
            let DriverChoice::Static { addresses } = driver else { return SeatNames::default() };
            // An address that is listed twice has been noted as such.
            return SeatNames::new(addresses.iter().map(ToString::to_string).collect()).unwrap_or_default();
        };
        self.limit_list(given, table, driver);
        let listed = given.value.iter().take(REPLICAS_MAX as usize);
        let names: Vec<String> = listed.filter_map(|name| self.parse_given(name, value::seat_name)).collect();
        // Without the wrong ones, the others would stand for other seats.
        if names.len() < given.value.len() {
            return SeatNames::default();
        }
        SeatNames::new(names).unwrap_or_else(|shared| {
            let mut namesakes = given.value.iter().filter(|name| name.value == shared.name);
            let (first, last) = (namesakes.next(), namesakes.next_back());
            let help = match last {
                Some(_) => "it is listed twice".to_owned(),
                None => format!("it is seat {}'s, which is behind the end of the list", shared.name),
            };
            let wrong = Wrong::new(format!("`seat_names` gives two seats the name {:?}", shared.name));
            self.note(last.or(first).map_or(&given.at, |name| &name.at), wrong.help(help));
            SeatNames::default()
        })
    }

    /// Notes a list, one value per seat, that is longer than there can be seats.
    fn limit_list<T>(&mut self, given: &Given<Vec<T>>, table: &ServiceTable, driver: &DriverChoice) {
        let (key, length) = (&given.key, given.value.len());
        let addresses = table.addresses.as_ref().map_or(0, |given| given.value.len());
        let is_static = matches!(driver, DriverChoice::Static { .. });
        if length > REPLICAS_MAX as usize {
            let what = format!("`{key}` must list at most {REPLICAS_MAX}, not {length}");
            self.note(&given.at, Wrong::new(what));
        } else if is_static && addresses > 0 && length > addresses {
            let what = format!("`{key}` lists {length}, but `addresses` lists {addresses}");
            self.note(&given.at, Wrong::new(what));
        }
    }
}
