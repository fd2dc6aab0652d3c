//! Tokens to vectors.

use burn::{
    module::{Module, Param},
    tensor::{DType, Int, Tensor, backend::Backend},
};
use sd_kernels::{DiffusionBackend, WeightRole};
use sd_nn::{Embedding, EmbeddingConfig, WeightParam};

use super::{ClipTextConfig, ClipTextError};

/// A vector for each token and one for each position.
#[derive(Module, Debug)]
pub struct ClipTextEmbeddings<B: Backend> {
    /// `[vocab_size, hidden_size]`.
    pub token_embedding: Embedding<B>,
    /// `[max_position_embeddings, hidden_size]`.
    pub position_embedding: Embedding<B>,
}

impl<B: DiffusionBackend> ClipTextEmbeddings<B> {
    pub(crate) fn new(config: &ClipTextConfig, device: &B::Device) -> Self {
        let width = config.hidden_size;
        let table = |entries| EmbeddingConfig { entries, width }.init(device);
        Self {
            token_embedding: table(config.vocab_size),
            position_embedding: table(config.max_position_embeddings),
        }
    }

    /// Looks tokens up and adds their positions.
    ///
    /// # Shapes
    /// - ids: `[batch, tokens]`, each below the table's entries
    /// - output: `[batch, tokens, hidden_size]`
    pub fn forward(&self, ids: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let [_, tokens] = ids.dims();
        let positions = self.position_embedding.weight.dense().narrow(0, 0, tokens);
        self.token_embedding.forward(ids) + positions.unsqueeze()
    }

    /// The dtype of the tables.
    pub fn dtype(&self) -> DType {
        self.token_embedding.weight.dense().dtype()
    }

    /// Puts another table in the place of the tokens', with any number of entries.
    pub(crate) fn replace_tokens(&mut self, table: Tensor<B, 2>) -> Result<(), ClipTextError> {
        let (found, [_, width]) = (table.dims(), self.token_embedding.weight.dims());
        if found[1] != width || found[0] == 0 {
            return Err(ClipTextError::EmbeddingShape { width, found });
        }
        let param = Param::from_tensor(table.cast(self.dtype()));
        self.token_embedding.weight = WeightParam::from_param(param, WeightRole::Embedding);
        Ok(())
    }
}
