//! The embedding of class labels.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{DiffusionBackend, Epilogue};
use sd_nn::{
    Embedding, EmbeddingConfig, Linear, LinearConfig, TimestepEmbedding, TimestepEmbeddingConfig,
};

/// Configuration of a [`ClassEmbedding`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ClassEmbeddingConfig {
    Table(EmbeddingConfig),
    Mlp(TimestepEmbeddingConfig),
    Linear(LinearConfig),
}

/// Embeds class labels to the width of the time embedding.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a model has one")]
pub(crate) enum ClassEmbedding<B: Backend> {
    Table(Embedding<B>),
    Mlp(TimestepEmbedding<B>),
    Linear(Linear<B>),
}

impl ClassEmbeddingConfig {
    /// An embedding with weights that are drawn at their first use.
    pub(crate) fn init<B: DiffusionBackend>(&self, device: &B::Device) -> ClassEmbedding<B> {
        match self {
            Self::Table(config) => ClassEmbedding::Table(config.init(device)),
            Self::Mlp(config) => ClassEmbedding::Mlp(config.init(device)),
            Self::Linear(config) => ClassEmbedding::Linear(config.init(device)),
        }
    }
}

impl<B: DiffusionBackend> ClassEmbedding<B> {
    /// Adds the labels' embedding. Entries of a table have been looked up already: that is no operation of a
    /// [`DiffusionBackend`], so it happens outside of the captured part.
    ///
    /// # Shapes
    /// - labels: `[batch, in]`
    /// - time, output: `[batch, out]`
    pub(crate) fn add(&self, labels: Tensor<B, 2>, time: Tensor<B, 2>) -> Tensor<B, 2> {
        let epilogue = Epilogue::new();
        match self {
            Self::Table(_) => sd_kernels::ops::epilogue(labels, epilogue.residual(Some(time))),
            Self::Mlp(mlp) => mlp.forward(labels, None, epilogue.residual(Some(time))),
            Self::Linear(linear) => linear.forward_with(labels, epilogue.residual(Some(time))),
        }
    }
}
