//! The U-Net against diffusers, with bad inputs, and on the launch-counting backend.
#![allow(clippy::unwrap_used)]

mod fixtures;
mod golden;
mod inputs;
mod launches;
