//! Everything that takes the whole pipeline, in one binary: each binary compiles all of it anew.
#![allow(clippy::unwrap_used)]

mod common;
#[cfg(feature = "ndarray")]
mod demo;
#[cfg(feature = "ndarray")]
mod face;
mod kinds;
mod pipelines;
#[cfg(feature = "ndarray")]
mod single;
mod threads;
mod xl;
