//! A request on its way to a replica: which one it is sent to, when, and how often.

pub(crate) mod context;

pub(crate) mod dispatch;
pub(crate) mod routes;

pub(crate) mod guards;

pub(crate) mod errand;
pub(crate) mod key;
pub(crate) mod rounds;

pub(crate) mod history;
pub(crate) mod replay;

pub(crate) mod budget;

pub(crate) mod wait;

pub(crate) mod waiting_room;

pub(crate) mod attempt;

pub(crate) mod caution;

pub(crate) mod buffering;
pub(crate) mod upload;

pub(crate) mod exchange;
pub(crate) mod pace;
