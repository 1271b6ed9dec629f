//! The one task that owns a fleet: observe, plan, perform, publish.

mod settings;
mod start;
mod beginning;
mod releases;
mod edits;
mod storing;
mod learning;
mod pause;
mod sample;
mod publishing;
mod targets;
mod chronicle;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use driver::EVENTS_CAPACITY;
use fleet::{Action, Event, Fleet, ProbeResult, Standing, Step, Suspicion, SuspicionKind};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::beginning::Beginning;
use crate::clock::Clock;
use crate::handle::{Command, EditError, EditRequest};
use crate::happening::PauseEnd;
use crate::heartbeat::HeartbeatLine;
use crate::perform::Performer;
use crate::view::ServiceView;

use chronicle::{Chronicle, Who};
use edits::Edits;
use learning::Learning;
pub use pause::PAUSE_MAX;
use pause::Pause;
use publishing::Publishing;
use sample::sample;
pub use settings::{MakeDriver, ReconcilerSettings, driver_maker};
pub use start::Control;
use targets::targets;

/// How often the driver is asked for everything, to repair whatever was missed.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// How often it is sampled how long answers took.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// Room for suspicions. When it is full, one is dropped, and heartbeats find out later.
const SUSPICIONS_CAPACITY: usize = 1024;

/// A fleet planned again and again must come to rest; this many rounds without are a mistake.
const ROUNDS_MAX: usize = 1000;

struct Reconciler {
    fleet: Fleet,
    edits: Edits,
    performer: Performer,
    heartbeats: HeartbeatLine,
    clock: Clock,
    publishing: Publishing,
    chronicle: Chronicle,
    pause: Option<Pause>,
    beginning: Beginning,
    /// In which keys the configuration differs from what is run.
    differing: Vec<String>,
    view: watch::Sender<Arc<ServiceView>>,
    /// When the clock began, for people.
    began_at: SystemTime,
}

struct Inbox {
    commands: mpsc::Receiver<Command>,
    events: mpsc::Receiver<Event>,
    suspicions: mpsc::Receiver<Suspicion>,
    learning: Learning,
}

impl Reconciler {
    async fn run(mut self, mut inbox: Inbox) {
        let mut list_at = Instant::now() + LIST_EVERY;
        let mut sample_at = Instant::now() + SAMPLE_EVERY;
        loop {
            let again_at = self.step(&mut inbox).await;
            if self.edits.is_retired() && self.fleet.observed().lives().next().is_none() {
                self.finish_retiring().await;
            }
            let pause_end = self.pause.map(|pause| self.clock.instant(pause.until));
            let moments = [again_at, pause_end, Some(sample_at)].into_iter().flatten();
            let again_at = moments.fold(list_at, Instant::min);
            if self.hear(&mut inbox, again_at).await.is_break() {
                return;
            }
            if Instant::now() >= sample_at {
                sample_at = Instant::now() + SAMPLE_EVERY;
                self.take_in(&sample(self.publishing.replicas()));
            }
            if Instant::now() >= list_at {
                list_at = Instant::now() + LIST_EVERY;
                self.performer.begin_list();
                self.store_again(&mut inbox).await;
            }
        }
    }

    /// Stores what should run once more if it could not be stored. A fleet that ends shall run nothing any
    /// more, and what is stored is for the next balancer.
    async fn store_again(&mut self, inbox: &mut Inbox) {
        if !self.edits.is_retired() {
            self.edits.storing.try_again(self.fleet.desired()).await;
            self.catch_up(inbox);
        }
    }

    /// Takes in what comes until something of it is news, or the time has come. Breaks when nobody
    /// holds the handle any more: the program is ending.
    async fn hear(&mut self, inbox: &mut Inbox, until: Instant) -> ControlFlow<()> {
        let mut has_news = false;
        while !has_news {
            // In this order, and not by chance, so that a simulation can be repeated. Nobody starves:
            // each command ends this wait, and the facts that came meanwhile are taken in below.
            tokio::select! {
                biased;
                command = inbox.commands.recv() => match command {
                    Some(command) => {
                        self.take(command, &mut inbox.learning).await;
                        has_news = true;
                    }
                    None => return ControlFlow::Break(()),
                },
                event = inbox.events.recv() => match event {
                    Some(event) => has_news = self.observe(&event),
                    None => return ControlFlow::Break(()),
                },
                Some(suspicion) = inbox.suspicions.recv() => has_news = self.observe(&Event::Suspected(suspicion)),
                () = self.edits.storing.written() => has_news = true,
                request = inbox.learning.learnt() => {
                    self.edit(request).await;
                    has_news = true;
                }
                () = tokio::time::sleep_until(until) => has_news = true,
            }
        }
        self.catch_up(inbox);
        ControlFlow::Continue(())
    }

