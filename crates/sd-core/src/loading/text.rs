//! Which text encoders a model has, and what is read of them.

use std::path::Path;

use sd_clip::TextFeatures;
use sd_kernels::DiffusionBackend;

use super::TEXT_ENCODERS;
use crate::{
    Error, LoadOptions, ModelError, PipelineBuilder,
    components::{ClipEncoder, ClipPair},
    model_index::ModelIndex,
};

/// The class whose pooled vectors SDXL reads.
const WITH_PROJECTION: &str = "CLIPTextModelWithProjection";

/// Where a text encoder and its tokenizer are.
pub(super) trait Place<B: DiffusionBackend> {
    /// The directory or file, for messages.
    fn path(&self) -> &Path;

    /// Loads both.
    fn load(&self, options: &LoadOptions<B>) -> Result<ClipEncoder<B>, Error>;
}

/// The text encoders of a model, before anything is loaded.
#[derive(Debug, Clone)]
pub(super) enum TextEncoders<P> {
    /// SD 1.x and 2.x.
    Last(P),
    /// SDXL's refiner.
    Penultimate(P),
    /// SDXL.
    Pair(P, P),
}

impl<P> TextEncoders<P> {
    /// Those that an index names; `place` finds one by its name and its tokenizer's, of one of these classes.
    ///
    /// # Errors
    /// When one is missing, or of another class.
    pub(super) fn of(
        index: &ModelIndex,
        place: impl Fn([&'static str; 2], &[&'static str]) -> Result<P, Error>,
    ) -> Result<Self, Error> {
        let first = |classes| place(["text_encoder", "tokenizer"], classes);
        let second = || place(["text_encoder_2", "tokenizer_2"], &[WITH_PROJECTION]);
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
    ) -> Result<PipelineBuilder<B>, Error>
    where
        P: Place<B>,
    {
        Ok(match self {
            Self::Last(one) => builder.text_encoder(one.load(options)?),
            Self::Penultimate(one) => builder.text_encoder(projected(one, options)?),
            Self::Pair(first, second) => {
                let first = first.load(options)?.with_features(TextFeatures::Penultimate);
                builder.text_encoder(ClipPair::new(first, projected(second, options)?)?)
            }
        })
    }
}

/// The encoder whose pooled vectors SDXL reads.
fn projected<B: DiffusionBackend>(
    place: &impl Place<B>,
    options: &LoadOptions<B>,
) -> Result<ClipEncoder<B>, Error> {
    let encoder = place.load(options)?.with_features(TextFeatures::Penultimate);
    match encoder.model().config().has_projection() {
        true => Ok(encoder),
        false => Err(ModelError::NoProjection(place.path().into()).into()),
    }
}
