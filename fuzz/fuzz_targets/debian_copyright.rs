#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rave_image::fuzzing::debian_copyright(bytes));
