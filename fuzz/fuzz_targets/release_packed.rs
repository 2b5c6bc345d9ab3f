#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rave_release::fuzzing::release_packed(bytes));
