//! A line of those who wait for something of which there is only so much. First come, first served: one is
//! called for each that comes free, and who leaves the line passes the call on. What is waited for is not
//! known here.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use event_listener::Event;

/// How often whoever waits looks by itself. A call can be missed only in the moment in which somebody joins.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Those who wait, in all workers. With nobody in it, it costs one look at a number.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: AtomicUsize,
    calls: Event,
}

impl Line {
    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// How many wait.
    pub(crate) fn length(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Everything may be different now: all may look.
    pub(crate) fn call_all(&self) {
        (0..self.length()).for_each(|_| self.call_next());
    }

    /// Something has come free: the one who waits longest may look.
    pub(crate) fn call_next(&self) {
        if !self.is_empty() {
            self.calls.notify_additional(1);
        }
    }
}

/// Waits in all of these lines until this takes something. Dropping the future leaves them.
pub(crate) async fn wait_in<T, const LINES: usize>(
    lines: [&Line; LINES],
    mut take: impl FnMut() -> Option<T>,
) -> T {
    let standing = Standing::join(lines);
    let mut calls = lines.map(|line| line.calls.listen());
    // Who joins behind others does not look before they have.
    if standing.is_first
        && let Some(taken) = take()
    {
        return taken;
    }
    let mut look = Box::pin(tokio::time::interval(LOOK_INTERVAL));
    look.reset();
    poll_fn(|context| {
        let mut is_called = false;
        for (call, line) in calls.iter_mut().zip(lines) {
            while Pin::new(&mut *call).poll(context).is_ready() {
                is_called = true;
                *call = line.calls.listen();
            }
        }
        while look.poll_tick(context).is_ready() {
            is_called = true;
        }
        if is_called && let Some(taken) = take() { Poll::Ready(taken) } else { Poll::Pending }
    })
    .await
}

/// Somebody's place in lines.
struct Standing<'a, const LINES: usize> {
    lines: [&'a Line; LINES],
    is_first: bool,
}

impl<'a, const LINES: usize> Standing<'a, LINES> {
    fn join(lines: [&'a Line; LINES]) -> Self {
        let ahead = lines.map(|line| line.waiting.fetch_add(1, Ordering::SeqCst));
        Self { lines, is_first: ahead.contains(&0) }
    }
}

impl<const LINES: usize> Drop for Standing<'_, LINES> {
    fn drop(&mut self) {
        for line in self.lines {
            line.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
