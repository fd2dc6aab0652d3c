//! Embedding tables.

use burn::{
    module::Module,
    tensor::{Distribution, Int, Tensor, backend::Backend},
};
use sd_kernels::{DiffusionBackend, WeightRole};

use crate::WeightParam;

/// Configuration of [`Embedding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddingConfig {
    /// Number of entries.
    pub entries: usize,
    /// Width of an entry.
    pub width: usize,
}

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding<B: Backend> {
    /// `[entries, width]`.
    pub weight: WeightParam<B, 2>,
}

impl EmbeddingConfig {
    /// A table drawn from the normal distribution, as PyTorch does it.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> Embedding<B> {
        let normal = Distribution::Normal(0.0, 1.0);
        let shape = [self.entries, self.width];
        Embedding { weight: WeightParam::lazy(shape, normal, WeightRole::Embedding, device) }
    }
}

impl<B: Backend> Embedding<B> {
    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Looks entries up.
    ///
    /// # Shapes
    /// - indices: `[batch, tokens]`, each below [`entries`](Self::entries)
    /// - output: `[batch, tokens, width]`
    pub fn forward(&self, indices: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let [batch, tokens] = indices.dims();
        let table = self.weight.dense();
        let width = table.dims()[1];
        table.select(0, indices.reshape([batch * tokens])).reshape([batch, tokens, width])
    }
}
