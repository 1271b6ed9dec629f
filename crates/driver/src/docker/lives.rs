//! What this driver knows of its containers beyond what the engine tells.
//!
//! Owns which container is which life's, how far its start has come, and the task that watches its
//! process. It holds no state that the engine has too, and it asks nobody anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fleet::Life;
use tokio::sync::watch;

use super::kernel;
use crate::Whereabouts;
use crate::abort_on_drop::AbortOnDrop;

/// How long a container that has ended is kept until the engine has told how: on a busy machine that takes
/// seconds, and it is in nobody's way.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);

/// The containers that this driver started or found. An entry lives from the order to start until
/// the container is removed.
#[derive(Debug, Default)]
pub(super) struct Lives(Mutex<BTreeMap<Life, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    container: Option<Container>,
    stage: Stage,
    pid: Option<i32>,
    /// What the healthcheck of its image has found last.
    is_unhealthy: bool,
    watch: Option<AbortOnDrop>,
    end: watch::Sender<End>,
}

/// A container of ours.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) id: String,
    /// What commands of the engine call it.
    pub(super) called: String,
    /// Since when it is there, if that is known.
    pub(super) since: Option<SystemTime>,
    /// Whether what the healthcheck of its image finds is a sign.
    pub(super) heeds_health: bool,
}

/// What is known of an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    /// None was seen.
    #[default]
    Unseen,
    /// The kernel has shown that there was one.
    Seen,
    /// The engine has told how it was.
    Told,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It is being created or started; how that ends is told to whoever ordered it, and no event.
    #[default]
    Starting,
    Started,
    /// It could not be started; that its remains go is no news.
    Failed,
}

impl Lives {
    /// A start was ordered.
    pub(super) fn starting(&self, life: Life) {
        self.entries().insert(life, Entry::default());
    }

