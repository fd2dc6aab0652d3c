//! Layers, dtype policy and checkpoint files of diffusion models on [Burn](burn).
//!
//! Layers are channels-last (`[batch, height, width, channels]`), their weights in checkpoint order, and their fields are
//! named as the keys of diffusers' state dicts, so that a parameter's path is its key. Everything that computes goes
//! through the operations of [`sd_kernels`].
//!
//! ```
//! use burn::tensor::{Distribution, Tensor};
//! use sd_nn::{Conv2dConfig, GroupNormConfig};
//! type B = burn_ndarray::NdArray<f32>;
//!
//! let device = Default::default();
//! let norm = GroupNormConfig { groups: 2, channels: 4, eps: 1e-5 }.init::<B>(&device);
//! let conv = Conv2dConfig::new(4, 8, 3).init::<B>(&device);
//! let image = Tensor::random([1, 5, 7, 4], Distribution::Default, &device);
//! assert_eq!(conv.forward(norm.forward(image)).dims(), [1, 5, 7, 8]);
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attention;
pub mod checkpoint;
pub mod config;
mod conv2d;
mod dtype;
mod embedding;
mod feed_forward;
mod linear;
mod low_rank;
mod model_id;
mod norm;
mod param;
mod resnet;
mod sampling;
mod timestep;
mod transformer;
mod weight;

pub use attention::{Attention, AttentionConfig};
pub use conv2d::{Conv2d, Conv2dConfig};
pub use dtype::{DTypePolicy, Precision, UnknownPrecision, UnsupportedPrecision};
pub use embedding::{Embedding, EmbeddingConfig};
pub use feed_forward::{ActivatedLinear, FeedForward, FeedForwardConfig};
pub use linear::{Linear, LinearConfig};
pub use low_rank::{LowRankConv2d, LowRankLinear};
pub use model_id::ModelId;
pub use norm::{GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig};
pub use resnet::{ResnetBlock2D, ResnetBlock2DConfig, TimeScaleShift};
pub use sampling::{Downsample2D, Downsample2DConfig, Upsample2D, Upsample2DConfig};
pub use timestep::{Sinusoidal, TimestepEmbedding, TimestepEmbeddingConfig};
pub use transformer::{BasicTransformerBlock, Transformer2D, Transformer2DConfig};
pub use weight::WeightParam;
