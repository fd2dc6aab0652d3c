//! The U-Net of Stable Diffusion on [Burn](burn).
//!
//! [`UNetConfig`] reads a `config.json` as diffusers does and makes a [`UNet2DConditionModel`], whose parameters have the
//! keys of diffusers' `UNet2DConditionModel` as their paths. One type covers 1.x, 2.x, XL, the refiner, inpainting,
//! upscalers and LCM.
//!
//! ```
//! use burn::tensor::{Distribution, Tensor};
//! use sd_nn::config::OneOrMany;
//! use sd_unet::{DownBlockType, MidBlockType, UNetConfig, UNetInput, UpBlockType};
//! type B = burn_ndarray::NdArray<f32>;
//!
//! let config = UNetConfig {
//!     block_out_channels: vec![4, 8],
//!     down_block_types: vec![DownBlockType::CrossAttnDownBlock2D, DownBlockType::DownBlock2D],
//!     mid_block_type: Some(MidBlockType::UNetMidBlock2DCrossAttn),
//!     up_block_types: vec![UpBlockType::UpBlock2D, UpBlockType::CrossAttnUpBlock2D],
//!     layers_per_block: OneOrMany::One(1),
//!     norm_num_groups: Some(2),
//!     attention_head_dim: OneOrMany::One(2),
//!     cross_attention_dim: Some(OneOrMany::One(6)),
//!     ..Default::default()
//! };
//! let device = Default::default();
//! let unet = config.init::<B>(&device)?;
//! let random = Distribution::Normal(0.0, 1.0);
//! let (sample, context) = (Tensor::random([1, 4, 9, 8], random, &device), Tensor::random([1, 7, 6], random, &device));
//! let output = unet.forward(UNetInput::new(sample, 499.5, context))?;
//! assert_eq!(output.dims(), [1, 4, 9, 8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod blocks;
mod conditioning;
mod config;
mod input;
mod model;
mod names;
mod plan;
mod signals;

pub use config::{UNetConfig, UNetConfigError};
pub use input::{ClassLabels, Residuals, TextTime, UNetInput, UNetInputError};
pub use model::UNet2DConditionModel;
pub use names::{
    AdditionEmbedType, AttentionType, ClassEmbedType, DownBlockType, MidBlockType,
    TimeEmbeddingType, TimeScaleShiftType, UnknownName, UpBlockType,
};
