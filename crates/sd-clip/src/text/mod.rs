//! CLIP's text model: L/14 of OpenAI, H and bigG of OpenCLIP, as their `config.json` says.

mod config;
mod embeddings;
mod encoder;
mod error;
mod ids;
mod model;
mod output;

pub use config::{ClipConfigError, ClipTextConfig};
pub use embeddings::ClipTextEmbeddings;
pub use encoder::{ClipAttention, ClipEncoder, ClipEncoderLayer, ClipMlp};
pub use error::ClipTextError;
pub use ids::EosToken;
pub use model::{ClipTextModel, ClipTextTransformer};
pub use output::{ClipTextOutput, TextFeatures};
