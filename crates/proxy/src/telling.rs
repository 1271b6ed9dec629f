//! What is said of a request afterwards: in the log, in counters, and of the replica that had it.

pub(crate) mod verdict;
pub(crate) mod loss;
pub(crate) mod unread;
pub(crate) mod garbled;
pub(crate) mod counters;
pub(crate) mod tally;
pub(crate) mod defences;
pub(crate) mod refusals;
pub(crate) mod policies;
pub(crate) mod handshakes;
pub(crate) mod access_log;
