//! See `evenkeel_fuzz::contract_body`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::contract_body(data));
