//! The house rules, checked: floors, circles, lengths, signatures, module docs, banned words.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod circles;
mod files;
mod floors;
mod house;
mod page;
mod signatures;

use floors::FLOORS;
