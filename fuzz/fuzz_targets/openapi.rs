#![no_main]
use libfuzzer_sys::fuzz_target;
use spectral_capture::fuzz;

fuzz_target!(|data: &[u8]| fuzz::openapi(data));
