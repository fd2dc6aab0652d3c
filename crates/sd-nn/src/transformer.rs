//! The spatial transformer of the U-Net.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{AttentionMask, DiffusionBackend, Epilogue};

use crate::{
    Attention, AttentionConfig, Conv2d, Conv2dConfig, FeedForward, FeedForwardConfig, GroupNorm,
    GroupNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig,
};

/// Configuration of [`Transformer2D`] (diffusers' `models/transformers/transformer_2d.py`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transformer2DConfig {
    /// Channels of the image.
    pub channels: usize,
    /// Number of heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Width of the context; `None` leaves the second attention of each block to the tokens themselves.
    pub context_dim: Option<usize>,
    /// Groups of the norm in front, whose eps is always 1e-6.
    pub groups: usize,
    /// Whether tokens are projected by linear layers rather than by 1×1 convolutions. The same mathematics, but other
    /// shapes in the file.
    pub linear_projection: bool,
    /// Whether the first attention looks at the context as well.
    pub only_cross_attention: bool,
}

/// Self-attention, cross-attention and feed-forward, each behind a norm and around a residual.
#[derive(Module, Debug)]
pub struct BasicTransformerBlock<B: Backend> {
    norm1: LayerNorm<B>,
    attn1: Attention<B>,
    norm2: LayerNorm<B>,
    attn2: Attention<B>,
    norm3: LayerNorm<B>,
    ff: FeedForward<B>,
    only_cross_attention: bool,
}

/// A projection into or out of the tokens.
#[derive(Module, Debug)]
enum Projection<B: Backend> {
    Linear(Linear<B>),
    Conv(Conv2d<B>),
}

/// A stack of transformer blocks over the pixels of an image, around a residual.
#[derive(Module, Debug)]
pub struct Transformer2D<B: Backend> {
    norm: GroupNorm<B>,
    proj_in: Projection<B>,
    transformer_blocks: Vec<BasicTransformerBlock<B>>,
    proj_out: Projection<B>,
}

impl Transformer2DConfig {
    /// One block of the stack, with weights that are drawn at their first use.
    pub fn init_block<B: DiffusionBackend>(&self, device: &B::Device) -> BasicTransformerBlock<B> {
        let inner = self.heads * self.head_dim;
        let attention = |context: Option<usize>| {
            AttentionConfig::new(inner, self.heads, self.head_dim)
                .context_dim(context.unwrap_or(inner))
                .init(device)
        };
        let norm = || LayerNormConfig::new(inner).init(device);
        BasicTransformerBlock {
            norm1: norm(),
            attn1: attention(self.context_dim.filter(|_| self.only_cross_attention)),
            norm2: norm(),
            attn2: attention(self.context_dim),
            norm3: norm(),
            ff: FeedForwardConfig::geglu(inner).init(device),
            only_cross_attention: self.only_cross_attention,
        }
    }

    /// A stack with weights that are drawn at their first use.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> Transformer2D<B> {
        let inner = self.heads * self.head_dim;
        let projection = |input, output| match self.linear_projection {
            true => Projection::Linear(LinearConfig::new(input, output).init(device)),
            false => Projection::Conv(Conv2dConfig::new(input, output, 1).init(device)),
        };
        let norm = GroupNormConfig { groups: self.groups, channels: self.channels, eps: 1e-6 };
        Transformer2D {
            norm: norm.init(device),
            proj_in: projection(self.channels, inner),
            transformer_blocks: (0..self.layers).map(|_| self.init_block(device)).collect(),
            proj_out: projection(inner, self.channels),
        }
    }
}

impl<B: DiffusionBackend> BasicTransformerBlock<B> {
    /// Applies the block.
    ///
    /// # Shapes
    /// - tokens, output: `[batch, tokens, inner]`
    /// - context: `[batch, keys, context_dim]`
    /// - mask: over the keys of the context
    pub fn forward(
        &self,
        tokens: Tensor<B, 3>,
        context: Option<&Tensor<B, 3>>,
        mask: &AttentionMask<B>,
    ) -> Tensor<B, 3> {
        // The first attention sees all of the context, masked or not: diffusers gives the mask to the second only.
        let first = context.filter(|_| self.only_cross_attention).cloned();
        let normed = self.norm1.forward(tokens.clone());
        let tokens = self.attn1.forward(normed, first, AttentionMask::None, Some(tokens));
        let normed = self.norm2.forward(tokens.clone());
        let tokens = self.attn2.forward(normed, context.cloned(), mask.clone(), Some(tokens));
        let normed = self.norm3.forward(tokens.clone());
        self.ff.forward(normed, Some(tokens))
    }
}

impl<B: DiffusionBackend> Projection<B> {
    /// # Shapes
    /// - image, output: `[batch, height, width, channels]`
    fn forward(&self, image: Tensor<B, 4>, epilogue: Epilogue<B, 4>) -> Tensor<B, 4> {
        match self {
            Self::Linear(linear) => linear.forward_with(image, epilogue),
            Self::Conv(conv) => conv.forward_with(image, epilogue),
        }
    }
}

impl<B: DiffusionBackend> Transformer2D<B> {
    /// Applies the stack.
    ///
    /// # Shapes
    /// - image, output: `[batch, height, width, channels]`
    /// - context: `[batch, keys, context_dim]`
    /// - mask: over the keys of the context
    pub fn forward(
        &self,
        image: Tensor<B, 4>,
        context: Option<&Tensor<B, 3>>,
        mask: &AttentionMask<B>,
    ) -> Tensor<B, 4> {
        let normed = self.norm.forward(image.clone());
        let projected = self.proj_in.forward(normed, Epilogue::new());
        let shape @ [batch, height, width, inner] = projected.dims();
        let tokens = projected.reshape([batch, height * width, inner]);
        let tokens = self
            .transformer_blocks
            .iter()
            .fold(tokens, |tokens, block| block.forward(tokens, context, mask));
        self.proj_out.forward(tokens.reshape(shape), Epilogue::new().residual(Some(image)))
    }
}
