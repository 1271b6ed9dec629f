//! What connections are made of, at both ends: streams, memory, heads, bodies, and the time they take.

pub(crate) mod forward;
pub(crate) mod peer;
pub(crate) mod connection;
pub(crate) mod stream;
pub(crate) mod tls_stream;
pub(crate) mod discard;
pub(crate) mod pipe;
pub(crate) mod splice;
pub(crate) mod buffers;
pub(crate) mod deadlines;
pub(crate) mod date;
pub(crate) mod line;
pub(crate) mod places;
pub(crate) mod fields;
pub(crate) mod h2_body;
