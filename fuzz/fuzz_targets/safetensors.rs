//! The header of a `.safetensors` file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sd_nn::checkpoint::fuzzing::safetensors(data));
