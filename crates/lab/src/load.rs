//! A load: requests to one target, closed or open, on a thread of its own, until a limit or somebody
//! says stop.
//!
//! Every request that is begun is in the tally, whatever becomes of it.

mod clients;
mod shared;

use std::io;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::check::Check;
use crate::plan::{RequestPlan, Target};
use crate::schedule::Schedule;
use crate::tally::Tally;
use shared::Shared;

/// The most requests of one load; each leaves a sample of 16 bytes.
pub const REQUESTS_MAX: u64 = 20_000_000;

/// In which rhythm requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many clients, each of which waits for its answer before it asks again.
    Closed {
        /// How many.
        clients: NonZeroU32,
    },
    /// So many requests a second, whatever becomes of the earlier ones. Latencies count from when a
    /// request was meant to begin, so that a stall shows in all who would have met it.
    Open {
        /// Requests a second.
        rate: NonZeroU32,
        /// The most connections at a time. A request that would need one more is not sent, and
        /// counted as that.
        connections_max: NonZeroU32,
    },
}

/// When a load ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// After so many requests; never more than [`REQUESTS_MAX`].
    pub requests: u64,
    /// After so long, at the latest; what is under way is still waited for.
    pub duration: Duration,
    /// How long a request may take, connecting included.
    pub answer: Duration,
}

/// What is sent to whom, how fast, and for how long.
pub struct Load {
    /// Whom it is sent to.
    pub target: Target,
    /// What is asked for.
    pub plan: RequestPlan,
    /// In which rhythm.
    pub pace: Pace,
    /// When it ends.
    pub limits: Limits,
    /// What the keys of requests are drawn from.
    pub seed: u64,
    /// What a right answer is.
    pub check: Check,
}

/// How a load is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Not,
    /// Nothing new is sent; what is under way is waited for.
    Soon,
    /// What is under way is given up.
    AtOnce,
}

/// How far a load is. Each figure by itself is right; together they may be a moment apart.
#[derive(Debug, Default)]
pub struct Progress {
    begun: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    /// Requests that were begun.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Right answers.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Failures.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// A load under way. Dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<Stop>,
    progress: Arc<Progress>,
    begun: Instant,
    thread: Option<JoinHandle<Tally>>,
}

impl Load {
    /// Starts it on a thread of its own. Fails if the system has no thread or timer for it.
    pub fn start(self) -> io::Result<Running> {
        let (stop, stopped) = watch::channel(Stop::Not);
        let progress = Arc::<Progress>::default();
        let seen = Arc::clone(&progress);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let schedule = {
            let _inside = runtime.enter();
            Schedule::new()?
        };
        let begun = Instant::now();
        let thread = std::thread::Builder::new().name("load".into()).spawn(move || {
            let shared = Rc::new(Shared::new(self, begun, (stopped, seen)));
            runtime.block_on(run(Rc::clone(&shared), schedule));
            shared.take_tally()
        })?;
        Ok(Running { stop, progress, begun, thread: Some(thread) })
    }
}

impl Running {
    /// How far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The moment from which its times count.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Whether it has come to its end.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Sends nothing new. What is under way is still waited for, and then it ends.
    pub fn stop(&self) {
        self.stop.send_if_modified(|stop| {
            let is_news = *stop == Stop::Not;
            if is_news {
                *stop = Stop::Soon;
            }
            is_news
        });
    }

    /// Ends it; what is under way is given up and counted as abandoned.
    pub fn stop_at_once(&self) {
        self.stop.send_replace(Stop::AtOnce);
    }

    /// Waits for its end, and tells what became of everything.
    pub fn wait(mut self) -> Tally {
        let thread = self.thread.take().expect("only this and the drop take it, and both end it");
        thread.join().expect("the load's thread does not panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop_at_once();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(shared: Rc<Shared>, schedule: Schedule) {
    let mut stopped = shared.stopped.clone();
    let local = tokio::task::LocalSet::new();
    let work = local.run_until(async {
        match shared.load.pace {
            Pace::Closed { clients } => clients::closed(&shared, clients.get()).await,
            Pace::Open { rate, connections_max } => {
                clients::open(&shared, &schedule, (rate.get(), connections_max.get())).await;
            }
        }
    });
    tokio::select! {
        () = work => {}
        // Whoever could say so is gone, or has said so.
        _ = stopped.wait_for(|stop| *stop == Stop::AtOnce) => {}
    }
    // What is given up goes into the tally as it is dropped, so it is dropped here.
    drop(local);
    shared.look_at_idle();
}
