//! One binary, because each would compile the same backends again.
#![allow(clippy::unwrap_used)]

mod counting;
#[cfg(feature = "ndarray")]
mod front;
#[cfg(feature = "ndarray")]
mod gradients;
#[cfg(feature = "ndarray")]
mod halves;
mod nodes;
#[cfg(feature = "ndarray")]
mod properties;
#[cfg(feature = "ndarray")]
mod sentinels;
mod suite;
#[cfg(feature = "ndarray")]
mod threads;
