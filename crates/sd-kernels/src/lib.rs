//! Fused operations of diffusion models on [Burn](burn) backends.
//!
//! [`DiffusionBackend`] extends Burn's `Backend` by the handful of operations that a diffusion model is made of: linear
//! and convolution with their epilogues, attention over strided heads, normalisations. Each has a default body composed
//! of plain Burn operations, so a backend type of one's own joins with one line:
//!
//! ```ignore
//! impl sd_kernels::DiffusionBackend for MyBackend {}
//! ```
//!
//! Models call the typed, checked front in [`ops`]; a fast kernel overrides a method of the trait, and nothing else in the
//! workspace knows that it exists. `testing` (feature `testing`) holds any implementation against an f64 reference.
//!
//! Activations are channels-last: `[batch, height, width, channels]`, or `[batch, tokens, channels]`. Weights are in
//! checkpoint order: `[out, in]` for linear, `[out, kernel_h, kernel_w, in]` for convolution.
//!
//! ```
//! # #[cfg(feature = "ndarray")] {
//! use burn::tensor::Tensor;
//! use sd_kernels::{ops, Activation, Epilogue, Weight};
//! type B = burn_ndarray::NdArray<f32>;
//!
//! let device = Default::default();
//! let x = Tensor::<B, 3>::from_data([[[1.0, -2.0]]], &device);
//! let weight = Weight::from(Tensor::<B, 2>::from_data([[1.0, 1.0], [0.5, 0.0]], &device));
//! let y = ops::linear(x, &weight, Epilogue::new().activation(Activation::Silu));
//! assert_eq!(y.dims(), [1, 1, 2]);
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attention;
mod autodiff;
mod backend;
mod capture;
mod channels;
mod conv;
#[cfg(feature = "ndarray")]
mod cpu;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(feature = "cuda")]
mod cuda;
pub mod default;
mod epilogue;
#[cfg(feature = "fusion")]
mod fusion;
pub mod layout;
#[cfg(feature = "ndarray")]
pub(crate) mod ndarray;
mod norm;
pub mod ops;
mod recycler;
#[cfg(feature = "testing")]
pub mod testing;
mod weight;

pub use attention::{AttentionMask, AttentionOptions, Heads};
pub use autodiff::TrainBackend;
pub use backend::DiffusionBackend;
pub use capture::CaptureKey;
pub use channels::Channels;
pub use conv::{Conv2dOptions, ConvInput, Padding};
pub use epilogue::{Activation, Epilogue, Gate, UnknownActivation};
pub use norm::{Affine, GroupNormOptions, LayerNormOptions, Modulation, NormGradients};
pub use recycler::Recycler;
pub use weight::{PackedWeight, Weight, WeightRole};
