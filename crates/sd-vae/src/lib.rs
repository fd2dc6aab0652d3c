//! The autoencoder of Stable Diffusion on [Burn](burn): images to latents and back.
//!
//! One type, [`AutoencoderKL`], covers 1.x, 2.x, XL and 3, as its `config.json` says. The public interface speaks
//! `[batch, channels, height, width]` with pixels in −1..1; inside, everything is channels-last and goes through the
//! operations of [`sd_kernels`].
//!
//! ```
//! use burn::tensor::{Distribution, Tensor};
//! use sd_vae::AutoencoderKLConfig;
//! type B = burn_ndarray::NdArray<f32>;
//!
//! let config = AutoencoderKLConfig {
//!     down_block_types: vec!["DownEncoderBlock2D".into(); 2],
//!     up_block_types: vec!["UpDecoderBlock2D".into(); 2],
//!     block_out_channels: vec![4, 8],
//!     norm_num_groups: 2,
//!     ..Default::default()
//! };
//! let device = Default::default();
//! let vae = config.init::<B>(&device)?;
//! let image = Tensor::random([1, 3, 16, 12], Distribution::Uniform(-1.0, 1.0), &device);
//! let latents = config.scale_latents(vae.encode(image)?.mode());
//! assert_eq!(latents.dims(), [1, 4, 8, 6]);
//! let image = vae.decode(config.unscale_latents(latents))?;
//! assert_eq!(image.dims(), [1, 3, 16, 12]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod autoencoder;
mod blocks;
mod config;
mod decoder;
mod encoder;
mod error;
mod load;
mod posterior;
mod scaling;
mod tiling;

pub use autoencoder::AutoencoderKL;
pub use blocks::{DownEncoderBlock2D, UNetMidBlock2D, UpDecoderBlock2D};
pub use config::{AutoencoderKLConfig, VaeConfigError};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::VaeError;
pub use posterior::DiagonalGaussian;
