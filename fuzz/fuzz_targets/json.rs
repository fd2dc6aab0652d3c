//! Configurations, and indices of sharded checkpoints.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sd_nn::checkpoint::fuzzing::json(data));
