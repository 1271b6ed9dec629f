//! What an operator decides about a fleet, as far as decisions depend on it.

use std::time::Duration;

use placement::SeatChoice;

/// The numbers that plans are made with.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Names are this, an underscore, and a number or random letters.
    pub name_prefix: String,
    /// The most replicas that may be asked for.
    pub replicas_max: u32,
    /// How long a replica may take from its start order to its first good heartbeat.
    pub start_timeout: Duration,
    /// How long a replica on its way out may keep the requests that it has.
    pub drain_deadline: Duration,
    /// Heartbeats missed in a row after which a replica counts as silent.
    pub misses_max: u32,
    /// Which free seat a new replica gets.
    pub seat_choice: SeatChoice,
    /// Whether replicas are ours to start and stop, or only watched.
    pub is_owned: bool,
}
