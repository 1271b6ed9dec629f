//! What the balancer says itself, where no replica does.

pub(crate) mod failure;
