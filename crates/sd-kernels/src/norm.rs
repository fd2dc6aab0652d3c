//! Options of normalisations.

use burn::tensor::{Tensor, backend::Backend};

use crate::{Activation, Channels};

/// Scale and shift per channel.
#[derive(Debug, Clone)]
pub struct Affine<B: Backend> {
    /// `[channels]`.
    pub weight: Tensor<B, 1>,
    /// `[channels]`.
    pub bias: Tensor<B, 1>,
}

/// Scale and shift per sample and channel, after the affine: `y · (1 + scale) + shift`.
#[derive(Debug, Clone)]
pub struct Modulation<B: Backend> {
    /// Added to 1 and multiplied with.
    pub scale: Channels<B>,
    /// Added.
    pub shift: Channels<B>,
}

/// Options of a group norm.
#[derive(Debug, Clone)]
pub struct GroupNormOptions<B: Backend> {
    /// Number of groups; divides the channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Scale and shift per channel.
    pub affine: Option<Affine<B>>,
    /// Scale and shift per sample and channel.
    pub modulation: Option<Modulation<B>>,
    /// Applied last.
    pub activation: Option<Activation>,
}

/// Options of a layer norm over the channels.
#[derive(Debug, Clone)]
pub struct LayerNormOptions<B: Backend> {
    /// Added to the variance.
    pub eps: f64,
    /// Scale and shift per channel.
    pub affine: Option<Affine<B>>,
    /// Scale and shift per sample and channel.
    pub modulation: Option<Modulation<B>>,
}

/// The gradients of a normalisation.
#[derive(Debug, Clone)]
pub struct NormGradients<B: Backend, const D: usize> {
    /// Of the shape of the input.
    pub input: Tensor<B, D>,
    /// Of the scale and shift per channel, where there are any.
    pub affine: Option<Affine<B>>,
}
