//! The transformer's layers.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{Activation, AttentionMask, AttentionOptions, DiffusionBackend, Epilogue, ops};
use sd_nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};

use super::{ClipConfigError, ClipTextConfig};

/// Self-attention in which a token sees those before it.
#[derive(Module, Debug)]
pub struct ClipAttention<B: Backend> {
    q_proj: Linear<B>,
    k_proj: Linear<B>,
    v_proj: Linear<B>,
    out_proj: Linear<B>,
    heads: usize,
    head_dim: usize,
}

impl<B: DiffusionBackend> ClipAttention<B> {
    /// Attends and adds the residual.
    ///
    /// # Shapes
    /// - input, residual, output: `[batch, tokens, hidden_size]`
    pub fn forward(&self, input: Tensor<B, 3>, residual: Tensor<B, 3>) -> Tensor<B, 3> {
        let query = self.q_proj.forward(input.clone());
        let key = self.k_proj.forward(input.clone());
        let value = self.v_proj.forward(input);
        let options = AttentionOptions::new(self.heads, self.head_dim).mask(AttentionMask::Causal);
        let attended = ops::attention(query, key, value, options);
        self.out_proj.forward_with(attended, Epilogue::new().residual(Some(residual)))
    }
}

/// Two linear layers with an activation between them.
#[derive(Module, Debug)]
pub struct ClipMlp<B: Backend> {
    fc1: Linear<B>,
    fc2: Linear<B>,
    activation: Activation,
}

impl<B: DiffusionBackend> ClipMlp<B> {
    /// Applies the layers and adds the residual.
    ///
    /// # Shapes
    /// - input, residual, output: `[batch, tokens, hidden_size]`
    pub fn forward(&self, input: Tensor<B, 3>, residual: Tensor<B, 3>) -> Tensor<B, 3> {
        let hidden = self.fc1.forward_with(input, Epilogue::new().activation(self.activation));
        self.fc2.forward_with(hidden, Epilogue::new().residual(Some(residual)))
    }
}

/// Norm, attention, norm, MLP.
#[derive(Module, Debug)]
pub struct ClipEncoderLayer<B: Backend> {
    layer_norm1: LayerNorm<B>,
    self_attn: ClipAttention<B>,
    layer_norm2: LayerNorm<B>,
    mlp: ClipMlp<B>,
}

impl<B: DiffusionBackend> ClipEncoderLayer<B> {
    /// Applies the layer.
    ///
    /// # Shapes
    /// - input, output: `[batch, tokens, hidden_size]`
    pub fn forward(&self, input: Tensor<B, 3>) -> Tensor<B, 3> {
        let hidden = self.self_attn.forward(self.layer_norm1.forward(input.clone()), input);
        self.mlp.forward(self.layer_norm2.forward(hidden.clone()), hidden)
    }
}

/// All layers.
#[derive(Module, Debug)]
pub struct ClipEncoder<B: Backend> {
    layers: Vec<ClipEncoderLayer<B>>,
}

impl<B: DiffusionBackend> ClipEncoder<B> {
    pub(crate) fn new(
        config: &ClipTextConfig,
        device: &B::Device,
    ) -> Result<Self, ClipConfigError> {
        let activation = config.activation()?;
        let layer = |_| layer(config, activation, device);
        Ok(Self { layers: (0..config.num_hidden_layers).map(layer).collect() })
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The embeddings, then every layer's output.
    ///
    /// # Shapes
    /// - embeddings, each output: `[batch, tokens, hidden_size]`
    pub fn forward(&self, embeddings: Tensor<B, 3>) -> Vec<Tensor<B, 3>> {
        let mut states = Vec::with_capacity(self.layers.len() + 1);
        let last = self.layers.iter().fold(embeddings, |hidden, layer| {
            states.push(hidden.clone());
            layer.forward(hidden)
        });
        states.push(last);
        states
    }
}

fn layer<B: DiffusionBackend>(
    config: &ClipTextConfig,
    activation: Activation,
    device: &B::Device,
) -> ClipEncoderLayer<B> {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let heads = config.num_attention_heads;
    let linear = |input, output| LinearConfig::new(input, output).init(device);
    let norm = || LayerNormConfig { channels: width, eps: config.layer_norm_eps }.init(device);
    ClipEncoderLayer {
        layer_norm1: norm(),
        self_attn: ClipAttention {
            q_proj: linear(width, width),
            k_proj: linear(width, width),
            v_proj: linear(width, width),
            out_proj: linear(width, width),
            heads,
            head_dim: width / heads,
        },
        layer_norm2: norm(),
        mlp: ClipMlp { fc1: linear(width, inner), fc2: linear(inner, width), activation },
    }
}
