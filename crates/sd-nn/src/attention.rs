//! The attention layer that U-Net and autoencoder share.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{AttentionMask, AttentionOptions, DiffusionBackend, Epilogue, ops};

use crate::{GroupNorm, GroupNormConfig, Linear, LinearConfig};

/// Configuration of [`Attention`] (diffusers' `models/attention_processor.py`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionConfig {
    /// Width of the queries' input and of the output.
    pub query_dim: usize,
    /// Width of the keys' and values' input; `query_dim` for self-attention.
    pub context_dim: usize,
    /// Number of heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Groups and eps of a group norm in front (the autoencoder's).
    pub group_norm: Option<(usize, f64)>,
}

/// Multi-head attention.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    group_norm: Option<GroupNorm<B>>,
    to_q: Linear<B>,
    to_k: Linear<B>,
    to_v: Linear<B>,
    /// The projection; diffusers' index 1 is a dropout.
    to_out: [Linear<B>; 1],
    heads: usize,
    head_dim: usize,
}

impl AttentionConfig {
    /// Self-attention without biases, as the U-Net's transformers have it.
    pub const fn new(query_dim: usize, heads: usize, head_dim: usize) -> Self {
        let context_dim = query_dim;
        Self { query_dim, context_dim, heads, head_dim, qkv_bias: false, group_norm: None }
    }

    /// Sets the width of the context.
    pub const fn context_dim(mut self, context_dim: usize) -> Self {
        self.context_dim = context_dim;
        self
    }

    /// A layer with weights that are drawn at their first use.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> Attention<B> {
        let inner = self.heads * self.head_dim;
        let projection = |input| {
            let config = LinearConfig::new(input, inner);
            let config = if self.qkv_bias { config } else { config.without_bias() };
            config.init(device)
        };
        Attention {
            group_norm: self.group_norm.map(|(groups, eps)| {
                GroupNormConfig { groups, channels: self.query_dim, eps }.init(device)
            }),
            to_q: projection(self.query_dim),
            to_k: projection(self.context_dim),
            to_v: projection(self.context_dim),
            to_out: [LinearConfig::new(inner, self.query_dim).init(device)],
            heads: self.heads,
            head_dim: self.head_dim,
        }
    }
}

impl<B: DiffusionBackend> Attention<B> {
    /// Attends from `input` to `context`, or to itself, and adds the residual.
    ///
    /// # Shapes
    /// - input: `[batch, tokens, query_dim]`
    /// - context: `[batch, keys, context_dim]`
    /// - residual, output: `[batch, tokens, query_dim]`
    pub fn forward(
        &self,
        input: Tensor<B, 3>,
        context: Option<Tensor<B, 3>>,
        mask: AttentionMask<B>,
        residual: Option<Tensor<B, 3>>,
    ) -> Tensor<B, 3> {
        let context = context.unwrap_or_else(|| input.clone());
        let query = self.to_q.forward(input);
        let key = self.to_k.forward(context.clone());
        let value = self.to_v.forward(context);
        let options = AttentionOptions::new(self.heads, self.head_dim).mask(mask);
        let attended = ops::attention(query, key, value, options);
        self.to_out[0].forward_with(attended, Epilogue::new().residual(residual))
    }

    /// Norm, self-attention over all pixels, plus the image: the autoencoder's use.
    ///
    /// # Shapes
    /// - image, output: `[batch, height, width, query_dim]`
    pub fn forward_image(&self, image: Tensor<B, 4>) -> Tensor<B, 4> {
        let shape @ [batch, height, width, channels] = image.dims();
        let tokens = [batch, height * width, channels];
        let normed = match &self.group_norm {
            Some(norm) => norm.forward(image.clone()),
            None => image.clone(),
        };
        let residual = Some(image.reshape(tokens));
        self.forward(normed.reshape(tokens), None, AttentionMask::None, residual).reshape(shape)
    }
}
