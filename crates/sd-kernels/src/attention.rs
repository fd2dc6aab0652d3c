//! Inputs and options of attention.

use burn::tensor::{Tensor, backend::Backend};

/// Queries, keys or values as a strided view of a projection's output: head `h` of a token is the columns
/// `offset + h · head_dim ..` of its row. Three views of one fused projection cost nothing.
#[derive(Debug, Clone)]
pub struct Heads<B: Backend> {
    /// `[batch, tokens, width]`.
    pub projection: Tensor<B, 3>,
    /// First column of the first head.
    pub offset: usize,
}

impl<B: Backend> From<Tensor<B, 3>> for Heads<B> {
    fn from(projection: Tensor<B, 3>) -> Self {
        Self { projection, offset: 0 }
    }
}

/// What a query may look at.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum AttentionMask<B: Backend> {
    /// Everything.
    #[default]
    None,
    /// Keys at or before the query's own position.
    Causal,
    /// Added to the scores: `[batch or 1, heads or 1, queries or 1, keys]`.
    Additive(Tensor<B, 4>),
}

/// Options of attention.
#[derive(Debug, Clone)]
pub struct AttentionOptions<B: Backend> {
    /// Number of heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Multiplies the scores. Default: `1/√head_dim`.
    pub scale: Option<f64>,
    /// What a query may look at.
    pub mask: AttentionMask<B>,
}

impl<B: Backend> AttentionOptions<B> {
    /// Plain attention over `heads` heads of `head_dim`.
    pub fn new(heads: usize, head_dim: usize) -> Self {
        Self { heads, head_dim, scale: None, mask: AttentionMask::None }
    }

    /// Sets the mask.
    pub fn mask(mut self, mask: AttentionMask<B>) -> Self {
        self.mask = mask;
        self
    }

    /// Factor of the scores.
    pub fn scale_or_default(&self) -> f64 {
        self.scale.unwrap_or_else(|| 1.0 / (self.head_dim as f64).sqrt())
    }
}
