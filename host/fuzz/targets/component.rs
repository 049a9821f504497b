#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etl_plugin::fuzz::component(data));
