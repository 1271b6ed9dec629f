//! A client as a request sees it, whatever protocol it speaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use h1::{BodyLength, ResponseHead};

use crate::clients::capacity::Admission;
use crate::clients::certificate::ClientCertificate;
use crate::clients::idle::Place;
use crate::clients::origin::Origin;
use crate::settings::ListenerSettings;
use crate::telling::defences::Defence;
use crate::wire::connection::Connection;
use crate::wire::peer::Peer;

/// What the preface of HTTP/2 is to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preface {
    BeginsHttp2,
    /// The first line of no request.
    Nonsense,
}

/// What is known of a connection, and its part of what is limited.
pub(crate) struct Visit {
    pub(crate) address: SocketAddr,
    pub(crate) is_tls: bool,
    /// The one that it has shown, if it has.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// It comes from a proxy whose word the operator takes.
    pub(crate) is_trusted: bool,
    pub(crate) preface: Preface,
    /// Where it stands among those that are idle.
    pub(crate) place: Place,
    pub(crate) admission: Admission,
    /// Where it came in.
    pub(crate) listener: Arc<ListenerSettings>,
    /// How many requests it has brought.
    pub(crate) requests: u64,
}

impl Visit {
    pub(crate) fn origin(&self) -> Origin {
        Origin::new(self.address, self.is_tls, self.is_trusted).with_certificate(self.certificate.clone())
    }
}

/// Somebody who has sent a request and waits for its response.
pub(crate) trait Client: Peer {
    /// What the request is called in every log on its way.
    fn request_id(&self) -> Option<&[u8]>;

    /// Begins the response; its body has this length and follows with [`Peer::poll_send`].
    fn begin_response(&mut self, head: &ResponseHead, length: BodyLength);

    /// Sends a response before the one that counts.
    fn send_interim(&mut self, head: &ResponseHead);

    /// Whether it is we who take nothing of its body now, so that time does not count against it.
    fn is_shut(&self) -> bool {
        false
    }

    /// Why we have ended its connection, if we have: then it is not the client that has left.
    fn hung_up_for(&self) -> Option<Defence> {
        None
    }

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
