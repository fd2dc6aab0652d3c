//! Everything that takes the whole pipeline, in one binary: each binary compiles all of it anew.
#![allow(clippy::unwrap_used)]

mod common;
#[cfg(feature = "ndarray")]
mod demo;
#[cfg(feature = "ndarray")]
mod face;
#[cfg(all(feature = "ndarray", feature = "hub"))]
mod hub;
#[cfg(all(feature = "ndarray", feature = "hub"))]
#[path = "../hub_server/mod.rs"]
mod hub_server;
mod kinds;
mod pipelines;
#[cfg(feature = "ndarray")]
mod single;
mod threads;
mod xl;
