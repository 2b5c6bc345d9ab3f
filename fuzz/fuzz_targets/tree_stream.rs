#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rave_guest::fuzzing::tree_stream(bytes));
