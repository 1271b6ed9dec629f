//! See `evenkeel_fuzz::admin_json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::admin_json(data));
