//! Training on tiny models, in one binary: each binary compiles all of it anew.
#![allow(clippy::unwrap_used)]

mod fixtures;
mod gradients;
mod optimizer;
mod refusals;
mod runs;
#[cfg(feature = "collective")]
mod together;
