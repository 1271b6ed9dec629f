//! The two kinds of clients: those that wait for their response before they ask again, and those that
//! ask when it is time.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::progress::Stop;
use super::shared::Shared;
use crate::connection::Connection;
use crate::schedule::Schedule;

/// This many clients, each with a connection of its own.
pub(super) async fn closed(shared: &Rc<Shared>, count: u32) {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        clients.spawn_local(client(Rc::clone(shared)));
    }
    while clients.join_next().await.is_some() {}
}

async fn client(shared: Rc<Shared>) {
    let mut kept = None;
    loop {
        let at = shared.begun.elapsed();
        let Some(index) = shared.claim(at) else { break };
        // The other end may have closed it, or said something, since the last response.
        let connection = kept.filter(|connection| shared.is_fit(connection));
        kept = shared.ask(index, at, connection).await;
    }
    shared.put_idle(kept);
}

/// This many requests a second, over at most this many connections.
pub(super) async fn open(shared: &Rc<Shared>, schedule: &Schedule, rate: u32, connections_max: u32) {
    let mut stopped = shared.stopped.clone();
    let mut asked = JoinSet::new();
    loop {
        let at = due(shared.claimed(), rate);
        tokio::select! {
            () = schedule.until(shared.begun + at) => {}
            _ = stopped.wait_for(|stop| *stop != Stop::Not) => {}
        }
        let Some(index) = shared.claim(at) else { break };
        shared.note_lag(shared.begun.elapsed().saturating_sub(at));
        let kept = shared.take_idle();
        let may_open = shared.connections.get() < connections_max;
        if kept.is_none() && !may_open {
            shared.give_up(index, at, "all connections that the load may have were taken");
        } else {
            if kept.is_none() {
                shared.connections.set(shared.connections.get() + 1);
            }
            asked.spawn_local(once(Rc::clone(shared), index, at, kept));
        }
        while asked.try_join_next().is_some() {}
        // A load that is behind its schedule finds no reason to wait, and the others have to go on.
        tokio::task::yield_now().await;
    }
    while asked.join_next().await.is_some() {}
}

async fn once(shared: Rc<Shared>, index: u64, at: Duration, kept: Option<Connection>) {
    let kept = shared.ask(index, at, kept).await;
    shared.put_idle(kept);
}

/// When a request is due: exact for each, so that nothing adds up.
fn due(index: u64, rate: u32) -> Duration {
    let nanoseconds = u128::from(index) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
