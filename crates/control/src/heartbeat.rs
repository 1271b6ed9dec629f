//! Heartbeats: the regular question "are you well?", asked from a thread that does nothing else,
//! so that neither requests nor edits can delay it.

mod http1;
mod http2;
mod network;
mod probe;
mod prober;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use driver::{Driver, EventSender};
use fleet::{Address, Life};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use network::Network;
use probe::Probe;
pub use prober::{HeartbeatProtocol, HeartbeatSettings, Probed, Prober, Question};

/// Whom to probe, as a reconciler sees it now.
pub(crate) type Targets = BTreeMap<Life, Address>;

/// The heartbeat thread; clones share it. It ends when the last one is dropped.
#[derive(Clone)]
pub struct Heartbeats {
    runtime: tokio::runtime::Handle,
    prober: Arc<dyn Prober>,
    _ends_on_drop: Option<Arc<watch::Sender<()>>>,
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
        Ok(Self { runtime: handle, prober: Arc::new(Network), _ends_on_drop: Some(Arc::new(ends_on_drop)) })
    }

    /// No thread: probes go out from the runtime that this is called in, by `prober`. For
    /// simulations, in which everything happens on one thread.
    pub fn within_this_runtime(prober: Arc<dyn Prober>) -> Self {
        Self { runtime: tokio::runtime::Handle::current(), prober, _ends_on_drop: None }
    }

    /// Probes the replicas of one service, and reports each result to its reconciler. The driver says whether
    /// it is the replica that answers.
    pub(crate) fn watch(
        &self,
        settings: HeartbeatSettings,
        driver: Arc<dyn Driver>,
        events: EventSender,
    ) -> HeartbeatLine {
        let (targets, targets_seen) = watch::channel(Arc::new(Targets::new()));
        let (pokes, pokes_seen) = watch::channel(Vec::new());
        let prober = Arc::clone(&self.prober);
        let (settings, running) = (Arc::new(settings), BTreeMap::new());
        let probes = Probes { settings, prober, driver, events, running };
        self.runtime.spawn(probes.run(targets_seen, pokes_seen));
        HeartbeatLine { targets, pokes }
    }
}

impl HeartbeatLine {
    /// These are to be probed from now on, and nobody else.
    pub(crate) fn set_targets(&self, targets: Targets) {
        self.targets.send_if_modified(|current| {
            let is_new = **current != targets;
            if is_new {
                *current = Arc::new(targets);
            }
            is_new
        });
    }

    /// Probes one at once, instead of when its turn comes.
    pub(crate) fn poke(&self, life: Life) {
        // If the thread has not looked since the last poke, one of the two is lost, harmlessly.
        self.pokes.send_replace(vec![life]);
    }
}

/// The probes of one service.
struct Probes {
    settings: Arc<HeartbeatSettings>,
    prober: Arc<dyn Prober>,
    driver: Arc<dyn Driver>,
    events: EventSender,
    running: BTreeMap<Life, RunningProbe>,
}

/// The task that probes one replica, and what tells it to do so at once.
struct RunningProbe {
    task: AbortHandle,
    poke: Arc<Notify>,
}

impl Probes {
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
                        if let Some(probe) = self.running.get(life) {
                            probe.poke.notify_one();
                        }
                    }
                }
            }
        }
        // The reconciler is gone.
        self.follow(&Targets::new());
    }

    fn follow(&mut self, wanted: &Targets) {
        self.running.retain(|life, probe| {
            let is_wanted = wanted.contains_key(life);
            if !is_wanted {
                probe.task.abort();
            }
            is_wanted
        });
        for (life, address) in wanted {
            self.running.entry(*life).or_insert_with(|| {
                let poke = Arc::new(Notify::new());
                let probe = Probe {
                    life: *life,
                    address: address.clone(),
                    settings: Arc::clone(&self.settings),
                    prober: Arc::clone(&self.prober),
                    driver: Arc::clone(&self.driver),
                    events: self.events.clone(),
                };
                RunningProbe { task: tokio::spawn(probe.run(Arc::clone(&poke))).abort_handle(), poke }
            });
        }
    }
}
