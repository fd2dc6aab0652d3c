//! Normalisation layers.

use burn::{
    module::{Module, Param},
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{
    Activation, Affine, ConvInput, DiffusionBackend, GroupNormOptions, LayerNormOptions,
    Modulation, ops,
};

use crate::param;

/// Configuration of [`GroupNorm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNormConfig {
    /// Number of groups; divides the channels.
    pub groups: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Added to the variance. No default: diffusers uses both 1e-5 and 1e-6.
    pub eps: f64,
}

/// Group norm over `[batch, height, width, channels]` (<https://arxiv.org/abs/1803.08494>), statistics in f32.
#[derive(Module, Debug)]
pub struct GroupNorm<B: Backend> {
    /// `[channels]`.
    pub weight: Param<Tensor<B, 1>>,
    /// `[channels]`.
    pub bias: Param<Tensor<B, 1>>,
    groups: usize,
    eps: f64,
}

impl GroupNormConfig {
    /// A layer with weight 1 and bias 0.
    pub fn init<B: Backend>(&self, device: &B::Device) -> GroupNorm<B> {
        GroupNorm {
            weight: param::constant(self.channels, 1.0, device),
            bias: param::constant(self.channels, 0.0, device),
            groups: self.groups,
            eps: self.eps,
        }
    }
}

impl<B: DiffusionBackend> GroupNorm<B> {
    /// Normalises.
    ///
    /// # Shapes
    /// - input, output: `[batch, height, width, channels]`
    pub fn forward(&self, input: impl Into<ConvInput<B>>) -> Tensor<B, 4> {
        self.forward_with(input, None, None)
    }

    /// Normalises, modulates and activates.
    ///
    /// # Shapes
    /// - input, output: `[batch, height, width, channels]`
    pub fn forward_with(
        &self,
        input: impl Into<ConvInput<B>>,
        modulation: Option<Modulation<B>>,
        activation: Option<Activation>,
    ) -> Tensor<B, 4> {
        let affine = Affine { weight: self.weight.val(), bias: self.bias.val() };
        let options = GroupNormOptions {
            groups: self.groups,
            eps: self.eps,
            affine: Some(affine),
            modulation,
            activation,
        };
        ops::group_norm(input, options)
    }
}

/// Configuration of [`LayerNorm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNormConfig {
    /// Channels of the input.
    pub channels: usize,
    /// Added to the variance. Default: 1e-5.
    pub eps: f64,
}

/// Layer norm over the channels (<https://arxiv.org/abs/1607.06450>), statistics in f32.
#[derive(Module, Debug)]
pub struct LayerNorm<B: Backend> {
    /// `[channels]`.
    pub weight: Param<Tensor<B, 1>>,
    /// `[channels]`.
    pub bias: Param<Tensor<B, 1>>,
    eps: f64,
}

impl LayerNormConfig {
    /// A norm over `channels` with PyTorch's eps.
    pub const fn new(channels: usize) -> Self {
        Self { channels, eps: 1e-5 }
    }

    /// A layer with weight 1 and bias 0.
    pub fn init<B: Backend>(&self, device: &B::Device) -> LayerNorm<B> {
        LayerNorm {
            weight: param::constant(self.channels, 1.0, device),
            bias: param::constant(self.channels, 0.0, device),
            eps: self.eps,
        }
    }
}

impl<B: DiffusionBackend> LayerNorm<B> {
    /// Normalises.
    ///
    /// # Shapes
    /// - input, output: `[batch, .., channels]`
    pub fn forward<const D: usize>(&self, input: Tensor<B, D>) -> Tensor<B, D> {
        let affine = Affine { weight: self.weight.val(), bias: self.bias.val() };
        let options = LayerNormOptions { eps: self.eps, affine: Some(affine), modulation: None };
        ops::layer_norm(input, options)
    }
}
