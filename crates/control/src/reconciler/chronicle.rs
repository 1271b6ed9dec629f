//! The chronicle of a service: what happens to it goes into the log, in words for people, and into the
//! journal, as facts. It also counts who is taken out of the table, and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use fleet::{
    Action, Assignment, CrashLoop, Exit, Fleet, Heard, Life, Moment, Phase, ProbeResult, ReplicaName, Step,
    StopHow,
};
use placement::Seat;

use super::publishing::{Publishing, Turnover};
use crate::ejections::{EjectionKind, Ejections};
use crate::happening::{Departure, Happening, PauseEnd, Subject};
use crate::journal::Journal;

pub(super) struct Chronicle {
    service: Arc<str>,
    journal: Journal,
    ejections: Ejections,
}

/// Where to find out whom something is about.
pub(super) struct Who<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) publishing: &'a Publishing,
}

impl Who<'_> {
    /// The seat of a life, or the one that it had.
    fn seat(&self, life: Life) -> Seat {
        let had = || self.publishing.replica(life).map_or(life.seat, |replica| replica.seat);
        Some(self.fleet.seat_of(life)).filter(|seat| *seat != life.seat).unwrap_or_else(had)
    }

    fn name(&self, life: Life) -> &str {
        self.fleet.observed().get(life).map_or("?", |known| known.name.as_str())
    }

    fn subject(&self, life: Life) -> Subject {
        let name = self.fleet.observed().get(life).map(|known| known.name.clone());
        Subject { seat: self.seat(life), life, name }
    }

    /// Why a life is not routed to any more.
    fn departure(&self, life: Life, now: Moment) -> Departure {
        if let Some((sign, signs)) = self.fleet.illness(life, now) {
            return Departure::Ill { sign, signs };
        }
        match self.fleet.observed().get(life).map(|known| &known.phase) {
            Some(Phase::Over(death)) => Departure::Dead(Some(death.clone())),
            // How it ended is told by the line about its replacement.
            Some(Phase::Stopping(StopHow::Now)) | None => Departure::Dead(None),
            Some(_) => Departure::Meant,
        }
    }
}

impl Chronicle {
    pub(super) fn new(service: Arc<str>, journal: Journal) -> Self {
        Self { service, journal, ejections: Ejections::default() }
    }

    /// How many were taken out of the table since the start.
    pub(super) fn ejections(&self) -> &Ejections {
        &self.ejections
    }

    /// Who comes into the table and who leaves it, and why.
    pub(super) fn turnover(&mut self, who: &Who<'_>, turnover: &Turnover, now: Moment) {
        for life in &turnover.came {
            self.note(who.subject(*life), Happening::Ready);
        }
        for life in &turnover.left {
            let departure = who.departure(*life, now);
            match &departure {
                Departure::Ill { sign, signs } => {
                    self.ejections.count(EjectionKind::Ill(*sign));
                    let (service, name) = (&self.service, who.name(*life));
                    tracing::warn!(%service, seat = %who.seat(*life), "replica '{name}' is out of the table: {signs}");
                }
                Departure::Dead(_) => self.ejections.count(EjectionKind::Dead),
                Departure::Meant => {}
            }
            self.note(who.subject(*life), Happening::OutOfTable(departure));
        }
        for life in &turnover.became_half_open {
            self.note(who.subject(*life), Happening::HalfOpen);
        }
    }

    /// How one ended may be known only after it was replaced.
    pub(super) fn exit(&self, who: &Who<'_>, life: Life, exit: &Exit) {
        let (service, name) = (&self.service, who.name(life));
        tracing::info!(%service, seat = %who.seat(life), "replica '{name}': {exit}");
        self.note(who.subject(life), Happening::Ended { exit: exit.clone() });
    }

    /// What there was instead of a good answer. That nobody listens at first is nothing to tell.
    pub(super) fn heard(&self, who: &Who<'_>, life: Life, heard: &Heard) {
        let (service, name, words) = (&self.service, who.name(life), &heard.words);
        if heard.result == ProbeResult::Refused && !words.contains(';') {
            tracing::debug!(%service, "replica '{name}': {words}");
        } else {
            tracing::info!(%service, seat = %who.seat(life), "replica '{name}' does not answer its heartbeat well: {words}");
        }
    }

