//! What a U-Net is called with.

mod check;
mod error;
mod prepare;

use burn::tensor::{Tensor, backend::Backend};

pub use error::UNetInputError;
pub(crate) use prepare::prepare;

/// The input of [`UNet2DConditionModel::forward`](crate::UNet2DConditionModel::forward). Tensors may be of any float
/// dtype; the model casts them to its own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UNetInput<B: Backend> {
    /// The noisy latents, scaled as the sampler asks: `[batch, in_channels, height, width]`, any size.
    pub sample: Tensor<B, 4>,
    /// One timestep for all samples or one for each, from 0 to the number of training steps, fractional or not.
    pub timesteps: Vec<f64>,
    /// What the text encoder made of the prompt: `[batch, keys, cross_attention_dim]`. A model without cross-attention
    /// takes any.
    pub context: Tensor<B, 3>,
    /// Which keys of the context are attended to, 1 or 0 each: `[batch, keys]`.
    pub context_mask: Option<Tensor<B, 2>>,
    /// Class labels; a model with a class embedding needs them.
    pub class_labels: Option<ClassLabels<B>>,
    /// Pooled text and size scalars; a model with `addition_embed_type: text_time` (SDXL) needs them.
    pub added: Option<TextTime<B>>,
    /// Embedding of the guidance scale for a model with `time_cond_proj_dim` (LCM): `[batch, time_cond_proj_dim]`.
    pub guidance_condition: Option<Tensor<B, 2>>,
    /// Additions from a ControlNet.
    pub residuals: Option<Residuals<B>>,
}

/// Class labels, in the form that `class_embed_type` asks for.
#[derive(Debug, Clone)]
pub enum ClassLabels<B: Backend> {
    /// Entries of the table (`num_class_embeds`), one for each sample.
    Indices(Vec<usize>),
    /// Scalars (`timestep`), one for each sample.
    Scalars(Vec<f64>),
    /// Vectors (`identity`, `projection`, `simple_projection`): `[batch, width]`.
    Vectors(Tensor<B, 2>),
}

/// The additional input of SDXL.
#[derive(Debug, Clone)]
pub struct TextTime<B: Backend> {
    /// Pooled text embedding, `[batch, width]`.
    pub text_embeds: Tensor<B, 2>,
    /// Size scalars (original size, crop, target size or aesthetic score), one row for all samples or one for each.
    pub time_ids: Vec<Vec<f64>>,
}

/// Additions to a U-Net's skips and middle, as a ControlNet makes them, in `[batch, channels, height, width]`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Residuals<B: Backend> {
    /// Of the skips' shapes and in their order, that of the first convolution first.
    pub down: Vec<Tensor<B, 4>>,
    /// Of the shape of the middle's output.
    pub mid: Option<Tensor<B, 4>>,
}

impl<B: Backend> Residuals<B> {
    /// Additions to the skips and to the middle's output.
    pub fn new(down: Vec<Tensor<B, 4>>, mid: Option<Tensor<B, 4>>) -> Self {
        Self { down, mid }
    }
}

impl<B: Backend> UNetInput<B> {
    /// Latents `[batch, in_channels, height, width]` at one timestep, and a context `[batch, keys, cross_attention_dim]`.
    pub fn new(sample: Tensor<B, 4>, timestep: f64, context: Tensor<B, 3>) -> Self {
        Self {
            sample,
            timesteps: vec![timestep],
            context,
            context_mask: None,
            class_labels: None,
            added: None,
            guidance_condition: None,
            residuals: None,
        }
    }
}