    /// The container of a life that is starting.
    pub(super) fn created(&self, life: Life, container: Container) {
        self.change(life, |entry| entry.container = Some(container));
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

    /// The ID of its container, if it has one.
    pub(super) fn container(&self, life: Life) -> Option<String> {
        Some(self.entries().get(&life)?.container.as_ref()?.id.clone())
    }

    /// Its container, and since when it is there.
    pub(super) fn whereabouts(&self, life: Life) -> Option<Whereabouts> {
        let entries = self.entries();
        let entry = entries.get(&life)?;
        let Container { called, since, .. } = entry.container.as_ref()?;
        Some(Whereabouts { what: format!("container {called}"), since: (*since)? })
    }

    /// Takes in a container that runs already. Returns whether it is new to us.
    pub(super) fn adopt(&self, life: Life, container: Container) -> bool {
        let mut entries = self.entries();
        let is_new = !entries.contains_key(&life);
        if is_new {
            let container = Some(container);
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

    /// Its process has ended; nobody knows how.
    pub(super) fn saw_end(&self, life: Life) {
        self.change(life, |entry| {
            entry.end.send_if_modified(|end| {
                let is_new = *end == End::Unseen;
                if is_new {
                    *end = End::Seen;
                }
                is_new
            });
        });
    }

    /// Whether its end was seen already.
    pub(super) fn has_seen_end(&self, life: Life) -> bool {
        self.entries().get(&life).is_some_and(|entry| *entry.end.borrow() != End::Unseen)
    }

    /// The engine has told how it ended.
    pub(super) fn told_end(&self, life: Life) {
        self.change(life, |entry| {
            entry.end.send_replace(End::Told);
        });
    }

    /// Waits until the engine has told how a life ended of which the kernel has shown that it did.
    /// Whoever removes it earlier does not learn it.
    pub(super) async fn farewell(&self, life: Life) {
        let Some(mut end) = self.entries().get(&life).map(|entry| entry.end.subscribe()) else { return };
        let told = end.wait_for(|end| *end != End::Seen);
        // Whether it is told, forgotten or too late: there is nothing more to wait for.
        let _ = tokio::time::timeout(FAREWELL_LIMIT, told).await;
    }

    /// What the healthcheck of the image has found, if it is this life's container in which it did.
    pub(super) fn told_health(&self, life: Life, container: &str, is_unhealthy: bool) {
        self.change(life, |entry| {
            if entry.container.as_ref().is_some_and(|own| own.id == container) {
                entry.is_unhealthy = is_unhealthy;
            }
        });
    }

    /// Whether it is not well by the healthcheck of its image, and that is a sign.
    pub(super) fn is_unhealthy(&self, life: Life) -> bool {
        let heeds = |container: &Container| container.heeds_health;
        self.entries()
            .get(&life)
            .is_some_and(|entry| entry.is_unhealthy && entry.container.as_ref().is_some_and(heeds))
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
        process.is_some_and(|(pid, container)| kernel::is_stopped(pid, &container.id))
    }

    /// Where somebody listens inside its container, as far as we can see.
    pub(super) fn listeners(&self, life: Life) -> Option<Vec<SocketAddr>> {
        let (pid, container) =
            self.entries().get(&life).and_then(|entry| entry.pid.zip(entry.container.clone()))?;
        kernel::listeners(pid, &container.id)
    }

    /// Whether what happens to a container says something about a life. It does not when this life
    /// has another container, is not to be reported on, or is none of which we know.
    pub(super) fn is_news(&self, life: Life, container: &str) -> bool {
        self.entries().get(&life).is_some_and(|entry| {
            entry.stage == Stage::Started && entry.container.as_ref().is_some_and(|own| own.id == container)
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
    use super::super::fixtures::order;
    use super::*;

    #[test]
    fn the_end_of_a_container_is_news_only_while_it_is_its_lifes_own() {
        let (lives, life) = (Lives::default(), order().life);
        let container = |id: &str| Container {
            id: id.into(),
            called: "me_web_1".into(),
            since: None,
            heeds_health: true,
        };
        assert!(!lives.is_news(life, "new"), "whoever it is, it is not known to be ours");
        lives.starting(life);
        assert!(!lives.is_news(life, "old"), "a leftover that is being removed");
        lives.created(life, container("new"));
        assert!(!lives.is_news(life, "new"), "the start itself will tell");
        assert!(lives.is_starting(life));
        lives.started(life);
        assert!(lives.is_news(life, "new"));
        assert!(!lives.is_news(life, "old"));
        lives.failed(life);
        assert!(!lives.is_news(life, "new"), "told already");
        lives.forget(life);
        assert!(lives.adopt(life, container("new")));
        assert!(!lives.adopt(life, container("other")));
        assert!(lives.is_news(life, "new"));
    }

    #[test]
    fn the_healthcheck_of_an_image_counts_in_its_own_container_and_where_it_is_a_sign() {
        let (lives, life) = (Lives::default(), order().life);
        let container = |heeds_health| Container {
            id: "new".into(),
            called: "me_web_1".into(),
            since: None,
            heeds_health,
        };
        for heeds in [true, false] {
            lives.forget(life);
            lives.adopt(life, container(heeds));
            lives.told_health(life, "old", true);
            assert!(!lives.is_unhealthy(life), "that was another one");
            lives.told_health(life, "new", true);
            assert_eq!(lives.is_unhealthy(life), heeds);
            lives.told_health(life, "new", false);
            assert!(!lives.is_unhealthy(life));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_ended_is_kept_until_it_is_told_how_but_not_for_long() {
        let (lives, life) = (Lives::default(), order().life);
        let begun = tokio::time::Instant::now();
        lives.farewell(life).await;
        lives.starting(life);
        lives.farewell(life).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody has seen it end");
        lives.saw_end(life);
        lives.farewell(life).await;
        assert_eq!(begun.elapsed(), FAREWELL_LIMIT, "and the engine tells nothing");
        let half = FAREWELL_LIMIT / 2;
        tokio::join!(lives.farewell(life), async {
            tokio::time::sleep(half).await;
            lives.told_end(life);
        });
        assert_eq!(begun.elapsed(), FAREWELL_LIMIT + half);
        lives.saw_end(life);
        lives.farewell(life).await;
        assert_eq!(begun.elapsed(), FAREWELL_LIMIT + half, "it is told already");
    }
}
