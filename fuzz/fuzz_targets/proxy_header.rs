//! See `evenkeel_fuzz::proxy_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::proxy_header(data));