    /// What is about to be done.
    pub(super) fn action(&self, who: &Who<'_>, action: &Action) {
        let service = &self.service;
        match action {
            Action::Start(life, name) => {
                tracing::info!(%service, seat = %life.seat, "replica '{name}' is being started");
                self.crash_loop(who, *life, name);
                self.note(begun(*life, name), Happening::Starting);
            }
            Action::Replace(life, death) => {
                let name = who.name(*life);
                tracing::warn!(%service, seat = %who.seat(*life), "replica '{name}' is replaced: {death}");
                self.note(who.subject(*life), Happening::Replaced { death: death.clone() });
            }
            Action::Undo(_, why) => tracing::warn!(%service, "an addition is undone: {why}"),
            Action::Rollout(step) => self.step(who, step),
            Action::Drain(life) => self.note(who.subject(*life), Happening::Draining),
            Action::Stop(life, _) => self.note(who.subject(*life), Happening::Stopping),
            Action::Inspect(_) | Action::Admit(_) | Action::Commit(_) => {
                tracing::debug!(%service, "{action}");
            }
        }
    }

    /// That a spare has taken a seat, if one has: somebody has it who runs already.
    pub(super) fn seat_taken(&self, who: &Who<'_>, seat: Seat) {
        let assignment = who.fleet.roster().assignment_at(seat);
        let taken = assignment.filter(|assignment| who.fleet.observed().get(assignment.life).is_some());
        let Some(Assignment { life, name, .. }) = taken else { return };
        let service = &self.service;
        tracing::info!(%service, %seat, "spare '{name}' takes the seat");
        self.note(Subject { seat, life: *life, name: Some(name.clone()) }, Happening::SeatTaken);
    }

    /// That requests are held back.
    pub(super) fn paused(&self, length: Duration) {
        let service = &self.service;
        tracing::info!(%service, "requests are held back for {length:?}");
        self.note_of_service(Happening::Paused { length });
    }

    /// That they no longer are.
    pub(super) fn resumed(&self, end: PauseEnd) {
        let service = &self.service;
        tracing::info!(%service, "requests are no longer held back: {end}");
        self.note_of_service(Happening::Resumed { end });
    }

    /// Says of a seat that its lives keep failing, each time that another one begins.
    fn crash_loop(&self, who: &Who<'_>, life: Life, name: &ReplicaName) {
        let is_in_assignment = who.fleet.roster().places().any(|assignment| assignment.life == life);
        let Some(crash_loop) = who.fleet.crash_loop(life.seat).filter(|_| is_in_assignment) else { return };
        let CrashLoop { failures, death, last_output, .. } = crash_loop;
        let service = &self.service;
        tracing::warn!(%service, seat = %life.seat, "crash loop: {failures} failures in a row; the last one {death}");
        self.note(begun(life, name), Happening::CrashLooping { failures, death, last_output });
    }

    fn step(&self, who: &Who<'_>, step: &Step) {
        let service = &self.service;
        match step {
            Step::Try(life) => tracing::debug!(%service, seat = %who.seat(*life), "a successor is tried"),
            Step::Abandon(life, death) => {
                let name = who.name(*life);
                tracing::warn!(%service, seat = %life.seat, "successor '{name}' is abandoned: {death}");
                self.note(who.subject(*life), Happening::Abandoned { death: death.clone() });
            }
            Step::Pass(life) => self.note(who.subject(*life), Happening::Passed),
            Step::TurnBack(failure) => {
                tracing::warn!(%service, "the rollout is undone: {failure}");
                self.note_of_service(Happening::RollingBack { failure: failure.clone() });
            }
            Step::GiveUp(failure) => {
                tracing::warn!(%service, "the rollout is given up: {failure}");
                self.note_of_service(Happening::RolloutGivenUp { failure: failure.clone() });
            }
            Step::Finish => {
                tracing::info!(%service, "the rollout has ended");
                self.note_of_service(Happening::RolloutEnded);
            }
        }
    }

    fn note(&self, replica: Subject, happening: Happening) {
        self.journal.record(&self.service, Some(replica), happening);
    }

    fn note_of_service(&self, happening: Happening) {
        self.journal.record(&self.service, None, happening);
    }
}

/// One that has not begun yet is known in the seat that it will begin in.
fn begun(life: Life, name: &ReplicaName) -> Subject {
    Subject { seat: life.seat, life, name: Some(name.clone()) }
}
