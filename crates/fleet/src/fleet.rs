//! A fleet: its settings, its roster, and what is known to run. What happens to it stands in other files.

use placement::{NoRoom, Placement, Seat, draw};

use crate::facts::Facts;
use crate::names;
use crate::reserved::ReservedNames;
use crate::{Desired, FleetSettings, Life, Moment, Observed, ReplicaName, Roster, Seating};

/// What should run of one service and what is known to run, owned by one reconciler. Nothing here starts or
/// stops anything: the owner carries out what is planned, and tells the fleet what came of it.
///
/// ```
/// use std::time::Duration;
///
/// use fleet::{
///     Action, Desired, Edit, Event, Fleet, FleetSettings, HealthSettings, ProbeResult, RolloutSettings, Seating,
/// };
/// use placement::{Placement, Rendezvous, SeatChoice};
///
/// let settings = FleetSettings {
///     name_prefix: "web".into(),
///     replicas_max: 10,
///     spares: 0,
///     start_timeout: Duration::from_secs(30),
///     drain_deadline: Duration::from_secs(30),
///     health: HealthSettings::default(),
///     seat_choice: SeatChoice::Lowest,
///     rollout: RolloutSettings::default(),
///     is_owned: true,
/// };
/// let seating = Seating::new(Placement::Rendezvous(Rendezvous::default()), Vec::new());
/// let mut fleet = Fleet::new(settings, seating, Desired::new(7)).unwrap();
/// let now = Duration::ZERO;
///
/// // It begins with one replica, which is to be started, and serves when its heartbeat is good.
/// fleet.edit(&Edit::Fill { count: 1 }, now).unwrap();
/// let plan = fleet.plan(now);
/// let [Action::Start(life, name)] = plan.actions.as_slice() else { panic!("{plan:?}") };
/// assert_eq!((life.to_string(), name.as_str()), ("1.1".to_string(), "web_1"));
/// fleet.accept(&plan.actions[0], now);
/// assert!(fleet.plan(now).actions.is_empty());
/// assert!(!fleet.is_whole());
///
/// fleet.observe(&Event::Started(*life, "127.0.0.1:9001".parse().unwrap()), now);
/// fleet.observe(&Event::Beat(*life, ProbeResult::Good), now);
/// assert!(fleet.plan(now).actions.is_empty());
/// assert_eq!(fleet.desired().replicas.len(), 1);
/// assert!(fleet.is_whole());
/// ```
#[derive(Clone, Debug)]
pub struct Fleet {
    pub(crate) settings: FleetSettings,
    pub(crate) roster: Roster,
    pub(crate) observed: Observed,
    pub(crate) reserved: ReservedNames,
}

impl Fleet {
    /// A fleet of which nothing is known to run yet, with what should run, as it was stored or as
    /// [`Desired::new`] makes it. An error says that this does not fit the placement; one that has room for
    /// the same seats again gives each the slots that it had.
    pub fn new(settings: FleetSettings, seating: Seating, desired: Desired) -> Result<Self, NoRoom> {
        let roster = Roster::of_stored(desired, seating)?;
        Ok(Self { settings, roster, observed: Observed::default(), reserved: ReservedNames::default() })
    }

    /// From now on no replica is given one of these names, and no caller may choose one.
    pub fn reserve(&mut self, names: impl IntoIterator<Item = String>) {
        self.reserved.extend(names);
    }

    /// What should run.
    pub fn desired(&self) -> &Desired {
        &self.roster.desired
    }

    /// Who is meant to run, those included who do not count yet.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// What is known to run.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The seat that a life has in the fleet, or the one that it began in.
    pub fn seat_of(&self, life: Life) -> Seat {
        self.roster.assignment_of(life).map_or(life.seat, |assignment| assignment.seat)
    }

    /// The weight of a seat.
    pub fn weight(&self, seat: Seat) -> u32 {
        self.roster.seating.member(seat).weight
    }

    /// Where keys live.
    pub fn placement(&self) -> &Placement {
        self.roster.seating.placement()
    }

    pub(crate) fn facts(&self, now: Moment) -> Facts<'_> {
        Facts { settings: &self.settings, roster: &self.roster, observed: &self.observed, now }
    }

    /// A number that looks random and is the same for a life whenever it is asked for.
    pub(crate) fn draw_for(&self, life: Life) -> u64 {
        names::draw_for(self.roster.desired.seed, life)
    }

    /// A random name that nobody in the fleet carries or is about to lay down.
    pub(crate) fn random_name(&self, life: Life) -> ReplicaName {
        let is_held = |name: &ReplicaName| self.roster.holds_name(name) || self.observed.holds_name(name);
        let is_free = |name: &ReplicaName| !is_held(name) && !self.reserved.has(name);
        let seed = draw(self.roster.desired.seed, self.roster.desired.generation);
        names::random(&self.settings.name_prefix, seed, life, is_free)
    }
}
