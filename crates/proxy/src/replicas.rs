//! Connections to replicas: opened, kept while they are idle, and lent to one request after the other.

pub(crate) mod upstream;
pub(crate) mod idle;
pub(crate) mod sockets;
