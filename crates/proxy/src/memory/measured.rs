//! Tasks of a connection, measured: what they allocate and give back is put down to it, and they end when
//! it has to go.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Ledger;
use super::holding::Holding;

/// What a connection does, from its first byte to its end.
pub(crate) struct Connected<F> {
    ledger: Rc<Ledger>,
    holding: Rc<Holding>,
    future: F,
}

/// One of the things that are done for it at a time.
pub(crate) struct Part<F> {
    ledger: Rc<Ledger>,
    holding: Option<Rc<Holding>>,
    future: Pin<Box<F>>,
}

impl<F: Future<Output = ()> + Unpin> Connected<F> {
    pub(crate) fn new(ledger: &Rc<Ledger>, holding: Rc<Holding>, future: F) -> Self {
        Self { ledger: Rc::clone(ledger), holding, future }
    }
}

impl<F: Future<Output = ()>> Part<F> {
    pub(crate) fn new(ledger: &Rc<Ledger>, holding: Option<Rc<Holding>>, future: F) -> Self {
        Self { ledger: Rc::clone(ledger), holding, future: Box::pin(future) }
    }
}

impl<F: Future<Output = ()> + Unpin> Future for Connected<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.holding.is_closed() {
            return Poll::Ready(());
        }
        self.holding.remember(context.waker());
        let Self { ledger, holding, future } = &mut *self;
        ledger.measure(holding, || Pin::new(future).poll(context))
    }
}

impl<F> Drop for Connected<F> {
    fn drop(&mut self) {
        self.ledger.close(&self.holding);
    }
}

impl<F: Future<Output = ()>> Future for Part<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { ledger, holding, future } = &mut *self;
        match holding {
            Some(holding) if holding.is_closed() => Poll::Ready(()),
            Some(holding) => ledger.measure(holding, || future.as_mut().poll(context)),
            None => future.as_mut().poll(context),
        }
    }
}
