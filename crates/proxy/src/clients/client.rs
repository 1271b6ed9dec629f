//! A client as a request sees it, whatever protocol it speaks.

use std::task::{Context, Poll};

use h1::{BodyLength, ResponseHead};

use crate::wire::connection::Connection;
use crate::wire::peer::Peer;

/// Somebody who has sent a request and waits for its response.
pub(crate) trait Client: Peer {
    /// What the request is called in every log on its way.
    fn request_id(&self) -> Option<&[u8]>;

    /// Begins the response; its body has this length and follows with [`Peer::poll_send`].
    fn begin_response(&mut self, head: &ResponseHead, length: BodyLength);

    /// Sends a response before the one that counts.
    fn send_interim(&mut self, head: &ResponseHead);

    /// Whether it has left.
    fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Nothing that comes behind this request can be understood.
    fn end_after_this(&mut self);

    /// The response ends here, and must not look complete.
    fn spoil(&mut self);

    /// Both sides change to another protocol; whether this client's connection can.
    fn become_raw(&mut self) -> bool;

    /// The connection that has nothing but this response on it, if there is one.
    fn own_connection(&mut self) -> Option<&mut Connection>;

    /// Says that nothing more will be sent, after a change of protocol.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()>;
}
