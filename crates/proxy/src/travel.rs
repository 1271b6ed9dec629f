//! A request on its way to a replica: which one it is sent to, when, and how often.

// It is read, finds its service, and may be refused.
pub(crate) mod context;
pub(crate) mod written;
pub(crate) mod dispatch;
pub(crate) mod scope;
pub(crate) mod path_rule;
pub(crate) mod routes;
pub(crate) mod path_form;
pub(crate) mod paths;
pub(crate) mod guards;
pub(crate) mod sign_in;
pub(crate) mod inquiry;
pub(crate) mod asker;
pub(crate) mod diversion;

// It is let in, or waits in line.
pub(crate) mod limits;

// It goes its rounds, with its key and its body.
pub(crate) mod errand;
pub(crate) mod rounds;
pub(crate) mod key;
pub(crate) mod cookies;
pub(crate) mod sticky;
pub(crate) mod session;
pub(crate) mod upload;
pub(crate) mod buffering;

// One round: a replica is asked.
pub(crate) mod attempt;
pub(crate) mod exchange;
pub(crate) mod tunnel;
pub(crate) mod pace;
pub(crate) mod caution;

// Another round, or none.
pub(crate) mod history;
pub(crate) mod replay;
pub(crate) mod budget;

// It is over, and goes to others once more.
pub(crate) mod copies;
pub(crate) mod copying;
pub(crate) mod mirrored;

// No replica can be asked now.
pub(crate) mod wait;
pub(crate) mod waiting_room;
