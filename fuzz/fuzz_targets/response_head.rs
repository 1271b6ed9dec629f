//! See `evenkeel_fuzz::response_head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::response_head(data));
