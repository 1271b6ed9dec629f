//! The connections to the admin API: so many, and no more. Who is idle longest makes room.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The most connections to the admin API at a time.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// How long a connection may be without a request that is worked on.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Those that there are.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    places: Mutex<Vec<Arc<Place>>>,
}

/// One of them. Dropping it makes room.
#[derive(Debug)]
pub(crate) struct Connection {
    all: Arc<Connections>,
    place: Arc<Place>,
}

/// That a request is worked on. Dropping it says that it is over.
#[derive(Debug)]
pub(crate) struct Work(Arc<Place>);

#[derive(Debug)]
struct Place {
    /// Since when there is no request; nothing while there is one.
    idle_since: Mutex<Option<Instant>>,
    is_to_end: Notify,
}

impl Connections {
    /// Takes another one in. Where there is no room, the one is told to end that is idle longest; if all
    /// are at work, nothing is taken in.
    pub(crate) fn take_in(self: &Arc<Self>) -> Option<Connection> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= CONNECTIONS_MAX {
            let idle = places.iter().enumerate().filter_map(|(at, place)| Some((at, place.idle_since()?)));
            let (at, _) = idle.min_by_key(|(_, since)| *since)?;
            places.swap_remove(at).is_to_end.notify_one();
        }
        let place =
            Arc::new(Place { idle_since: Mutex::new(Some(Instant::now())), is_to_end: Notify::new() });
        places.push(Arc::clone(&place));
        Some(Connection { all: Arc::clone(self), place })
    }
}

impl Connection {
    /// A request has come.
    pub(crate) fn work(&self) -> Work {
        self.place.set(None);
        Work(Arc::clone(&self.place))
    }

    /// Comes to its end when this connection has to: somebody needs its room, or it was idle too long.
    pub(crate) fn end(&self) -> impl Future<Output = ()> + Send + 'static {
        let place = Arc::clone(&self.place);
        async move {
            tokio::select! {
                () = place.is_to_end.notified() => {}
                () = place.idle_too_long() => {}
            }
        }
    }
}

impl Place {
    fn set(&self, idle_since: Option<Instant>) {
        *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = idle_since;
    }

    fn idle_since(&self) -> Option<Instant> {
        *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn idle_too_long(&self) {
        loop {
            let idle = self.idle_since().map_or(Duration::ZERO, |since| since.elapsed());
            if idle >= IDLE_TIMEOUT {
                return;
            }
            tokio::time::sleep(IDLE_TIMEOUT - idle).await;
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.set(Some(Instant::now()));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut places = self.all.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|place| !Arc::ptr_eq(place, &self.place));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_one_that_is_idle_longest_makes_room_and_none_that_works() {
        let all = Arc::<Connections>::default();
        let mut taken: Vec<_> = (0..CONNECTIONS_MAX).map(|_| all.take_in().unwrap()).collect();
        let mut work: Vec<_> = taken.iter().take(2).map(Connection::work).collect();
        let newest = all.take_in().unwrap();
        let ended = |one: &Connection| one.place.is_to_end.notified().now_or_never().is_some();
        assert_eq!(taken.iter().position(ended), Some(2), "the third is idle longest");
        assert_eq!(all.places.lock().unwrap().len(), CONNECTIONS_MAX);
        work.extend(taken.iter().skip(3).map(Connection::work));
        work.push(newest.work());
        assert!(all.take_in().is_none(), "all are at work");
        drop(work.pop());
        assert!(all.take_in().is_some(), "one is not any more");
        taken.clear();
        assert!(all.places.lock().unwrap().is_empty(), "those that went left nothing");
    }
}
