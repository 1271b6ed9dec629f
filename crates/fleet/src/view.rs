//! What a fleet shows of itself: a copy for those who ask, made when something changed.

use crate::{Address, Fleet, Life, Moment, Phase, ReplicaName, Standing};

/// A fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetView {
    /// The generation of the wish.
    pub generation: u64,
    /// The replicas that should run, in order of insertion.
    pub replicas: Vec<ReplicaView>,
    /// Those that are being added, and those that are on their way out.
    pub others: Vec<ReplicaView>,
}

/// One replica at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    /// Which life of which seat.
    pub life: Life,
    /// What it is called.
    pub name: ReplicaName,
    /// Where it listens, if it runs.
    pub address: Option<Address>,
    /// How it is.
    pub state: ReplicaState,
    /// More about the state: signs of illness, how the last life ended.
    pub reason: Option<String>,
}

/// How a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// Its turn to be started has not come; see the reason.
    Waiting,
    /// Being started, or running without a good heartbeat yet.
    Starting,
    /// In the routing table.
    Ready,
    /// Out of the routing table until it is well again or replaced.
    Ill,
    /// Finishing what it has.
    Draining,
    /// Being stopped and removed.
    Stopping,
}

impl ReplicaState {
    /// One word, as shown to people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Ill => "ill",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }
}

impl FleetView {
    /// The names that callers of the contract see.
    pub fn names(&self) -> impl Iterator<Item = &ReplicaName> {
        self.replicas.iter().map(|replica| &replica.name)
    }

    /// How many take traffic.
    pub fn ready(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.state == ReplicaState::Ready).count()
    }

    pub(crate) fn of(fleet: &Fleet, now: Moment) -> Self {
        let mut view = Self { generation: fleet.desired().generation(), ..Self::default() };
        for berth in fleet.desired().berths() {
            let shown = show(fleet, berth.life, &berth.name, now);
            if berth.pending.is_some() { view.others.push(shown) } else { view.replicas.push(shown) }
        }
        for (life, known) in fleet.observed().lives() {
            if fleet.desired().berth_of(life).is_none() {
                view.others.push(show(fleet, life, &known.name, now));
            }
        }
        view
    }
}

fn show(fleet: &Fleet, life: Life, name: &ReplicaName, now: Moment) -> ReplicaView {
    let known = fleet.observed().get(life);
    let last_death = fleet.observed().seats.get(&life.seat).and_then(|record| record.last_death.as_ref());
    let (state, reason) = match known.map(|known| (known, &known.phase)) {
        None => (ReplicaState::Waiting, last_death.map(|(_, death)| death.to_string())),
        Some((_, Phase::Starting | Phase::Booting)) => (ReplicaState::Starting, None),
        Some((known, Phase::Serving)) => match fleet.standing(life) {
            Standing::Open => (ReplicaState::Ready, None),
            Standing::Closed => (ReplicaState::Draining, None),
            Standing::Condemned => {
                (ReplicaState::Ill, Some(known.signs_in_words(fleet.settings(), now).join(", ")))
            }
        },
        Some((_, Phase::Draining { .. })) => (ReplicaState::Draining, None),
        Some((_, Phase::Over(death))) => (ReplicaState::Stopping, Some(death.to_string())),
        Some((_, Phase::Stopping(_))) => (ReplicaState::Stopping, None),
    };
    let address = known.and_then(|known| known.address.clone());
    ReplicaView { life, name: name.clone(), address, state, reason }
}
