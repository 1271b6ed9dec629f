//! What a fleet shows of itself: a copy for those who ask, made when something changed.

use placement::Seat;

use crate::{
    Address, Assignment, Course, CrashLoop, Death, Fleet, Known, Life, Moment, Phase, Release, ReplicaName,
    Standing,
};

/// A fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetView {
    /// The generation of the desired state.
    pub generation: u64,
    /// The replicas that should run, in order of insertion.
    pub replicas: Vec<ReplicaView>,
    /// Those that wait for a seat.
    pub spares: Vec<ReplicaView>,
    /// Those that are being added, and those that are on their way out.
    pub others: Vec<ReplicaView>,
    /// The rollout under way, or the last one.
    pub rollout: Option<RolloutView>,
}

/// A rollout at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutView {
    /// The generation of the desired state that it made; it tells one rollout from another.
    pub number: u64,
    /// The release that replicas have before.
    pub from: Release,
    /// The one that they get.
    pub to: Release,
    /// Where it is, or how it ended.
    pub course: Course,
    /// Seats that have passed, in this direction.
    pub done: usize,
    /// Seats that have to, in this direction.
    pub total: usize,
}

/// One replica at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    /// Its place in the fleet; the one that it began in, if it has none.
    pub seat: Seat,
    /// Which life it is.
    pub life: Life,
    /// What it is called.
    pub name: ReplicaName,
    /// What it runs.
    pub release: Option<Release>,
    /// Where it listens, if it runs.
    pub address: Option<Address>,
    /// How it is.
    pub state: ReplicaState,
    /// More about the state: signs of illness, how the last life ended.
    pub reason: Option<String>,
    /// What there is to say of its seat, if lives keep failing there.
    pub crash_loop: Option<CrashLoop>,
    /// Who died in its seat last, if anybody did.
    pub last_end: Option<LastEnd>,
}

/// The last one that died in a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEnd {
    /// What it was called.
    pub name: ReplicaName,
    /// How it ended.
    pub death: Death,
    /// The last lines that it wrote, the oldest first.
    pub last_output: Vec<String>,
}

/// How a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// Its turn to be started has not come; see the reason.
    Waiting,
    /// Lives keep failing in its seat, and this one does not serve, or not yet.
    CrashLooping,
    /// Being started, or running without a good heartbeat yet.
    Starting,
    /// Well and not in the routing table yet: it has to stay well for a while to get its seat.
    Baking,
    /// In the routing table.
    Ready,
    /// Well, and waiting for a seat.
    Spare,
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
            Self::CrashLooping => "crash-looping",
            Self::Starting => "starting",
            Self::Baking => "baking",
            Self::Ready => "ready",
            Self::Spare => "spare",
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

    /// How many spares could take a seat.
    pub fn spares_ready(&self) -> usize {
        self.spares.iter().filter(|spare| spare.state == ReplicaState::Spare).count()
    }

    /// How many do not serve because lives keep failing in their seats.
    pub fn crash_looping(&self) -> usize {
        let all = self.replicas.iter().chain(&self.others);
        all.filter(|replica| replica.state == ReplicaState::CrashLooping).count()
    }
}

impl Fleet {
    /// What there is to show.
    pub fn view(&self, now: Moment) -> FleetView {
        let fleet = self;
        let (desired, progress) = (&fleet.roster.desired, &fleet.roster.progress);
        let show_all = |assignments: &[Assignment]| {
            let shown = assignments.iter().map(|one| show(fleet, one.life, &one.name, now));
            shown.collect::<Vec<_>>()
        };
        let mut others: Vec<_> = progress.changes.iter().flat_map(|change| show_all(&change.added)).collect();
        for (life, known) in fleet.observed.lives() {
            if fleet.roster.place_of(life).is_none() {
                others.push(show(fleet, life, &known.name, now));
            }
        }
        let rollout = progress.rollout.as_ref().map(|rollout| RolloutView {
            number: rollout.number,
            from: rollout.transition.from,
            to: rollout.transition.to,
            course: rollout.course.clone(),
            done: rollout.passed.len(),
            total: rollout.passed.len() + rollout.successors.len() + rollout.left.len(),
        });
        let (replicas, spares) = (show_all(&desired.replicas), show_all(&desired.spares));
        FleetView { generation: desired.generation, replicas, spares, others, rollout }
    }
}

fn show(fleet: &Fleet, life: Life, name: &ReplicaName, now: Moment) -> ReplicaView {
    let known = fleet.observed().get(life);
    let seat = fleet.seat_of(life);
    let last_death = fleet.observed().seats.get(&seat).and_then(|record| record.last_death.as_ref());
    let (state, reason) = match known.map(|known| (known, &known.phase)) {
        None => (ReplicaState::Waiting, last_death.map(|(_, death)| death.to_string())),
        Some((known, Phase::Starting | Phase::Booting)) => (ReplicaState::Starting, heard(known)),
        Some((known, Phase::Serving)) => match (fleet.standing(life), fleet.illness(life, now)) {
            // Where all are ill nobody is taken out; what they answer is shown all the same.
            (Standing::Open, _) => (ReplicaState::Ready, heard(known)),
            (_, Some((_, signs))) => (ReplicaState::Ill, Some(signs)),
            (_, None) if fleet.roster.is_spare(life) => (ReplicaState::Spare, None),
            (_, None) if fleet.roster.successor(life).is_some() => (ReplicaState::Baking, None),
            (_, None) => (ReplicaState::Draining, None),
        },
        Some((_, Phase::Draining { .. })) => (ReplicaState::Draining, None),
        Some((_, Phase::Over(death))) => (ReplicaState::Stopping, Some(death.to_string())),
        Some((_, Phase::Stopping(_))) => (ReplicaState::Stopping, None),
    };
    let address = known.and_then(|known| known.address.clone());
    let release = fleet.roster.release_of(life);
    let is_in_assignment = fleet.roster.place_of(life).is_some();
    let crash_loop = fleet.crash_loop(seat).filter(|_| is_in_assignment);
    let (state, reason) = match &crash_loop {
        Some(crash_loop) if known.is_none_or(|known| known.phase != Phase::Serving) => {
            let CrashLoop { failures, death, .. } = crash_loop;
            (ReplicaState::CrashLooping, Some(format!("{failures} failures in a row; the last one {death}")))
        }
        _ => (state, reason),
    };
    let last_end = last_end(fleet, seat);
    ReplicaView { seat, life, name: name.clone(), release, address, state, reason, crash_loop, last_end }
}

/// What there was instead of a good answer to the last heartbeat.
fn heard(known: &Known) -> Option<String> {
    known.heard.as_deref().map(str::to_owned)
}

fn last_end(fleet: &Fleet, seat: Seat) -> Option<LastEnd> {
    let record = fleet.observed().seats.get(&seat)?;
    let ((_, death), name) = record.last_death.clone().zip(record.last_name.clone())?;
    Some(LastEnd { name, death, last_output: record.last_output.clone() })
}
