//! Answers from a folder: what a service has that is `driver = "files"`. It has no replica and no table; whoever
//! has passed the guards gets a file, or hears why not.
//!
//! # Choices
//!
//! - **Nothing is read on the way of other requests.** What the system has in memory already is taken at once (a
//!   `stat` or a read that says beforehand that it will not wait); the rest is fetched by a few threads beside the
//!   worker, and a disk that hangs holds those, and nobody else.
//! - **The kernel keeps us inside of the folder** (`openat2`, `RESOLVE_BENEATH`), also from links that somebody
//!   makes while we look. A check of our own before an `open` is one that can be outrun.
//! - **The folder is found anew for each request**, so that a release that is brought about by turning a symbolic
//!   link is there at once, whole.
//! - **A file is had by no path by those who may not have it by its own** (`door.rs`): a location is about files, and
//!   not about one of their spellings.
//! - **A client that does not read holds a descriptor and no memory**: what it has not taken is read again.

pub(crate) mod fault;
pub(crate) mod folder;

// Which file is meant, and whether it may be had.
mod place;
pub(crate) mod open;
mod search;

// What is said of it, and which part of it is asked for.
mod validators;
mod ranges;
mod shown;

// It is sent.
pub(crate) mod door;
mod aside;
mod body;
pub(crate) mod answer;
