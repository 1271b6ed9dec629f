//! The engine as the control plane sees it: a driver. Each call waits for the world; a call of which
//! the future is dropped leaves the work half done.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use driver::{Driver, DriverError, Releases, StartOrder};
use fleet::{Address, Found, Life, Release, StopHow};
use futures_util::future::{BoxFuture, FutureExt};

use crate::engine::Pending;
use crate::sabotage::Sabotage;
use crate::world::{Now, World};

/// What the configuration asks for at each start of a balancer.
const CONFIGURED_RELEASE: u64 = 1;

pub(crate) struct Engine(pub(crate) Arc<World>);

/// Tells the world when nobody waits for an answer any more.
struct Waiting<'a> {
    world: &'a World,
    ticket: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.world.state();
        if !state.has_balancer() {
            return;
        }
        if let Some(ticket) = state.tickets.get_mut(&self.ticket) {
            ticket.is_abandoned = true;
            let life = ticket.life;
            state.note(|_| format!("nobody waits for the order about {life} any more"));
            state.judge.told_dead(life);
        }
    }
}

impl World {
    /// Where a call begins; also where the balancer may be killed. What is dead calls nobody.
    pub(crate) async fn enter(&self) -> Now<'_> {
        {
            let mut state = self.state();
            let in_call = state.faults.crash_in_call;
            if !state.is_over() && state.chance.happens(in_call) {
                state.crash();
            }
            if !state.is_over() {
                return state;
            }
        }
        pending().await
    }

    pub(crate) async fn wait_until(&self, at: Duration) {
        let instant = self.state().instant(at);
        tokio::time::sleep_until(instant).await;
    }

    pub(crate) async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

impl Engine {
    async fn answered<T>(
        &self,
        order: Pending,
        end: impl FnOnce(&mut Now<'_>, Pending) -> Result<T, String>,
    ) -> Result<T, DriverError> {
        let waiting = Waiting { world: &self.0, ticket: order.ticket };
        self.0.wait_until(order.answer_at).await;
        let result = end(&mut self.0.state(), order).map_err(DriverError::new);
        drop(waiting);
        result
    }
}

impl Driver for Engine {
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        async {
            self.0.enter().await;
            Ok(())
        }
        .boxed()
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>> {
        async move {
            let pending = {
                let mut state = self.0.enter().await;
                if state.sabotage == Some(Sabotage::DoubleStart) {
                    state.begin_start(&order);
                }
                state.begin_start(&order)
            };
            self.answered(pending, |state, pending| state.end_start(pending)).await
        }
        .boxed()
    }

    fn stop(&self, life: Life, how: StopHow) -> BoxFuture<'_, Result<(), DriverError>> {
        async move {
            let pending = self.0.enter().await.begin_stop(life, how);
            self.answered(pending, |state, pending| state.end_stop(life, pending)).await
        }
        .boxed()
    }

    fn is_frozen(&self, life: Life) -> BoxFuture<'_, Result<bool, DriverError>> {
        async move {
            let delay = {
                let mut state = self.0.enter().await;
                state.note(|_| format!("order: inspect {life}"));
                state.chance.milliseconds(1..200)
            };
            self.0.wait(delay).await;
            let mut state = self.0.state();
            let fails = state.faults.inspect_fails;
            if state.chance.happens(fails) {
                return Err(DriverError::new("cannot look"));
            }
            Ok(state.is_frozen(life))
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, DriverError>> {
        async {
            let (before, fails, delay) = {
                let mut state = self.0.enter().await;
                let (fails, slow) = (state.faults.list_fails, state.faults.list_slow);
                let fails = state.chance.happens(fails);
                let mut delay = state.chance.milliseconds(1..80);
                if state.chance.happens(slow) {
                    delay += state.chance.milliseconds(0..9000);
                }
                state.note(|_| "order: list".into());
                (state.snapshot(), fails, delay)
            };
            self.0.wait(delay).await;
            if fails {
                return Err(DriverError::new("the engine is restarting"));
            }
            Ok(self.0.state().listing(&before))
        }
        .boxed()
    }

    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        async { Ok(()) }.boxed()
    }
}

impl Releases for Engine {
    fn release(&self) -> Release {
        Release::of_hash(CONFIGURED_RELEASE)
    }

    fn release_of(&self, life: Life) -> Option<Release> {
        let state = self.0.state();
        let container = state.containers.values().find(|container| container.life == life);
        container.map(|container| container.release)
    }
}
