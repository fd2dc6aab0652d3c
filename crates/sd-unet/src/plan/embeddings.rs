//! The embeddings of the timestep and of what goes with it.

use sd_nn::{EmbeddingConfig, LinearConfig, Sinusoidal, TimestepEmbeddingConfig};

use crate::{AdditionEmbedType, ClassEmbedType, UNetConfig, UNetConfigError};

use super::{
    AddedInput, ClassInput,
    check::{MAX_WIDTH, within},
};
use crate::conditioning::ClassEmbeddingConfig;

/// Entries of a class embedding's table are not more.
const MAX_CLASSES: usize = 1 << 20;

/// Embeddings and their inputs.
pub(super) struct Embeddings {
    pub(super) features: Sinusoidal,
    pub(super) time: TimestepEmbeddingConfig,
    pub(super) class: Option<ClassEmbeddingConfig>,
    pub(super) class_input: Option<ClassInput>,
    pub(super) add: Option<TimestepEmbeddingConfig>,
    pub(super) added: Option<AddedInput>,
}

impl Embeddings {
    /// The embeddings of a model whose first level has `channels`.
    pub(super) fn new(config: &UNetConfig, channels: usize) -> Result<Self, UNetConfigError> {
        let width = config.time_embedding_dim.unwrap_or(4 * channels);
        let width = within("time_embedding_dim", width, 1..=4 * MAX_WIDTH)?;
        let guidance = config
            .time_cond_proj_dim
            .map(|width| within("time_cond_proj_dim", width, 1..=MAX_WIDTH))
            .transpose()?;
        let mlp = |input| TimestepEmbeddingConfig {
            activation: config.act_fn,
            ..TimestepEmbeddingConfig::new(input, width)
        };
        let (class, class_input) = class_embedding(config, mlp(channels))?;
        let added = added(config)?;
        Ok(Self {
            features: sinusoidal(config, channels)?,
            time: TimestepEmbeddingConfig { condition: guidance, ..mlp(channels) },
            class,
            class_input,
            add: added.map(|added| TimestepEmbeddingConfig::new(added.width, width)),
            added,
        })
    }
}

/// Features of a scalar, with the frequencies of the configuration.
fn sinusoidal(config: &UNetConfig, width: usize) -> Result<Sinusoidal, UNetConfigError> {
    let (half, freq_shift) = (width / 2, config.freq_shift);
    if half > 0 && half as f32 == freq_shift as f32 {
        let expected = format!("another number than {half}, half of the features");
        return Err(UNetConfigError::OutOfRange {
            key: "freq_shift".into(),
            found: freq_shift.to_string(),
            expected,
        });
    }
    Ok(Sinusoidal { width, flip_sin_to_cos: config.flip_sin_to_cos, freq_shift })
}

/// The class embedding and its input; `time` is the MLP of the timestep.
fn class_embedding(
    config: &UNetConfig,
    time: TimestepEmbeddingConfig,
) -> Result<(Option<ClassEmbeddingConfig>, Option<ClassInput>), UNetConfigError> {
    let width = time.output;
    let Some(kind) = config.class_embed_type else {
        let Some(entries) = config.num_class_embeds else { return Ok((None, None)) };
        let entries = within("num_class_embeds", entries, 1..=MAX_CLASSES)?;
        let table = ClassEmbeddingConfig::Table(EmbeddingConfig { entries, width });
        return Ok((Some(table), Some(ClassInput::Index { entries })));
    };
    let projected = || projection_width(config, format!("`class_embed_type` {kind}"));
    let (embedding, input) = match kind {
        ClassEmbedType::Timestep => (Some(ClassEmbeddingConfig::Mlp(time)), ClassInput::Scalar),
        ClassEmbedType::Identity => (None, ClassInput::Vector { width }),
        // This one has SiLU whatever the model's activation is.
        ClassEmbedType::Projection => {
            let mlp = TimestepEmbeddingConfig::new(projected()?, width);
            (Some(ClassEmbeddingConfig::Mlp(mlp)), ClassInput::Vector { width: mlp.input })
        }
        ClassEmbedType::SimpleProjection => {
            let linear = LinearConfig::new(projected()?, width);
            (Some(ClassEmbeddingConfig::Linear(linear)), ClassInput::Vector { width: linear.input })
        }
    };
    Ok((embedding, Some(input)))
}

/// The additional input of SDXL.
fn added(config: &UNetConfig) -> Result<Option<AddedInput>, UNetConfigError> {
    let Some(kind @ AdditionEmbedType::TextTime) = config.addition_embed_type else {
        return Ok(None);
    };
    let needed_by = format!("`addition_embed_type` {kind}");
    let Some(features) = config.addition_time_embed_dim else {
        return Err(UNetConfigError::Missing { key: "addition_time_embed_dim", needed_by });
    };
    let features = within("addition_time_embed_dim", features, 1..=MAX_WIDTH)?;
    let width = projection_width(config, needed_by)?;
    Ok(Some(AddedInput { features: sinusoidal(config, features)?, width }))
}

fn projection_width(config: &UNetConfig, needed_by: String) -> Result<usize, UNetConfigError> {
    let key = "projection_class_embeddings_input_dim";
    match config.projection_class_embeddings_input_dim {
        Some(width) => within(key, width, 1..=MAX_WIDTH),
        None => Err(UNetConfigError::Missing { key, needed_by }),
    }
}
