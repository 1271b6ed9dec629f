//! A load: requests to one target, closed or open, on a thread of its own, until a limit or somebody
//! says stop.
//!
//! Every request that is begun is in the tally, whatever becomes of it.

mod progress;
mod terms;

mod clients;
mod shared;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::watch;

use crate::schedule::Schedule;
use crate::tally::Tally;
use progress::Stop;
use shared::Shared;

pub use progress::Progress;
pub use terms::{Limits, Load, Pace, REQUESTS_MAX};

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
            let shared = Rc::new(Shared::new(self, begun, stopped, seen));
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
                clients::open(&shared, &schedule, rate.get(), connections_max.get()).await;
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
