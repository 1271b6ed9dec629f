//! What is seen of a container, and how it is told.
//!
//! Owns the watch over processes and the report of an end. It never decides what an end means.

use std::sync::Arc;
use std::time::Duration;

use fleet::{Event, Exit, Life};
use futures_util::stream::StreamExt;

use super::engine::Engine;
use super::kernel::Process;
use super::lives::Lives;
use super::output::Output;
use crate::abort_on_drop::AbortOnDrop;
use crate::{EventSender, Extent};

/// The longest that the report of an exit waits for a replica's last words. It is not the first news of it.
pub(super) const LATE_WORDS_LIMIT: Duration = Duration::from_secs(3);

/// Sees what happens, and tells it.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    pub(super) engine: Engine,
    pub(super) events: EventSender,
    pub(super) lives: Arc<Lives>,
}

impl Witness {
    /// Watches a container's first process, if it can be seen, so that its end is told at once.
    pub(super) fn watch_process(&self, life: Life, container: &str, pid: Option<i32>) {
        let Some(pid) = pid else { return };
        let Some(process) = Process::of_container(pid, container) else { return };
        let (witness, id) = (self.clone(), container.to_string());
        let watch = tokio::spawn(async move {
            if process.ended().await.is_ok() {
                // Only the engine will learn the exit code, and too late to wait for.
                witness.lives.saw_end(life);
                witness.report_exit(life, &id, Exit::default()).await;
            }
        });
        self.lives.watched(life, pid, AbortOnDrop(watch));
    }

    /// Adds a container's last lines to what is known of its end. Nobody waits for this to route.
    pub(super) async fn exit_of(&self, container: &str, known: Exit) -> Exit {
        let mut output = Output::default();
        let reading = async {
            let mut pieces = Box::pin(self.engine.logs(container, Extent::LastLines));
            while let Some(Ok(piece)) = pieces.next().await {
                output.push(&piece.into_bytes());
            }
        };
        // What arrived within the limit is told, the rest is not waited for.
        tokio::time::timeout(LATE_WORDS_LIMIT, reading).await.unwrap_or_default();
        Exit { last_output: output.finish(), ..known }
    }

    /// Tells of an end, if it says something about the life.
    pub(super) async fn report_exit(&self, life: Life, container: &str, exit: Exit) {
        if self.lives.is_news(life, container) {
            self.report(Event::Exited(life, exit)).await;
        }
    }

    /// Tells the fleet.
    pub(super) async fn report(&self, event: Event) {
        // Nobody listens any more when the balancer ends; then there is nobody to tell.
        self.events.send(event).await.unwrap_or_default();
    }
}
