//! Text encoders of model directories.

use std::path::PathBuf;

use sd_clip::TextFeatures;
use sd_kernels::DiffusionBackend;

use super::{TEXT_ENCODERS, TOKENIZERS};
use crate::{
    Error, LoadOptions, ModelError, PipelineBuilder,
    components::{ClipEncoder, ClipPair},
    model_index::ModelIndex,
};

/// The class whose pooled vectors SDXL reads.
const WITH_PROJECTION: &str = "CLIPTextModelWithProjection";

/// The directories of a text encoder.
#[derive(Debug, Clone)]
pub(super) struct Directories {
    name: &'static str,
    tokenizer: PathBuf,
    text_encoder: PathBuf,
}

/// The text encoders of a model, before anything is loaded.
#[derive(Debug, Clone)]
pub(super) enum TextEncoders {
    /// SD 1.x and 2.x.
    Last(Directories),
    /// SDXL's refiner.
    Penultimate(Directories),
    /// SDXL.
    Pair(Directories, Directories),
}

impl TextEncoders {
    /// Those that an index names.
    ///
    /// # Errors
    /// When one is missing, or of another class.
    pub(super) fn of(index: &ModelIndex) -> Result<Self, Error> {
        let first = |classes| directories(index, "text_encoder", "tokenizer", classes);
        let second = || directories(index, "text_encoder_2", "tokenizer_2", &[WITH_PROJECTION]);
        if !index.is_xl() {
            return Ok(Self::Last(first(&TEXT_ENCODERS)?));
        }
        match (index.has("text_encoder"), index.has("text_encoder_2")) {
            (true, true) => Ok(Self::Pair(first(&TEXT_ENCODERS)?, second()?)),
            // Copies of the refiner exist in which its one encoder is the first.
            (true, false) => Ok(Self::Penultimate(first(&[WITH_PROJECTION])?)),
            (false, _) => Ok(Self::Penultimate(second()?)),
        }
    }

    /// Loads them into a pipeline.
    pub(super) fn load<B: DiffusionBackend>(
        &self,
        options: &LoadOptions<B>,
        builder: PipelineBuilder<B>,
    ) -> Result<PipelineBuilder<B>, Error> {
        Ok(match self {
            Self::Last(one) => builder.text_encoder(one.load(options)?),
            Self::Penultimate(one) => builder.text_encoder(one.load_projected(options)?),
            Self::Pair(first, second) => {
                let first = first.load(options)?.with_features(TextFeatures::Penultimate);
                builder.text_encoder(ClipPair::new(first, second.load_projected(options)?)?)
            }
        })
    }
}

fn directories(
    index: &ModelIndex,
    name: &'static str,
    tokenizer: &'static str,
    classes: &[&'static str],
) -> Result<Directories, Error> {
    Ok(Directories {
        name,
        tokenizer: index.component(tokenizer, &TOKENIZERS)?,
        text_encoder: index.component(name, classes)?,
    })
}

impl Directories {
    fn load<B: DiffusionBackend>(&self, options: &LoadOptions<B>) -> Result<ClipEncoder<B>, Error> {
        let (precision, variant) = (options.dtypes.text, options.variant.as_deref());
        let (tokenizer, text_encoder) = (&self.tokenizer, &self.text_encoder);
        let encoder =
            ClipEncoder::load(tokenizer, text_encoder, &options.device, precision, variant)?;
        Ok(encoder.with_name(self.name))
    }

    /// The encoder whose pooled vectors SDXL reads.
    fn load_projected<B: DiffusionBackend>(
        &self,
        options: &LoadOptions<B>,
    ) -> Result<ClipEncoder<B>, Error> {
        let encoder = self.load(options)?.with_features(TextFeatures::Penultimate);
        match encoder.model().config().has_projection() {
            true => Ok(encoder),
            false => Err(ModelError::NoProjection(self.text_encoder.clone()).into()),
        }
    }
}
