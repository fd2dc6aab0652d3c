//! What a text model refuses.

use thiserror::Error;

/// An input that the text model cannot take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClipTextError {
    /// No prompt, or one without a token.
    #[error("no token ids, expected at least one prompt of at least one token")]
    Empty,
    /// Prompts of different lengths.
    #[error("prompt {prompt} has {found} token ids, expected {expected} as the first has")]
    Ragged {
        /// Index of the prompt.
        prompt: usize,
        /// Length of the first.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// More tokens than the model has positions.
    #[error("{found} tokens, expected at most {max}")]
    TooLong {
        /// The model's positions.
        max: usize,
        /// Tokens given.
        found: usize,
    },
    /// An id without an embedding: tokenizer and model do not belong together.
    #[error("token id {id} at place {place} of prompt {prompt}, expected ids below {entries}")]
    UnknownId {
        /// Index of the prompt.
        prompt: usize,
        /// Index of the token.
        place: usize,
        /// The id.
        id: u32,
        /// Entries of the token embedding.
        entries: usize,
    },
    /// A prompt without an end, where the pooled output would be taken from.
    #[error("prompt {prompt} has no EOS token (id {eos})")]
    NoEos {
        /// Index of the prompt.
        prompt: usize,
        /// The id looked for.
        eos: u32,
    },
    /// More layers to skip than the model has.
    #[error("clip_skip {found}, expected at most {max}")]
    ClipSkip {
        /// The largest that leaves a hidden state.
        max: usize,
        /// The value given.
        found: usize,
    },
    /// A table of another width than the model's embedding, or without entries.
    #[error("a token embedding of shape {found:?}, expected [entries, {width}]")]
    EmbeddingShape {
        /// Width of the model.
        width: usize,
        /// Shape of the table.
        found: [usize; 2],
    },
}
