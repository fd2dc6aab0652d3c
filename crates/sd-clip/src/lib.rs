//! CLIP tokenizer and text encoders of Stable Diffusion on Burn.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod text;
pub mod tokenizer;

pub use text::{
    ClipConfigError, ClipTextConfig, ClipTextError, ClipTextModel, ClipTextOutput, EosToken,
    TextFeatures,
};
pub use tokenizer::{ClipTokenizer, Encoded, TokenizerError};
