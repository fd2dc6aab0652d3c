//! A PyTorch file of either form.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sd_nn::checkpoint::fuzzing::torch(data));
