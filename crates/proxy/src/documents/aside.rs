//! Work that may wait for a disk, beside the thread that requests are on. There are only so many threads for it
//! (`FILE_READERS_MAX`), and what nobody waits for any more is not begun.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::{JoinHandle, spawn_blocking};

/// Some work that is done elsewhere; dropping it gives it up.
#[derive(Debug)]
pub(super) struct Aside<T>(JoinHandle<T>);

impl<T: Send + 'static> Aside<T> {
    pub(super) fn begin(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(spawn_blocking(work))
    }
}

impl<T> Future for Aside<T> {
    /// Nothing, if the worker ends before it was done.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let done = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(done.ok())
    }
}

impl<T> Drop for Aside<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
