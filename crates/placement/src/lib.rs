//! Where a key lives: key → seats in order of preference.
//!
//! This room is pure: no clock, no randomness, no I/O. The same members give the same order on
//! every machine and in every process, which is what lets balancers agree without talking.
//!
//! Rendezvous and the classic placement hash the number of a seat. Rings and Maglev tables hash
//! names: [`Ring`] and [`Maglev`] stand alone over any list of them, and [`Named`] gives each seat a
//! name that outlives its replicas, so that a fleet can use them too. [`Placement`] is one of all.
//!
//! # Choices
//!
//! - **Rings and Maglev tables hash the name of a seat**, the operator's or its number, not an address: a
//!   replacement keeps its place under every algorithm.

mod key;
mod names;
mod seat;
mod split_mix;

mod classic;
mod logarithm;
mod rendezvous;

mod no_room;

mod circle;
mod maglev;
mod named;
mod ring;

mod placement;

mod analysis;

pub use analysis::{Flow, Movement, Shares, movement, sample_keys};
pub use classic::{Classic, ClassicHash, ClassicSettings, Holding, Probe, SPREAD_SEAT_MAX, SeatChoice};
pub use key::{Key, KeyHash};
pub use maglev::{BadMaglevSize, MAGLEV_SIZE_MAX, Maglev, MaglevSize};
pub use named::{Named, NamedAlgorithm};
pub use names::{NamedMember, SeatNames, SharedName};
pub use no_room::NoRoom;
pub use placement::{Order, Placement};
pub use rendezvous::Rendezvous;
pub use ring::{RING_POINTS_MAX, Ring, RingLayout};
pub use seat::{Member, Seat, WEIGHT_MAX};
pub use split_mix::draw;
