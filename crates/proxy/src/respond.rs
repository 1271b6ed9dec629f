//! What the balancer says itself, where no replica does.

pub(crate) mod limit;
pub(crate) mod failure;
pub(crate) mod response;
pub(crate) mod send;
pub(crate) mod local;
