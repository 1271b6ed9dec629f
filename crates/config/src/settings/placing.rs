//! How keys are placed on seats: the choice between the algorithms, and the keys that not every algorithm
//! has.

use placement::{
    ClassicHash, ClassicSettings, MAGLEV_SIZE_MAX, MaglevSize, Probe, RingLayout, SeatChoice, SeatNames,
    WEIGHT_MAX,
};

use super::limits::REPLICAS_MAX;
use crate::form::{Choice, List, Maybe, Number, Text, Whole};
use crate::keys::{Key, Keys, Told};
use crate::only::{AlgorithmKind, Only};
use crate::value;

const LOAD_FACTOR_MAX: f64 = 100.0;
const MAGLEV_SIZE_MIN: u32 = 2;

const OF_CLASSIC: Only = Only::Algorithms(&[AlgorithmKind::Classic]);
const OF_RING: Only = Only::Algorithms(&[AlgorithmKind::Ring]);
const OF_MAGLEV: Only = Only::Algorithms(&[AlgorithmKind::Maglev]);
/// Keys of the algorithms that hash names.
const OF_NAMED: Only = Only::Algorithms(&[AlgorithmKind::Ring, AlgorithmKind::Maglev]);
/// Keys of the algorithms that know weights.
const OF_WEIGHTED: Only =
    Only::Algorithms(&[AlgorithmKind::Rendezvous, AlgorithmKind::Ring, AlgorithmKind::Maglev]);

/// How keys are placed on seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Rendezvous hashing: an even spread, and no table.
    Rendezvous,
    /// The slot table of the original system.
    Classic {
        /// M, at least 1.
        slots: u16,
        /// K, from 1 to M.
        virtual_servers: u16,
        /// What happens when a slot is taken.
        probe: Probe,
        /// Where virtual servers and requests go.
        hash: ClassicHash,
        /// Which seat number a new replica gets.
        seat_choice: SeatChoice,
    },
    /// A ring of points, as nginx or libketama make it.
    Ring {
        /// Where the points are.
        layout: RingLayout,
        /// What seats are hashed by.
        names: SeatNames,
    },
    /// Maglev's lookup table, as Envoy fills it.
    Maglev {
        /// The number of slots.
        size: MaglevSize,
        /// What seats are hashed by.
        names: SeatNames,
    },
}

/// The keys of algorithms, each with a value, whatever the algorithm is.
#[derive(Clone, Debug)]
pub(crate) struct PlacingKeys {
    pub(crate) kind: AlgorithmKind,
    pub(crate) weights: Vec<u32>,
    pub(crate) slots: u16,
    pub(crate) virtual_servers: u16,
    pub(crate) probe: Probe,
    pub(crate) hash: ClassicHash,
    pub(crate) seat_choice: SeatChoice,
    pub(crate) layout: RingLayout,
    /// May be a number that no table can have; then it has been noted.
    pub(crate) table_size: u32,
    pub(crate) seat_names: Option<Vec<String>>,
    /// Without it, the algorithm decides.
    pub(crate) load_factor: Option<f64>,
}

impl Default for PlacingKeys {
    fn default() -> Self {
        let ClassicSettings { slots, virtual_servers, probe, hash } = ClassicSettings::default();
        Self {
            kind: AlgorithmKind::default(),
            weights: Vec::new(),
            slots,
            virtual_servers,
            probe,
            hash,
            seat_choice: SeatChoice::default(),
            layout: RingLayout::Nginx,
            table_size: MaglevSize::default().number(),
            seat_names: None,
            load_factor: None,
        }
    }
}

impl PlacingKeys {
    /// Names the keys.
    pub(super) fn walk(&mut self, keys: &mut impl Keys) {
        of_all(keys, self);
        classic(keys, self);
        named(keys, self);
    }

    /// The keys that stand for a choice that was made.
    pub(crate) fn of(choice: &Algorithm) -> Self {
        let base = Self::default();
        let listed = |names: &SeatNames| Some(names.listed().to_vec());
        match *choice {
            Algorithm::Rendezvous => base,
            Algorithm::Classic { slots, virtual_servers, probe, hash, seat_choice } => {
                let kind = AlgorithmKind::Classic;
                Self { kind, slots, virtual_servers, probe, hash, seat_choice, ..base }
            }
            Algorithm::Ring { layout, ref names } => {
                Self { kind: AlgorithmKind::Ring, layout, seat_names: listed(names), ..base }
            }
            Algorithm::Maglev { size, ref names } => Self {
                kind: AlgorithmKind::Maglev,
                table_size: size.number(),
                seat_names: listed(names),
                ..base
            },
        }
    }
}

