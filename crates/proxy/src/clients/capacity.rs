//! How many connections of clients there may be, in all and from each address, and who is asked to go when
//! there is no room. Requests under way are no concern of this: only who has none is ever asked.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::{Notify, Semaphore};

use crate::clients::origin::{self, Household};
use crate::settings::ClientSettings;
use crate::telling::defences::{Defence, Defences};

/// From one address there may be this part of all connections, unless another number is asked for.
const SHARE_OF_CLIENT: usize = 4;
/// How soon it is looked again who could go, while somebody waits for room.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// The shortest that an idle connection is kept while there is room for it.
const IDLE_MIN: Duration = Duration::from_secs(1);
/// Into so many parts the table of addresses is cut, so that workers seldom meet at one.
const SHARDS: usize = 16;
/// Of a worker in which nobody is idle.
const NOBODY: u64 = u64::MAX;

/// What all workers share of the limits of connections.
pub(crate) struct Capacity {
    connections_max: usize,
    free: Semaphore,
    /// How many who have connected wait for room.
    waiting: AtomicUsize,
    /// How many are asked to go and have not gone.
    leaving: AtomicUsize,
    begun: Instant,
    workers: Box<[Share]>,
    addresses: Addresses,
    pub(crate) defences: Arc<Defences>,
}

/// What the others know of a worker's idle connections.
struct Share {
    /// Since when its oldest one is idle, in milliseconds.
    oldest: AtomicU64,
    /// How many of them it is asked to close.
    asked: AtomicUsize,
    wake: Notify,
}

/// How many connections each address has.
struct Addresses {
    connections_max: usize,
    trusted: Vec<IpNet>,
    hasher: RandomState,
    shards: [Mutex<HashMap<Household, usize>>; SHARDS],
}

/// A connection's part of what is limited; dropping it leaves.
pub(crate) struct Admission {
    capacity: Arc<Capacity>,
    address: Option<Household>,
}

/// An address that has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its client has as many connections as it may")]
pub(crate) struct TooMany;

impl Capacity {
    pub(crate) fn new(clients: &ClientSettings, workers: usize, defences: Arc<Defences>) -> Arc<Self> {
        let connections_max = clients.connections_max.min(Semaphore::MAX_PERMITS);
        let share = || Share { oldest: NOBODY.into(), asked: AtomicUsize::new(0), wake: Notify::new() };
        let per_client = clients.connections_per_client_max;
        Arc::new(Self {
            connections_max,
            free: Semaphore::new(connections_max),
            waiting: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            begun: Instant::now(),
            workers: std::iter::repeat_with(share).take(workers).collect(),
            addresses: Addresses {
                connections_max: per_client.unwrap_or(connections_max / SHARE_OF_CLIENT).max(1),
                trusted: clients.trusted_proxies.clone(),
                hasher: RandomState::new(),
                shards: Default::default(),
            },
            defences,
        })
    }

    /// A place for a connection, if one is free.
    pub(crate) fn try_admit(self: &Arc<Self>) -> Option<Admission> {
        self.free.try_acquire().ok()?.forget();
        Some(Admission { capacity: Arc::clone(self), address: None })
    }

