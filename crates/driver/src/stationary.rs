//! Fixed addresses: watched and routed to, but not ours to start or stop.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use fleet::{Address, Found, FoundState, Life, ReplicaName, StopHow};
use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::{Driver, DriverError, Releases, StartOrder};

/// The addresses of a service whose replicas somebody else runs; seat 1 has the first.
#[derive(Debug)]
pub struct StaticDriver {
    addresses: Vec<Address>,
    watched: Mutex<BTreeMap<Life, ReplicaName>>,
}

impl StaticDriver {
    /// A driver that only knows where replicas are.
    pub fn new(addresses: Vec<Address>) -> Self {
        Self { addresses, watched: Mutex::default() }
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, BTreeMap<Life, ReplicaName>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for StaticDriver {
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        ready(Ok(())).boxed()
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>> {
        let address = self.addresses.get(order.life.seat.index()).cloned();
        if address.is_some() {
            self.watched().insert(order.life, order.name);
        }
        ready(address.ok_or_else(|| DriverError::new("there is no address for this seat"))).boxed()
    }

    fn stop(&self, life: Life, _how: StopHow) -> BoxFuture<'_, Result<(), DriverError>> {
        self.watched().remove(&life);
        ready(Ok(())).boxed()
    }

    fn is_frozen(&self, _life: Life) -> BoxFuture<'_, Result<bool, DriverError>> {
        ready(Ok(false)).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, DriverError>> {
        let watched = self.watched();
        let found = watched.iter().filter_map(|(life, name)| {
            let address = self.addresses.get(life.seat.index())?.clone();
            let state = FoundState::Running { address, is_frozen: false };
            Some(Found { life: *life, name: name.clone(), state })
        });
        ready(Ok(found.collect())).boxed()
    }

    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        ready(Ok(())).boxed()
    }
}

impl Releases for StaticDriver {}
