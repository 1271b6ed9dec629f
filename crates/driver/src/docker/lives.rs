//! What this driver knows of its containers beyond what the engine tells.
//!
//! Owns which container is which life's, how far its start has come, and the task that watches its
//! process. It holds no state that the engine has too, and it asks nobody anything.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fleet::Life;
use tokio::task::JoinHandle;

use super::kernel;

/// The containers that this driver started or found. An entry lives from the order to start until
/// the container is removed.
#[derive(Debug, Default)]
pub(super) struct Lives(Mutex<BTreeMap<Life, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    container: Option<String>,
    stage: Stage,
    pid: Option<i32>,
    watch: Option<AbortOnDrop>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It is being created or started; how that ends is the answer to the order, not an event.
    #[default]
    Starting,
    Started,
    /// It could not be started; that its remains go is no news.
    Failed,
}

/// A task that ends when nobody wants it any more.
#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lives {
    /// A start was ordered.
    pub(super) fn starting(&self, life: Life) {
        self.entries().insert(life, Entry::default());
    }

    /// The container of a life that is starting.
    pub(super) fn created(&self, life: Life, container: &str) {
        self.change(life, |entry| entry.container = Some(container.to_string()));
    }

    /// From here on its end is an event.
    pub(super) fn started(&self, life: Life) {
        self.change(life, |entry| entry.stage = Stage::Started);
    }

    /// Its start failed; from here on nothing of it is an event.
    pub(super) fn failed(&self, life: Life) {
        self.change(life, |entry| {
            entry.stage = Stage::Failed;
            entry.watch = None;
        });
    }

    /// Takes in a container that runs already. Returns whether it is new to us.
    pub(super) fn adopt(&self, life: Life, container: &str) -> bool {
        let mut entries = self.entries();
        let is_new = !entries.contains_key(&life);
        if is_new {
            let container = Some(container.to_string());
            entries.insert(life, Entry { container, stage: Stage::Started, ..Default::default() });
        }
        is_new
    }

    /// The task that watches a container's process; it ends when the entry does.
    pub(super) fn watched(&self, life: Life, pid: i32, watch: AbortOnDrop) {
        self.change(life, |entry| {
            entry.pid = Some(pid);
            entry.watch = Some(watch);
        });
    }

    /// Nothing is left of it.
    pub(super) fn forget(&self, life: Life) {
        self.entries().remove(&life);
    }

    /// Ends every watch. The watching tasks hold on to this very record, so it does not go by itself.
    pub(super) fn forget_all(&self) {
        self.entries().clear();
    }

    /// Whether a container of this life is being created or started at this moment.
    pub(super) fn is_starting(&self, life: Life) -> bool {
        self.entries().get(&life).is_some_and(|entry| entry.stage == Stage::Starting)
    }

    /// Whether its process is stopped by a signal, as far as we can see.
    pub(super) fn is_stopped(&self, life: Life) -> bool {
        let process = self.entries().get(&life).and_then(|entry| entry.pid.zip(entry.container.clone()));
        process.is_some_and(|(pid, container)| kernel::is_stopped(pid, &container))
    }

    /// Whether what happens to a container says something about a life. It does not when this life
    /// has another container, or is not to be reported on.
    pub(super) fn is_news(&self, life: Life, container: &str) -> bool {
        self.entries().get(&life).is_none_or(|entry| {
            entry.stage == Stage::Started && entry.container.as_deref() == Some(container)
        })
    }

    fn change(&self, life: Life, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries().get_mut(&life) {
            change(entry);
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Life, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::create::tests::order;

    #[test]
    fn the_end_of_a_container_is_news_only_while_it_is_its_lifes_own() {
        let (lives, life) = (Lives::default(), order().life);
        assert!(lives.is_news(life, "new"), "found, not started by us");
        lives.starting(life);
        assert!(!lives.is_news(life, "old"), "a leftover that is being removed");
        lives.created(life, "new");
        assert!(!lives.is_news(life, "new"), "the start itself will tell");
        assert!(lives.is_starting(life));
        lives.started(life);
        assert!(lives.is_news(life, "new"));
        assert!(!lives.is_news(life, "old"));
        lives.failed(life);
        assert!(!lives.is_news(life, "new"), "told already");
        lives.forget(life);
        assert!(lives.adopt(life, "new"));
        assert!(!lives.adopt(life, "other"));
        assert!(lives.is_news(life, "new"));
    }
}