    /// Takes in the facts that have come meanwhile: they belong into the same plan.
    fn catch_up(&mut self, inbox: &mut Inbox) {
        for _ in 0..EVENTS_CAPACITY {
            match inbox.events.try_recv() {
                Ok(event) => self.observe(&event),
                Err(_) => break,
            };
        }
        for _ in 0..SUSPICIONS_CAPACITY {
            match inbox.suspicions.try_recv() {
                Ok(suspicion) => self.observe(&Event::Suspected(suspicion)),
                Err(_) => break,
            };
        }
    }

    /// Whether it was news.
    fn observe(&mut self, event: &Event) -> bool {
        if !self.fleet.observed().is_news(event) {
            return false;
        }
        // What could be something or nothing is asked about at once.
        match event {
            Event::Suspected(Suspicion { life, kind: SuspicionKind::Broken }) => self.heartbeats.poke(*life),
            // Whether requests were answered meanwhile must be known before.
            Event::Beat(life, ProbeResult::Missed) => {
                self.take_in(&sample(self.publishing.replica(*life).into_iter()));
                let is_at_work = self.publishing.replica(*life).is_some_and(|one| one.gate.claims() > 0);
                self.take_in(&Event::Working(*life, is_at_work));
            }
            Event::Heard(life, heard) => self.chronicle.heard(&self.who(), *life, heard),
            Event::Frozen(life, true) => self.heartbeats.poke(*life),
            Event::Overlooked => self.performer.begin_list(),
            Event::Exited(life, exit) if exit.code.or(exit.signal.map(i64::from)).is_some() => {
                self.chronicle.exit(&self.who(), *life, exit);
            }
            _ => {}
        }
        self.take_in(event);
        if let Event::Started(life, address) = event {
            tracing::debug!(service = %self.performer.service, %life, %address, "started, waiting for its heartbeat");
        }
        true
    }

    fn take_in(&mut self, event: &Event) {
        self.fleet.observe(event, self.clock.now());
    }

