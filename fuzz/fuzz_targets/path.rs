//! See `evenkeel_fuzz::path`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::path(data));
