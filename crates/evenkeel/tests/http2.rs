//! HTTP/2 on both sides: clients with prior knowledge, replicas that speak nothing else, and what
//! either of them may do wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

mod http2 {
    mod clients;
    mod flow;
    mod frames;
    mod grpc;
    mod life;
    mod malformed;
    mod replicas;
    mod rules;
    mod speak;
    mod told;
}
