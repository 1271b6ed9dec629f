//! See `evenkeel_fuzz::body`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::body(data));
