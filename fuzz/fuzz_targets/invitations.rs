#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| devstream_fuzz::invitations::check(data));
