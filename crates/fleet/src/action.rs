//! Actions: deeds that are ordered, and plans that are made of them. Nothing is decided here.

use std::fmt;

use crate::rollout::RolloutFailure;
use crate::{ChangeId, Death, Life, Moment, ReplicaName};

/// How to stop a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopHow {
    /// Ask, wait for the stop timeout, then kill.
    Graceful,
    /// Kill.
    Now,
}

/// A deed that is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the application as this life, under this name.
    Start(Life, ReplicaName),
    /// This life is over: its seat goes on with another one.
    Replace(Life, Death),
    /// Ask the driver whether it is frozen.
    Inspect(Life),
    /// Let one request try whether its responses are good again.
    Admit(Life),
    /// Close its gate and say when nobody is inside.
    Drain(Life),
    /// Stop it and remove what is left.
    Stop(Life, StopHow),
    /// All its replicas take traffic: the change counts.
    Commit(ChangeId),
    /// Its replicas do not come up: the change never was.
    Undo(ChangeId, String),
    /// A rollout goes on, back, or ends.
    Rollout(Step),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(life, name) => write!(f, "start {life} {name}"),
            Self::Replace(life, death) => write!(f, "replace {life}: {death}"),
            Self::Inspect(life) => write!(f, "inspect {life}"),
            Self::Admit(life) => write!(f, "admit one to {life}"),
            Self::Drain(life) => write!(f, "drain {life}"),
            Self::Stop(life, StopHow::Graceful) => write!(f, "stop {life}"),
            Self::Stop(life, StopHow::Now) => write!(f, "kill {life}"),
            Self::Commit(change) => write!(f, "commit {}", change.0),
            Self::Undo(change, why) => write!(f, "undo {}: {why}", change.0),
            Self::Rollout(step) => step.fmt(f),
        }
    }
}

/// A step of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This life's seat has its turn: a successor is begun.
    Try(Life),
    /// A successor is over, or is to be: another one is begun in its place.
    Abandon(Life, Death),
    /// The seat passes to this successor.
    Pass(Life),
    /// It goes back to the release before.
    TurnBack(RolloutFailure),
    /// It ends where it is.
    GiveUp(RolloutFailure),
    /// Every seat has had its turn.
    Finish,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Try(life) => write!(f, "try beside {life}"),
            Self::Abandon(life, death) => write!(f, "abandon {life}: {death}"),
            Self::Pass(life) => write!(f, "pass to {life}"),
            Self::TurnBack(failure) => write!(f, "turn back: {failure}"),
            Self::GiveUp(failure) => write!(f, "give up: {failure}"),
            Self::Finish => f.write_str("finish"),
        }
    }
}

/// What to do now, and when to ask again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// At most one for each life and change.
    pub actions: Vec<Action>,
    /// When time alone will call for something.
    pub again_at: Option<Moment>,
}

impl Plan {
    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Waits until this moment: notes that the plan is to be asked for again then. True when it has come.
    pub(crate) fn wait_until(&mut self, at: Moment, now: Moment) -> bool {
        if now < at {
            self.again_at = Some(self.again_at.map_or(at, |other| other.min(at)));
        }
        now >= at
    }
}
