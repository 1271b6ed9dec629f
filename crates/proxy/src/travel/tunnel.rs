//! A connection whose two sides have changed to a protocol of their own: bytes go both ways, and nothing of them
//! is read.

use std::future::poll_fn;
use std::task::{Context, Poll};

use h1::BodyLength;

use crate::clients::client::Client;
use crate::travel::exchange::Exchange;
use crate::travel::pace::Patience;
use crate::wire::peer::{BodyCopy, Peer};

impl<C: Client> Exchange<'_, C> {
    /// Both sides speak a protocol of their own now: bytes go both ways until neither has more.
    pub(crate) async fn tunnel(&mut self) {
        self.finish_head();
        self.errand.client.begin_response(self.response, BodyLength::None);
        self.lease.become_raw();
        if !self.errand.client.become_raw() {
            return self.errand.client.spoil();
        }
        let (mut up, mut down) = (Tunnel::default(), Tunnel::default());
        let mut patience = Patience::begin(self.errand.request);
        poll_fn(|context| {
            self.errand.request.deadline.register(context.waker());
            let up_is_over = up.poll(self.errand.client, self.lease, context);
            if up_is_over && !up.is_shut {
                up.is_shut = self.lease.poll_shutdown(context).is_ready();
            }
            let down_is_over = down.poll(self.lease, self.errand.client, context);
            if down_is_over && !down.is_shut {
                down.is_shut = self.errand.client.poll_shutdown(context).is_ready();
            }
            let moved = up.copy.bytes + down.copy.bytes;
            let is_late = patience.is_over(self.errand.request, moved, self.timeouts().upgrade_idle);
            let is_broken = up.is_broken || down.is_broken;
            if is_late || is_broken || (up.is_shut && down.is_shut) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.errand.request.account.bytes.set(down.copy.bytes);
        self.errand.client.spoil();
    }
}

/// One direction after a change of protocol.
#[derive(Default)]
struct Tunnel {
    copy: BodyCopy,
    is_over: bool,
    is_shut: bool,
    is_broken: bool,
}

impl Tunnel {
    /// Whether this direction has come to its end.
    fn poll(&mut self, from: &mut impl Peer, to: &mut impl Peer, context: &mut Context<'_>) -> bool {
        if !self.is_over {
            match self.copy.poll(from, to, context) {
                Poll::Pending => {}
                Poll::Ready(result) => {
                    self.is_over = true;
                    self.is_broken = result.is_err();
                }
            }
        }
        self.is_over
    }
}
