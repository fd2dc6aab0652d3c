//! From a model directory or a single file to a pipeline.

mod autoencoder;
mod directory;
mod other_text_encoder;
mod scheduler;
mod single_file;
mod text;
mod vocabulary;

use std::{path::Path, sync::Arc};

use sd_kernels::DiffusionBackend;
use sd_schedulers::Scheduler;

use crate::{
    Error, LoadOptions, Pipeline, PipelineConfig,
    components::{UNetDenoiser, VaeCodec},
    model_index::ModelIndex,
};

pub(crate) use scheduler::{corrected_scheduler, scheduler};
pub(crate) use single_file::check as check_single_file;
#[cfg(feature = "hub")]
pub(crate) use vocabulary::VOCABULARIES;

/// Classes of text encoders that this crate runs.
pub(crate) const TEXT_ENCODERS: [&str; 2] = ["CLIPTextModel", "CLIPTextModelWithProjection"];
/// Classes of tokenizers that this crate runs.
pub(crate) const TOKENIZERS: [&str; 2] = ["CLIPTokenizer", "CLIPTokenizerFast"];
/// Classes of denoisers that this crate runs.
pub(crate) const UNETS: [&str; 1] = ["UNet2DConditionModel"];
/// Classes of autoencoders that this crate runs.
pub(crate) const VAES: [&str; 1] = ["AutoencoderKL"];

/// Loads whatever is there.
pub(crate) fn load<B: DiffusionBackend>(
    path: &Path,
    options: &LoadOptions<B>,
) -> Result<Pipeline<B>, Error> {
    // What is neither is told so as a directory.
    match path.exists() && !path.is_dir() {
        true => load_single_file(path, options),
        false => directory::load(path, options),
    }
}

/// Loads a whole model in one file.
pub(crate) fn load_single_file<B: DiffusionBackend>(
    path: &Path,
    options: &LoadOptions<B>,
) -> Result<Pipeline<B>, Error> {
    single_file::load(path, options)
}

/// What of a model is small. It is read first: most mistakes show before gigabytes are read.
#[derive(Debug)]
struct Small {
    config: PipelineConfig,
    scheduler: Arc<dyn Scheduler>,
    low_res_scheduler: Option<Arc<dyn Scheduler>>,
}

impl Small {
    /// Puts a model together.
    fn assemble<B: DiffusionBackend>(
        self,
        text: &text::TextEncoders<impl text::Place<B>>,
        options: &LoadOptions<B>,
        unet: impl FnOnce() -> Result<UNetDenoiser<B>, Error>,
        vae: impl FnOnce() -> Result<VaeCodec<B>, Error>,
    ) -> Result<Pipeline<B>, Error> {
        let builder = text.load(options, Pipeline::builder())?;
        let (unet, vae) = (unet()?, vae()?);
        let builder = match self.low_res_scheduler {
            Some(scheduler) => builder.low_res_scheduler(scheduler),
            None => builder,
        };
        builder
            .denoiser(unet)
            .vae(vae)
            .scheduler(self.scheduler)
            .config(self.config)
            .device(options.device.clone())
            .build()
    }
}

/// The options of an index, with the defaults of its class.
fn config(index: &ModelIndex) -> Result<PipelineConfig, Error> {
    let config = PipelineConfig::default();
    let config = config.max_noise_level(index.number("max_noise_level", config.max_noise_level)?);
    if !index.is_xl() {
        return Ok(config);
    }
    Ok(config
        .force_zeros_for_empty_prompt(index.flag("force_zeros_for_empty_prompt", true)?)
        .requires_aesthetics_score(index.flag("requires_aesthetics_score", false)?))
}