    /// A place for a connection. If none is free, somebody who is idle is asked to go: of this worker by
    /// `tell_oldest`, of another by that one.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        own: usize,
        mut tell_oldest: impl FnMut() -> bool,
    ) -> Option<Admission> {
        if let Some(admission) = self.try_admit() {
            return Some(admission);
        }
        let _waiting = Waiting::new(&self.waiting);
        let mut free = std::pin::pin!(self.free.acquire());
        loop {
            if self.leaving.load(Ordering::Relaxed) < self.waiting.load(Ordering::Relaxed) {
                self.ask_oldest(own, &mut tell_oldest);
            }
            tokio::select! {
                biased;
                permit = &mut free => {
                    permit.ok()?.forget();
                    return Some(Admission { capacity: Arc::clone(self), address: None });
                }
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// Asks whoever is idle longest to go, in whichever worker.
    pub(crate) fn ask_oldest(&self, own: usize, mut tell_oldest: impl FnMut() -> bool) {
        let oldest = |share: &Share| share.oldest.load(Ordering::Relaxed);
        let shares = self.workers.iter().enumerate().map(|(worker, share)| (oldest(share), worker));
        let Some((since, worker)) = shares.min() else { return };
        if since == NOBODY {
            return;
        }
        self.leaving.fetch_add(1, Ordering::Relaxed);
        if worker != own {
            self.workers[worker].asked.fetch_add(1, Ordering::Relaxed);
            self.workers[worker].wake.notify_one();
        } else if !tell_oldest() {
            self.has_left();
        }
    }

    /// How many idle ones other workers want to be closed here; waits until there are some.
    pub(crate) async fn asked_for(&self, own: usize) -> usize {
        loop {
            let asked = self.workers[own].asked.swap(0, Ordering::Relaxed);
            if asked > 0 {
                return asked;
            }
            self.workers[own].wake.notified().await;
        }
    }

    /// Somebody who was asked to go has gone, or has something to do.
    pub(crate) fn has_left(&self) {
        self.leaving.fetch_sub(1, Ordering::Relaxed);
    }

    /// Since when the oldest idle connection of a worker is idle.
    pub(crate) fn publish(&self, own: usize, oldest: Option<Instant>) {
        let since = |oldest: Instant| oldest.saturating_duration_since(self.begun).as_millis();
        let since = oldest.map_or(NOBODY, |oldest| u64::try_from(since(oldest)).unwrap_or(NOBODY - 1));
        self.workers[own].oldest.store(since, Ordering::Relaxed);
    }

    /// How long a connection may be idle: as long as is set while the house is half full at most, then
    /// less with each that comes, down to [`IDLE_MIN`] when it is full.
    pub(crate) fn idle_max(&self, set: Duration) -> Duration {
        let free = self.free.available_permits();
        idle_max(set, free, self.connections_max)
    }
}

fn idle_max(set: Duration, free: usize, connections_max: usize) -> Duration {
    let half = connections_max - connections_max / 2;
    if free >= half || set <= IDLE_MIN {
        return set;
    }
    IDLE_MIN + (set - IDLE_MIN).mul_f64(free as f64 / half as f64)
}

impl Admission {
    /// Whose the connection is. An address may have no more than its part of all connections; of ourselves
    /// and of proxies that are trusted many others may come.
    pub(crate) fn of_client(&mut self, client: IpAddr) -> Result<(), TooMany> {
        debug_assert!(self.address.is_none());
        match self.capacity.addresses.enter(client) {
            Ok(address) => {
                self.address = address;
                Ok(())
            }
            Err(too_many) => {
                self.capacity.note_refused(client);
                Err(too_many)
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.capacity.addresses.leave(address);
        }
        self.capacity.free.add_permits(1);
    }
}

impl Capacity {
    /// Whether this address may have no further connection; it is counted as refused then.
    pub(crate) fn refuses(&self, client: IpAddr) -> bool {
        let is_full = self.addresses.is_full_for(client);
        if is_full {
            self.note_refused(client);
        }
        is_full
    }

    fn note_refused(&self, client: IpAddr) {
        self.defences.tell(Defence::RefusedPerClient, Some(client));
    }
}

impl Addresses {
    fn counted(&self, client: IpAddr) -> Option<Household> {
        let is_exempt = client.to_canonical().is_loopback() || origin::is_trusted(client, &self.trusted);
        (!is_exempt).then(|| Household::of(client))
    }

    fn shard(&self, address: Household) -> &Mutex<HashMap<Household, usize>> {
        &self.shards[self.hasher.hash_one(address) as usize % SHARDS]
    }

    fn is_full_for(&self, client: IpAddr) -> bool {
        self.counted(client).is_some_and(|address| {
            let counts = self.shard(address).lock().unwrap_or_else(PoisonError::into_inner);
            counts.get(&address).is_some_and(|count| *count >= self.connections_max)
        })
    }

    fn enter(&self, client: IpAddr) -> Result<Option<Household>, TooMany> {
        let Some(address) = self.counted(client) else { return Ok(None) };
        let mut counts = self.shard(address).lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.connections_max {
            return Err(TooMany);
        }
        *count += 1;
        Ok(Some(address))
    }

    fn leave(&self, address: Household) {
        let mut counts = self.shard(address).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

/// One who waits; dropping it ends that.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(connections_max: usize, per_client: Option<usize>) -> Arc<Capacity> {
        let clients = ClientSettings {
            connections_max,
            connections_per_client_max: per_client,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..ClientSettings::default()
        };
        Capacity::new(&clients, 1, Arc::default())
    }

    #[test]
    fn idle_time_shrinks_from_half_full_on() {
        let second = Duration::from_secs;
        let cases = [(100, 101), (75, 101), (50, 101), (25, 51), (10, 21), (0, 1)];
        for (free, seconds) in cases {
            assert_eq!(idle_max(second(101), free, 100), second(seconds), "{free} free");
        }
        assert_eq!(idle_max(second(101), 1, 1), second(101), "with room for one it is free or full");
        assert_eq!(idle_max(Duration::from_millis(300), 0, 100), Duration::from_millis(300));
    }

    #[test]
    fn a_client_is_an_address_or_a_network_and_has_its_part() {
        let full = |texts: &[&str], per_client| {
            let capacity = capacity(40, per_client);
            let enter = |text: &&str| {
                let mut admission = capacity.try_admit().unwrap();
                admission.of_client(text.parse().unwrap()).map(|()| admission)
            };
            let admitted: Vec<_> = texts.iter().map(enter).collect();
            let refused = admitted.iter().filter(|admitted| admitted.is_err()).count();
            drop(admitted);
            assert_eq!(capacity.free.available_permits(), 40);
            assert!(capacity.addresses.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
            refused
        };
        assert_eq!(full(&["192.0.2.1"; 12], None), 2, "a quarter of forty");
        assert_eq!(full(&["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"], Some(1)), 1);
        assert_eq!(full(&["2001:db8::1", "2001:db8::2:0:0:1", "2001:db8:0:1::1"], Some(1)), 1);
        for exempt in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.1.2.3"] {
            assert_eq!(full(&[exempt; 12], None), 0, "{exempt}");
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_to_go_while_one_who_was_asked_has_not_gone() {
        let capacity = capacity(1, None);
        capacity.publish(0, Some(Instant::now()));
        let held = capacity.try_admit().unwrap();
        let mut told = 0;
        let tell = || {
            told += 1;
            true
        };
        let waited = tokio::time::timeout(10 * LOOK_INTERVAL, capacity.admit(0, tell)).await;
        assert!(waited.is_err() && told == 1, "{told} were told");
        drop(held);
        assert!(capacity.admit(0, || unreachable!()).await.is_some());
    }
}
