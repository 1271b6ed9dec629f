//! Where a key lives: key → seats in order of preference.
//!
//! This room is pure: no clock, no randomness, no I/O. The same members give the same order on
//! every machine and in every process, which is what lets balancers agree without talking.

mod key;
mod seat;

mod classic;
mod logarithm;
mod rendezvous;

mod placement;

pub use classic::{Classic, ClassicHash, ClassicSettings, Holding, Probe, SPREAD_SEAT_MAX, SeatChoice};
pub use key::{Key, KeyHash};
pub use placement::{NoRoom, Order, Placement};
pub use rendezvous::Rendezvous;
pub use seat::{Member, Seat, WEIGHT_MAX};
