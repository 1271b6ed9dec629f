//! A client comes in: its socket, what stands before its first request, and the protocol that it speaks.

pub(crate) mod listeners;
pub(crate) mod capacity;
pub(crate) mod queue;
pub(crate) mod accept;
pub(crate) mod idle;
pub(crate) mod handshake;
pub(crate) mod proxy_protocol;
pub(crate) mod tls;
pub(crate) mod origin;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod http1;
pub(crate) mod http2;
