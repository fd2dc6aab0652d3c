//! The whole text model.

use burn::{
    module::Module,
    tensor::{DType, Int, Tensor, TensorData, backend::Backend},
};
use sd_kernels::DiffusionBackend;
use sd_nn::{
    LayerNorm, LayerNormConfig, Linear, LinearConfig,
    checkpoint::{CheckpointError, LoadOptions, LoadReport, WeightSource, load_module, tables},
};

use super::{
    ClipConfigError, ClipEncoder, ClipTextConfig, ClipTextEmbeddings, ClipTextError,
    ClipTextOutput, EosToken, TextFeatures, ids::CheckedIds,
};

/// CLIP's text transformer.
#[derive(Module, Debug)]
pub struct ClipTextTransformer<B: Backend> {
    /// Vectors of tokens and positions.
    pub embeddings: ClipTextEmbeddings<B>,
    encoder: ClipEncoder<B>,
    final_layer_norm: LayerNorm<B>,
}

/// CLIP's text model (<https://arxiv.org/abs/2103.00020>; transformers' `CLIPTextModel` and
/// `CLIPTextModelWithProjection`).
#[derive(Module, Debug)]
pub struct ClipTextModel<B: Backend> {
    /// The transformer.
    pub text_model: ClipTextTransformer<B>,
    text_projection: Option<Linear<B>>,
    config: ClipTextConfig,
}

impl ClipTextConfig {
    /// A model with weights that are drawn at their first use.
    ///
    /// # Errors
    /// [`ClipConfigError`], which names the key.
    pub fn init<B: DiffusionBackend>(
        &self,
        device: &B::Device,
    ) -> Result<ClipTextModel<B>, ClipConfigError> {
        self.validate()?;
        let width = self.hidden_size;
        let norm = LayerNormConfig { channels: width, eps: self.layer_norm_eps };
        let projection = self.projection_dim.filter(|_| self.has_projection());
        let linear = |dim| LinearConfig::new(width, dim).without_bias().init(device);
        Ok(ClipTextModel {
            text_model: ClipTextTransformer {
                embeddings: ClipTextEmbeddings::new(self, device),
                encoder: ClipEncoder::new(self, device)?,
                final_layer_norm: norm.init(device),
            },
            text_projection: projection.map(linear),
            config: self.clone(),
        })
    }
}

impl<B: Backend> ClipTextModel<B> {
    /// What the model was built from.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Number of token ids that have an embedding, those added included.
    pub fn vocabulary(&self) -> usize {
        self.text_model.embeddings.token_embedding.entries()
    }

    /// The token embedding, `[entries, hidden_size]`.
    pub fn token_embedding(&self) -> Tensor<B, 2> {
        self.text_model.embeddings.token_embedding.weight.dense()
    }
}

impl<B: DiffusionBackend> ClipTextModel<B> {
    /// Takes all weights from a source, with or without `text_model.` before their names.
    ///
    /// # Errors
    /// [`CheckpointError`]: what is missing, has another shape or cannot be read.
    pub fn load(
        self,
        source: &dyn WeightSource,
        dtype: DType,
    ) -> Result<(Self, LoadReport), CheckpointError> {
        let options = LoadOptions::new(dtype).table(tables::clip_text(source));
        load_module::<B, _>(self, source, &options)
    }

    /// Puts another table in the place of the token embedding; more entries are more ids (textual inversion).
    ///
    /// # Shapes
    /// - table: `[entries, hidden_size]`
    ///
    /// # Errors
    /// [`ClipTextError::EmbeddingShape`] when the width is another, or there is no entry.
    pub fn set_token_embedding(&mut self, table: Tensor<B, 2>) -> Result<(), ClipTextError> {
        self.text_model.embeddings.replace_tokens(table)
    }

    /// Encodes prompts of one length. Padding is read like any other token, as in Stable Diffusion.
    ///
    /// `eos` says where each prompt is pooled: the tokenizer's EOS id, or
    /// [`FromConfig`](EosToken::FromConfig) for what transformers does.
    ///
    /// # Errors
    /// [`ClipTextError`] for no or too many tokens, prompts of different lengths, ids without an embedding and prompts
    /// without EOS.
    pub fn forward<R: AsRef<[u32]>>(
        &self,
        prompts: &[R],
        eos: EosToken,
    ) -> Result<ClipTextOutput<B>, ClipTextError> {
        let CheckedIds { ids, shape: [batch, tokens], eos } =
            CheckedIds::new(prompts, eos, &self.config, self.vocabulary())?;
        let device = self.token_embedding().device();
        let ids = Tensor::<B, 2, Int>::from_data(
            TensorData::new(ids, [batch, tokens]),
            (&device, DType::I32),
        );
        let eos =
            Tensor::<B, 1, Int>::from_data(TensorData::new(eos, [batch]), (&device, DType::I32));

        let hidden_states =
            self.text_model.encoder.forward(self.text_model.embeddings.forward(ids));
        let last = hidden_states[hidden_states.len() - 1].clone();
        let last_hidden_state = self.text_model.final_layer_norm.forward(last);
        let [.., width] = last_hidden_state.dims();
        let pooled = last_hidden_state.clone().reshape([batch * tokens, width]).select(0, eos);
        let text_embeds =
            self.text_projection.as_ref().map(|projection| projection.forward(pooled.clone()));
        Ok(ClipTextOutput { hidden_states, last_hidden_state, pooled, text_embeds })
    }

    /// The features that condition a denoiser. `clip_skip` counts layers left out, as in diffusers: `None` and 0 leave out
    /// none, and 1 is what other programs call "clip skip 2".
    ///
    /// # Shapes
    /// - output: `[prompts, tokens, hidden_size]`
    ///
    /// # Errors
    /// [`ClipTextError::ClipSkip`] when no hidden state is left.
    pub fn features(
        &self,
        output: &ClipTextOutput<B>,
        features: TextFeatures,
        clip_skip: Option<usize>,
    ) -> Result<Tensor<B, 3>, ClipTextError> {
        match (features, clip_skip) {
            (TextFeatures::Penultimate, _) => output.skipped(clip_skip, 1),
            (TextFeatures::LastNormalized, None | Some(0)) => Ok(output.last_hidden_state.clone()),
            (TextFeatures::LastNormalized, _) => {
                let state = output.skipped(clip_skip, 0)?;
                Ok(self.text_model.final_layer_norm.forward(state))
            }
        }
    }
}

sd_nn::impl_parameters!(ClipTextModel);
