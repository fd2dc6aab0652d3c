//! Layers against diffusers, and their low-rank branches.
#![allow(clippy::unwrap_used)]

mod case;
mod golden;
mod low_rank;
