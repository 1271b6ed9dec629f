//! What an operator decides about a fleet, as far as decisions depend on it.

use std::time::Duration;

use placement::SeatChoice;

/// What is taken for a sign of illness, and for an end of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSettings {
    /// Heartbeats missed in a row after which a replica counts as silent.
    pub misses: u32,
    /// Good heartbeats in a row after which it no longer does.
    pub rise: u32,
    /// Failed responses in a row after which a replica counts as failing; 0 means never.
    pub failures: u32,
    /// How many times as long as its peers a replica takes that counts as slow; 0 means that none does.
    pub slow_factor: f64,
    /// How long a replica is not asked for anything whose responses were bad, the first time.
    pub ejection: Duration,
    /// How long a replica may be silent that works on requests: as long as a response may take. It is never
    /// less than a start may take.
    pub busy_patience: Duration,
    /// Whether any replica may get any request. If not, one may have to take longer than others, and
    /// is slow only if it takes longer than it used to, too.
    pub have_equal_work: bool,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            misses: 2,
            rise: 2,
            failures: 3,
            slow_factor: 5.0,
            ejection: Duration::from_secs(10),
            busy_patience: Duration::from_secs(60),
            have_equal_work: true,
        }
    }
}

/// How careful a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutSettings {
    /// How many seats have their turn at a time.
    pub at_once: u32,
    /// How long a successor must stay well before it gets the seat, and how long in it.
    pub bake: Duration,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self { at_once: 1, bake: Duration::from_secs(1) }
    }
}

/// The numbers that plans are made with.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Names are this, an underscore, and a number or random letters.
    pub name_prefix: String,
    /// The most replicas that may be asked for.
    pub replicas_max: u32,
    /// How many spares are held ready beside them.
    pub spares: u32,
    /// How long a replica may take from its start order to its first good heartbeat.
    pub start_timeout: Duration,
    /// How long a replica on its way out may keep the requests that it has.
    pub drain_deadline: Duration,
    /// What is a sign of illness.
    pub health: HealthSettings,
    /// Which free seat a new replica gets.
    pub seat_choice: SeatChoice,
    /// How careful rollouts are that are taken up after a restart.
    pub rollout: RolloutSettings,
    /// Whether replicas are ours to start and stop, or only watched.
    pub is_owned: bool,
}
