//! Heartbeats: the regular question "are you well?", asked from a thread that does nothing else,
//! so that neither requests nor edits can delay it.

mod http2;
mod question;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use driver::EventSender;
use fleet::{Address, Event, Life, ProbeResult};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How often a replica is asked that has not answered well yet, and for how long so often.
const BOOT_EVERY_FOR: Duration = Duration::from_secs(30);
const BOOT_EVERY: Duration = Duration::from_millis(10);

/// How often a question is put within its timeout, each time over a connection of its own: what a
/// network lost is not brought again in time otherwise.
const TRIES: u32 = 3;

/// How late our own timers may be before a bad outcome says more about us than about the replica.
const LATE_MAX: Duration = Duration::from_millis(25);

/// How long to look whether the answer is there already, and only we were late to see it.
const LAST_LOOK: Duration = Duration::from_millis(2);

/// How a service's replicas are asked.
#[derive(Clone, Debug)]
pub struct HeartbeatSettings {
    /// The path to ask for; any 2xx is a good answer.
    pub path: String,
    /// What replicas speak.
    pub protocol: HeartbeatProtocol,
    /// Time from one question to the next.
    pub every: Duration,
    /// Time for an answer.
    pub timeout: Duration,
}

/// What replicas speak when they are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeartbeatProtocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2 without TLS. With the path `/grpc.health.v1.Health/Check` the question is gRPC's own, and
    /// `SERVING` the good answer.
    H2c,
}

/// How a question reaches a replica and its answer comes back.
pub trait Asker: Send + Sync + 'static {
    /// Asks once, without a deadline: dropping the future ends the question. Nothing, if it was not the
    /// replica's doing that there was no answer.
    fn ask<'a>(
        &'a self,
        address: &'a Address,
        settings: &'a HeartbeatSettings,
    ) -> BoxFuture<'a, Option<ProbeResult>>;
}

/// Whom to ask, as a reconciler sees it now.
pub(crate) type Targets = BTreeMap<Life, Address>;

/// The heartbeat thread. It ends when this is dropped.
pub struct Heartbeats {
    runtime: tokio::runtime::Handle,
    asker: Arc<dyn Asker>,
    _ends_on_drop: Option<watch::Sender<()>>,
}

impl std::fmt::Debug for Heartbeats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heartbeats").finish_non_exhaustive()
    }
}

/// A reconciler's line to the heartbeat thread.
#[derive(Debug)]
pub(crate) struct HeartbeatLine {
    targets: watch::Sender<Arc<Targets>>,
    pokes: watch::Sender<Vec<Life>>,
}

impl Heartbeats {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (ends_on_drop, mut end) = watch::channel(());
        let run = move || runtime.block_on(async move { while end.changed().await.is_ok() {} });
        std::thread::Builder::new().name("heartbeats".into()).spawn(run)?;
        Ok(Self { runtime: handle, asker: Arc::new(question::Network), _ends_on_drop: Some(ends_on_drop) })
    }

    /// No thread: questions are put from the runtime that this is called in, by `asker`. For
    /// simulations, in which everything happens on one thread.
    pub fn within_this_runtime(asker: Arc<dyn Asker>) -> Self {
        Self { runtime: tokio::runtime::Handle::current(), asker, _ends_on_drop: None }
    }

    /// Watches the replicas of one service, and reports each answer to its reconciler.
    pub(crate) fn watch(&self, settings: HeartbeatSettings, events: EventSender) -> HeartbeatLine {
        let (targets, targets_seen) = watch::channel(Arc::new(Targets::new()));
        let (pokes, pokes_seen) = watch::channel(Vec::new());
        let asker = Arc::clone(&self.asker);
        let ward = Ward { settings: Arc::new(settings), asker, events, patients: BTreeMap::new() };
        self.runtime.spawn(ward.run(targets_seen, pokes_seen));
        HeartbeatLine { targets, pokes }
    }
}

impl HeartbeatLine {
    /// These are to be asked from now on, and nobody else.
    pub(crate) fn set_targets(&self, targets: Targets) {
        self.targets.send_if_modified(|current| {
            let is_new = **current != targets;
            if is_new {
                *current = Arc::new(targets);
            }
            is_new
        });
    }

    /// Asks one at once, instead of when its turn comes.
    pub(crate) fn poke(&self, life: Life) {
        // If the thread has not looked since the last poke, one of the two is lost, harmlessly.
        self.pokes.send_replace(vec![life]);
    }
}

