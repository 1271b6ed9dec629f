//! What all requests of a load share, on its one thread: numbers, connections that are idle, the
//! tally. How one request is asked, and how it comes into the tally whatever becomes of it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::progress::{Progress, Stop};
use super::terms::{Load, REQUESTS_MAX};
use crate::connection::{Connection, Failed, Rest};
use crate::plan::Writer;
use crate::tally::{Example, Loss, Outcome, Tally};

pub(super) struct Shared {
    pub(super) load: Load,
    pub(super) begun: Instant,
    pub(super) stopped: watch::Receiver<Stop>,
    /// Connections that there are, used and idle; only an open load bounds them.
    pub(super) connections: Cell<u32>,
    writer: Writer,
    next: Cell<u64>,
    idle: RefCell<Vec<Connection>>,
    tally: RefCell<Tally>,
    progress: Arc<Progress>,
}

/// A request that was begun. If nothing else becomes of it, it was abandoned.
struct Asked<'a> {
    shared: &'a Shared,
    at: Duration,
    outcome: Outcome,
}

impl Shared {
    pub(super) fn new(
        load: Load,
        begun: Instant,
        stopped: watch::Receiver<Stop>,
        progress: Arc<Progress>,
    ) -> Self {
        let writer = Writer::new(&load.target, &load.plan, load.seed);
        Self {
            load,
            begun,
            stopped,
            connections: Cell::new(0),
            writer,
            next: Cell::new(0),
            idle: RefCell::default(),
            tally: RefCell::new(Tally::new(begun)),
            progress,
        }
    }

    /// The number of the next request that begins then, if there shall be one.
    pub(super) fn claim(&self, at: Duration) -> Option<u64> {
        let index = self.next.get();
        let limits = &self.load.limits;
        let goes_on = index < limits.requests.min(REQUESTS_MAX)
            && at < limits.duration
            && *self.stopped.borrow() == Stop::Not;
        goes_on.then(|| {
            self.next.set(index + 1);
            index
        })
    }

    /// How many requests there were so far.
    pub(super) fn claimed(&self) -> u64 {
        self.next.get()
    }

    /// One request, from when it was meant to begin to when it is in the tally; over this connection, if
    /// there is one. Returns the connection, if it can be used again.
    pub(super) async fn ask(&self, index: u64, at: Duration, kept: Option<Connection>) -> Option<Connection> {
        let mut asked = Asked::begin(self, at);
        let name = self.writer.name(index);
        let mut connection = kept;
        let exchange = self.exchange(index, &name, &mut connection);
        let exchanged = tokio::time::timeout(self.load.limits.response, exchange).await;
        let failed = match exchanged {
            Ok(Ok(replica)) => {
                asked.outcome = Outcome::Answered(replica);
                return connection.filter(|connection| self.is_fit(connection));
            }
            Ok(Err(failed)) => failed,
            Err(_) => Loss::Timeout.into(),
        };
        asked.outcome = Outcome::Failed(failed.loss);
        // A wrong response is a response: what follows is not disturbed by it.
        let is_whole = matches!(failed.loss, Loss::BadStatus | Loss::BadBody);
        self.explain(name, at, failed);
        connection.filter(|connection| is_whole && self.is_fit(connection))
    }

    async fn exchange(
        &self,
        index: u64,
        name: &str,
        connection: &mut Option<Connection>,
    ) -> Result<u16, Failed> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(Connection::open(self.load.target.address).await?),
        };
        let mut request = String::with_capacity(256);
        self.writer.write(index, name, &mut request);
        let replica = connection.exchange(&request, name, &self.load.check).await?;
        Ok(self.tally.borrow_mut().replica_number(replica))
    }

    /// A request that nothing can be sent for.
    pub(super) fn give_up(&self, index: u64, at: Duration, why: &str) {
        Asked::begin(self, at).outcome = Outcome::Failed(Loss::NotSent);
        let failed = Failed { loss: Loss::NotSent, detail: why.to_owned() };
        self.explain(self.writer.name(index), at, failed);
    }

    fn explain(&self, request: String, at: Duration, failed: Failed) {
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let Failed { loss, detail } = failed;
        self.tally.borrow_mut().explain(|| Example { request, at_ms, failure: loss, detail });
    }

    /// Whether a connection can be used again. One on which something came unasked cannot.
    pub(super) fn is_fit(&self, connection: &Connection) -> bool {
        let rest = connection.rest();
        if rest == Rest::Unasked {
            self.tally.borrow_mut().unasked_answers += 1;
        }
        rest == Rest::Fine && connection.keeps()
    }

    /// The connection that was idle for the shortest time, if it can be used.
    pub(super) fn take_idle(&self) -> Option<Connection> {
        loop {
            let connection = self.idle.borrow_mut().pop()?;
            if self.is_fit(&connection) {
                return Some(connection);
            }
            self.connections.set(self.connections.get().saturating_sub(1));
        }
    }

    pub(super) fn put_idle(&self, connection: Option<Connection>) {
        match connection {
            Some(connection) => self.idle.borrow_mut().push(connection),
            None => self.connections.set(self.connections.get().saturating_sub(1)),
        }
    }

    /// Whether something came unasked on connections that nobody uses any more.
    pub(super) fn look_at_idle(&self) {
        while self.take_idle().is_some() {}
    }

    pub(super) fn note_lag(&self, lag: Duration) {
        let mut tally = self.tally.borrow_mut();
        tally.lag_max = tally.lag_max.max(lag);
    }

    pub(super) fn take_tally(&self) -> Tally {
        let mut tally = self.tally.replace(Tally::new(self.begun));
        let end_us = tally.samples.iter().map(|sample| sample.at_us + u64::from(sample.latency_us)).max();
        tally.elapsed = Duration::from_micros(end_us.unwrap_or(0));
        tally
    }
}

impl<'a> Asked<'a> {
    fn begin(shared: &'a Shared, at: Duration) -> Self {
        shared.progress.begun.fetch_add(1, Ordering::Relaxed);
        Self { shared, at, outcome: Outcome::Failed(Loss::Abandoned) }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let latency = self.shared.begun.elapsed().saturating_sub(self.at);
        self.shared.tally.borrow_mut().record(self.at, latency, self.outcome);
        let count = match self.outcome {
            Outcome::Answered(_) => &self.shared.progress.answered,
            Outcome::Failed(_) => &self.shared.progress.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
