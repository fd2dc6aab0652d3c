//! The feed-forward part of a transformer block.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{Activation, DiffusionBackend, Epilogue, Gate};

use crate::{Linear, LinearConfig};

/// Configuration of [`FeedForward`] (diffusers' `models/attention.py`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeedForwardConfig {
    /// Width of input and output.
    pub width: usize,
    /// Width of the hidden layer as a multiple of `width`. Default: 4.
    pub multiple: usize,
    /// Activation of the hidden layer, or of its gates.
    pub activation: Activation,
    /// Whether the hidden layer is gated (GEGLU, <https://arxiv.org/abs/2002.05202>).
    pub gate: Gate,
}

/// The projection of a [`FeedForward`] with its activation.
#[derive(Module, Debug)]
pub struct ActivatedLinear<B: Backend> {
    proj: Linear<B>,
    activation: Activation,
    gate: Gate,
}

/// Two linear layers with an activation between them.
#[derive(Module, Debug)]
pub struct FeedForward<B: Backend> {
    /// Projection, dropout probability (unused outside training, but it has an index of its own), projection.
    net: (ActivatedLinear<B>, f64, Linear<B>),
}

impl FeedForwardConfig {
    /// GEGLU, as the U-Net's transformers have it.
    pub const fn geglu(width: usize) -> Self {
        Self { width, multiple: 4, activation: Activation::Gelu, gate: Gate::Pair }
    }

    /// A layer with weights that are drawn at their first use.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> FeedForward<B> {
        let hidden = self.width * self.multiple;
        let projected = match self.gate {
            Gate::Pair => 2 * hidden,
            _ => hidden,
        };
        let activated = ActivatedLinear {
            proj: LinearConfig::new(self.width, projected).init(device),
            activation: self.activation,
            gate: self.gate,
        };
        FeedForward { net: (activated, 0.0, LinearConfig::new(hidden, self.width).init(device)) }
    }
}

impl<B: DiffusionBackend> FeedForward<B> {
    /// Applies both layers and adds the residual.
    ///
    /// # Shapes
    /// - input, residual, output: `[batch, tokens, width]`
    pub fn forward(&self, input: Tensor<B, 3>, residual: Option<Tensor<B, 3>>) -> Tensor<B, 3> {
        let (activated, _, output) = &self.net;
        let epilogue = match activated.gate {
            Gate::Pair => Epilogue::new().gated(activated.activation),
            _ => Epilogue::new().activation(activated.activation),
        };
        let hidden = activated.proj.forward_with(input, epilogue);
        output.forward_with(hidden, Epilogue::new().residual(residual))
    }
}