/// The replicas of one service under watch.
struct Ward {
    settings: Arc<HeartbeatSettings>,
    asker: Arc<dyn Asker>,
    events: EventSender,
    patients: BTreeMap<Life, (AbortHandle, Arc<Notify>)>,
}

impl Ward {
    async fn run(
        mut self,
        mut targets: watch::Receiver<Arc<Targets>>,
        mut pokes: watch::Receiver<Vec<Life>>,
    ) {
        loop {
            let wanted = Arc::clone(&targets.borrow_and_update());
            self.follow(&wanted);
            tokio::select! {
                biased;
                changed = targets.changed() => if changed.is_err() { break },
                changed = pokes.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    for life in pokes.borrow_and_update().iter() {
                        if let Some((_, poke)) = self.patients.get(life) {
                            poke.notify_one();
                        }
                    }
                }
            }
        }
        // The reconciler is gone.
        self.follow(&Targets::new());
    }

    fn follow(&mut self, wanted: &Targets) {
        self.patients.retain(|life, (task, _)| {
            let is_wanted = wanted.contains_key(life);
            if !is_wanted {
                task.abort();
            }
            is_wanted
        });
        for (life, address) in wanted {
            self.patients.entry(*life).or_insert_with(|| {
                let poke = Arc::new(Notify::new());
                let patient = Patient {
                    life: *life,
                    address: address.clone(),
                    settings: Arc::clone(&self.settings),
                    asker: Arc::clone(&self.asker),
                    events: self.events.clone(),
                };
                (tokio::spawn(patient.watch(Arc::clone(&poke))).abort_handle(), poke)
            });
        }
    }
}

/// What came of a question.
enum Verdict {
    Given(ProbeResult),
    /// None came within the timeout; perhaps because we were late ourselves.
    NoneInTime {
        was_late: bool,
    },
    /// It could not be put, and that was not the replica's doing.
    NoneOfOurs,
}

struct Patient {
    life: Life,
    address: Address,
    settings: Arc<HeartbeatSettings>,
    asker: Arc<dyn Asker>,
    events: EventSender,
}

impl Patient {
    async fn watch(self, poke: Arc<Notify>) {
        let mut is_booting = true;
        let begun = Instant::now();
        let mut due = begun;
        loop {
            // A verdict given late says more about us than about the replica: no bad one counts.
            let was_late = due.elapsed() > self.settings.timeout;
            let asked_at = Instant::now();
            let verdict = match self.ask().await {
                Verdict::Given(probe_result) => {
                    Some(probe_result).filter(|probe_result| *probe_result == ProbeResult::Good || !was_late)
                }
                Verdict::NoneInTime { was_late: false } if !was_late => Some(ProbeResult::Missed),
                Verdict::NoneInTime { .. } | Verdict::NoneOfOurs => None,
            };
            let is_lost = verdict.is_none() && asked_at.elapsed() >= self.settings.timeout;
            is_booting &= verdict != Some(ProbeResult::Good) && begun.elapsed() < BOOT_EVERY_FOR;
            if let Some(probe_result) = verdict {
                if self.events.send(Event::Beat(self.life, probe_result)).await.is_err() {
                    return;
                }
            } else {
                tracing::debug!(life = %self.life, "a heartbeat round that we could not do well is discarded");
            }
            let every = if is_booting { BOOT_EVERY.min(self.settings.every) } else { self.settings.every };
            // A round that was lost because we were late is made up for at once.
            due = if is_lost { Instant::now() } else { asked_at + every };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => {}
                () = poke.notified() => due = Instant::now(),
            }
        }
    }

    /// Asks up to three times within the timeout; the first answer counts.
    async fn ask(&self) -> Verdict {
        let pause = self.settings.timeout / TRIES;
        let begun = Instant::now();
        let mut was_late = false;
        let mut questions = FuturesUnordered::new();
        for number in 1..=TRIES {
            questions.push(self.asker.ask(&self.address, &self.settings));
            let due = begun + pause * number;
            if let Ok(verdict) = tokio::time::timeout_at(due, questions.next()).await {
                return verdict.flatten().map_or(Verdict::NoneOfOurs, Verdict::Given);
            }
            was_late |= due.elapsed() > LATE_MAX.max(pause / 2);
        }
        // When we do not get to run, timers and answers are seen at the same time.
        match tokio::time::timeout(LAST_LOOK, questions.next()).await {
            Ok(Some(Some(ProbeResult::Good))) => Verdict::Given(ProbeResult::Good),
            _ => Verdict::NoneInTime { was_late },
        }
    }
}
