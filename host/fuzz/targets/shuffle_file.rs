#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etl_shuffle::fuzz::shuffle_file(data));
