//! Noise for a batch of images by the rules of the web UI (`modules/rng.py`, and `modules/processing.py` for the seeds).

mod noise;
mod seeds;
mod shapes;

pub use noise::ImageNoise;
pub use seeds::ImageSeeds;
