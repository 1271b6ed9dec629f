//! See `evenkeel_fuzz::http2`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::http2(data));
