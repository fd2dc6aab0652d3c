//! What a text model says about prompts.

use burn::tensor::{Tensor, backend::Backend};

use super::ClipTextError;

/// Every layer's view of the prompts, in the dtype of the model's weights.
#[derive(Debug, Clone)]
pub struct ClipTextOutput<B: Backend> {
    /// `[prompts, tokens, hidden_size]` each: the embeddings first, the last layer's output (before the final norm) last.
    pub hidden_states: Vec<Tensor<B, 3>>,
    /// `[prompts, tokens, hidden_size]`: the last layer's output through the final norm.
    pub last_hidden_state: Tensor<B, 3>,
    /// `[prompts, hidden_size]`: the last hidden state of each prompt's EOS token.
    pub pooled: Tensor<B, 2>,
    /// `[prompts, projection_dim]`: the same through `text_projection`, if the model has one.
    pub text_embeds: Option<Tensor<B, 2>>,
}

/// Which hidden states a denoiser was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TextFeatures {
    /// The last layer's, through the final norm: 1.x and 2.x.
    #[default]
    LastNormalized,
    /// The last but one layer's, as they are: XL and 3.
    Penultimate,
}

impl<B: Backend> ClipTextOutput<B> {
    /// The hidden state `skipped` layers before the last.
    pub(crate) fn state(&self, skipped: usize) -> Option<Tensor<B, 3>> {
        let index = self.hidden_states.len().checked_sub(skipped.checked_add(1)?)?;
        self.hidden_states.get(index).cloned()
    }

    /// The hidden state `clip_skip` layers before that of `offset` layers before the last.
    pub(crate) fn skipped(
        &self,
        clip_skip: Option<usize>,
        offset: usize,
    ) -> Result<Tensor<B, 3>, ClipTextError> {
        let found = clip_skip.unwrap_or(0);
        let max = self.hidden_states.len().saturating_sub(1 + offset);
        let state = found.checked_add(offset).and_then(|skipped| self.state(skipped));
        state.ok_or(ClipTextError::ClipSkip { max, found })
    }
}
