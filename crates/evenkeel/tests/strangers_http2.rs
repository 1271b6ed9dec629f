//! What strangers can do over HTTP/2, against the real program: frames that ask for nothing, heads that
//! grow when they are read, and memory that somebody else should have.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

#[allow(dead_code, reason = "another test uses the rest")]
#[path = "http2/frames.rs"]
mod frames;

mod strangers_http2 {
    mod memory;
    mod overhead;
    mod preface;
}
