//! What is said of a request afterwards: in the log, in counters, and of the replica that had it.

pub(crate) mod verdict;
pub(crate) mod counters;
pub(crate) mod access_log;
