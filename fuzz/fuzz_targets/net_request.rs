#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rave_net::fuzzing::net_request(bytes));
