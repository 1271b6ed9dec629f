//! The thread on which processes are begun.
//!
//! To begin one holds a thread up until the new program runs: that takes a millisecond, or twenty on a
//! busy machine, and meanwhile nothing could be decided. And the kernel ends a tethered process with the
//! thread that began it, so this one lives for as long as its driver.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Begins processes, one after the other.
#[derive(Debug)]
pub(super) struct Starter {
    orders: SyncSender<Order>,
}

struct Order {
    command: Command,
    /// Where the child is looked after.
    runtime: Handle,
    begun: oneshot::Sender<io::Result<Child>>,
}

impl Starter {
    pub(super) fn new() -> io::Result<Self> {
        // Whoever orders waits for the outcome, so there is never more than one order.
        let (orders, incoming) = sync_channel::<Order>(1);
        let carry_out = move || incoming.into_iter().for_each(Order::carry_out);
        std::thread::Builder::new().name("starts".to_owned()).spawn(carry_out)?;
        Ok(Self { orders })
    }

    /// Begins a process.
    pub(super) async fn begin(&mut self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that begins processes is gone");
        let (begun, outcome) = oneshot::channel();
        let order = Order { command, runtime: Handle::current(), begun };
        self.orders.try_send(order).map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

impl Order {
    fn carry_out(mut self) {
        let _inside = self.runtime.enter();
        let child = self.command.spawn();
        if let Err(Ok(mut child)) = self.begun.send(child) {
            // Nobody waits for it any more, and nobody else would ever end it.
            let _ = child.start_kill();
        }
    }
}
