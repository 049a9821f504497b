#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etl_host::run_store::fuzz::plan(data));