    async fn take(&mut self, command: Command, learning: &mut Learning) {
        match command {
            Command::Edit(request) => {
                if let Some(request) = learning.vet(Arc::clone(&self.performer.driver), request) {
                    self.edit(request).await;
                }
            }
            Command::Deploy(deploy, reply) => learning.begin(self.performer.driver.clone(), deploy, reply),
            Command::Pause(length, reply) => {
                match length {
                    Some(length) => self.pause(length),
                    None => self.resume(PauseEnd::Asked),
                }
                self.edits.answer_when_shown(reply);
            }
            Command::Output(life, extent, reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.performer.driver.output(life, extent));
            }
            Command::Retire(reply) => {
                self.fleet.retire();
                self.edits.retire(reply);
            }
        }
    }

    async fn edit(&mut self, request: EditRequest) {
        self.edits.take(&mut self.fleet, request, self.clock.now()).await;
        // Answered before anything else is settled, or the answer would show that, too.
        self.publish();
    }

    /// Begins a pause, or sets another end to the one that is.
    fn pause(&mut self, length: Duration) {
        let length = length.min(PAUSE_MAX);
        self.pause = Some(Pause::begin(length, self.clock.now()));
        self.chronicle.paused(length);
    }

    /// Ends a pause, if there is one.
    fn resume(&mut self, end: PauseEnd) {
        if self.pause.take().is_some() {
            self.chronicle.resumed(end);
        }
    }

    /// The last replica is gone, and with it goes what replicas shared.
    async fn finish_retiring(&mut self) {
        let Some(done) = self.edits.take_retiring() else { return };
        if let Err(error) = self.performer.driver.tidy_up().await {
            tracing::warn!(service = %self.performer.service, "cannot tidy up: {}", error.in_full());
        }
        // Whoever asked may have stopped waiting.
        let _ = done.send(());
    }

    /// Edits that waited are taken one by one, each answered with the fleet as it left it.
    async fn retry_parked(&mut self) {
        for parked in self.edits.unpark() {
            self.edit(parked).await;
        }
    }

    /// Plans and performs until there is nothing more to do now; then publishes the outcome.
    /// Returns when time alone will call for something.
    async fn step(&mut self, inbox: &mut Inbox) -> Option<Instant> {
        if self.pause.is_some_and(|pause| pause.until <= self.clock.now()) {
            self.resume(PauseEnd::InTime);
        }
        for _ in 0..ROUNDS_MAX {
            let plan = self.fleet.plan(self.clock.now());
            if plan.actions.is_empty() {
                self.publish();
                self.edits.store_seats_of_spares(self.fleet.desired());
                return plan.again_at.map(|moment| self.clock.instant(moment));
            }
            for action in plan.actions {
                if self.perform(action).await.is_break() {
                    // What was planned for the fleet as it was need not be right for it now. And the
                    // disk may have taken long: nobody is judged by what was known before.
                    self.catch_up(inbox);
                    break;
                }
            }
        }
        tracing::error!(service = %self.performer.service, "plans do not come to rest");
        self.publish();
        Some(Instant::now() + Duration::from_secs(1))
    }

    /// Breaks when the action changed what should run.
    async fn perform(&mut self, action: Action) -> ControlFlow<()> {
        self.chronicle.action(&self.who(), &action);
        let now = self.clock.now();
        match &action {
            // Whoever waits for a settled change must find it in the table and in the view.
            Action::Commit(change) => {
                let stored = self.edits.commit(&mut self.fleet, *change, now).await;
                self.publish();
                self.edits.reply(*change, stored.map(|()| Arc::clone(&self.view.borrow())));
                self.retry_parked().await;
                ControlFlow::Break(())
            }
            Action::Undo(change, why) => {
                self.fleet.accept(&action, now);
                self.publish();
                self.edits.reply(*change, Err(EditError::Undone(why.clone())));
                self.retry_parked().await;
                ControlFlow::Break(())
            }
            Action::Rollout(step) => {
                self.edits.step(&mut self.fleet, step, now).await;
                if matches!(step, Step::Finish) {
                    self.differing.clear();
                }
                if matches!(step, Step::TurnBack(_)) && !self.edits.storing.is_kept() {
                    releases::tell_that_nothing_is_kept(&self.performer.service);
                }
                self.publish();
                ControlFlow::Break(())
            }
            Action::Replace(life, _) => {
                let seat = self.fleet.seat_of(*life);
                self.fleet.accept(&action, now);
                self.chronicle.seat_taken(&self.who(), seat);
                ControlFlow::Continue(())
            }
            Action::Start(life, _)
            | Action::Inspect(life)
            | Action::Admit(life)
            | Action::Drain(life)
            | Action::Stop(life, _) => {
                self.fleet.accept(&action, now);
                // Who is pardoned is not tried, but routed to.
                let is_tried =
                    matches!(action, Action::Admit(_)) && self.fleet.standing(*life) == Standing::HalfOpen;
                let replica = self.publishing.replica(*life).cloned();
                if let Some(replica) = replica.as_ref().filter(|_| is_tried) {
                    replica.gate.admit_one();
                }
                let release = self.fleet.roster().release_of(*life).unwrap_or_default();
                self.performer.begin(&action, replica, release);
                ControlFlow::Continue(())
            }
        }
    }

    /// Brings gates, heartbeats, routing table and view in line with what the fleet is now, and answers
    /// whoever waited for it.
    fn publish(&mut self) {
        let standings = self.publishing.open_gates(&self.fleet);
        self.heartbeats.set_targets(targets(&self.fleet));
        let now = self.clock.now();
        if let Some(table) = self.publishing.due(&self.fleet, standings, self.pause) {
            let turnover = self.publishing.turnover(&table);
            let who = Who { fleet: &self.fleet, publishing: &self.publishing };
            self.chronicle.turnover(&who, &turnover, now);
            self.publishing.publish(table, &self.fleet, now);
        }
        self.publishing.close_gates(&self.fleet);
        let view = ServiceView {
            beginning: self.beginning.clone(),
            fleet: self.fleet.view(now),
            paused_until: self.pause.map(|pause| pause.shown),
            began_at: self.began_at,
            ejections: self.chronicle.ejections().clone(),
            trouble: self.edits.storing.trouble(),
            differing: self.differing.clone(),
            running: self.publishing.running(&*self.performer.driver),
        };
        self.view.send_if_modified(|current| {
            let is_new = **current != view;
            if is_new {
                *current = Arc::new(view);
            }
            is_new
        });
        self.edits.answer(&Arc::clone(&self.view.borrow()));
    }

    fn who(&self) -> Who<'_> {
        Who { fleet: &self.fleet, publishing: &self.publishing }
    }
}