impl Algorithm {
    /// The bound on a replica's load where a request may as well be elsewhere.
    pub(crate) fn load_factor_default(&self) -> f64 {
        match self {
            Self::Rendezvous | Self::Ring { .. } | Self::Maglev { .. } => 1.25,
            // The classic formulas promise exact, uneven shares, and a bound would bend them.
            Self::Classic { .. } => 0.0,
        }
    }
}

fn of_all(keys: &mut impl Keys, it: &mut PlacingKeys) {
    keys.key(
        Key::new(
            "algorithm",
            Choice::between(AlgorithmKind::ALL.map(AlgorithmKind::name), AlgorithmKind::ALL),
            "how keys are placed, see [Placement](#placement)",
        ),
        &mut it.kind,
    );
    let example = "weights = [1, 2, 1]";
    keys.key(
        Key::new(
            "weights",
            List { each: Whole(1..=WEIGHT_MAX), example, most: Some(REPLICAS_MAX as usize) },
            "",
        )
        .only(OF_WEIGHTED)
        .default(Told::Instead("all 1"))
        .limits(Told::And("with `ring`, see below")),
        &mut it.weights,
    );
}

fn classic(keys: &mut impl Keys, it: &mut PlacingKeys) {
    keys.key(Key::new("slots", Whole(1..=u32::from(u16::MAX)), "").only_judged_by(OF_CLASSIC), &mut it.slots);
    // Where the number of slots is wrong, it is no limit for anything else.
    let virtual_max = if keys.is_sound("slots") { it.slots } else { u16::MAX };
    keys.key(
        Key::new("virtual", Whole(1..=u32::from(virtual_max)), "")
            .only_judged_by(OF_CLASSIC)
            .limits(Told::Instead("1–`slots`")),
        &mut it.virtual_servers,
    );
    keys.key(
        Key::new("probe", Choice::between(["linear", "quadratic"], [Probe::Linear, Probe::Quadratic]), "")
            .only_judged_by(OF_CLASSIC),
        &mut it.probe,
    );
    keys.key(
        Key::new("hash", Choice::of(&ClassicHash::NAMES, ClassicHash::from_name), "")
            .only_judged_by(OF_CLASSIC),
        &mut it.hash,
    );
    keys.key(
        Key::new("seat_choice", Choice::of(&SeatChoice::NAMES, SeatChoice::from_name), "")
            .only_judged_by(OF_CLASSIC)
            .limits(Told::And("with `static`, only `\"lowest\"`")),
        &mut it.seat_choice,
    );
}

fn named(keys: &mut impl Keys, it: &mut PlacingKeys) {
    keys.key(
        Key::new("layout", Choice::of(&RingLayout::NAMES, RingLayout::from_name), "").only_judged_by(OF_RING),
        &mut it.layout,
    );
    keys.key(
        Key::new("table_size", Whole(MAGLEV_SIZE_MIN..=MAGLEV_SIZE_MAX), "")
            .only_judged_by(OF_MAGLEV)
            .limits(Told::And("a prime")),
        &mut it.table_size,
    );
    let example = "seat_names = [\"10.0.0.1:80\"]";
    let each = Text::of("string", value::seat_name);
    keys.key(
        Key::new("seat_names", Maybe(List { each, example, most: Some(REPLICAS_MAX as usize) }), "")
            .only_judged_by(OF_NAMED)
            .default(Told::Instead("see below"))
            .limits(Told::And("each 1–256 characters")),
        &mut it.seat_names,
    );
    keys.key(
        Key::new(
            "load_factor",
            Maybe(Number {
                limits: 1.0..=LOAD_FACTOR_MAX,
                or_zero: Some("1.25 allows a replica a quarter more than the mean; 0 turns the bound off"),
            }),
            "no replica gets more requests at a time than this multiple of the mean; 0 is no bound",
        )
        .default(Told::Instead("1.25; with `classic`, or where requests are placed for a session, 0")),
        &mut it.load_factor,
    );
}
