//! See `evenkeel_fuzz::request_head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::request_head(data));
