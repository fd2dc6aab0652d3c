//! Noise that depends on a seed and an interval alone.

mod noise;
mod tree;

pub use noise::BrownianNoise;
pub use tree::BrownianTree;
