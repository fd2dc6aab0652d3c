//! From a model directory to a pipeline.

use std::{path::Path, sync::Arc};

use sd_kernels::DiffusionBackend;
use sd_nn::config;
use sd_schedulers::{Scheduler, SchedulerConfig};

use crate::{
    Error, LoadOptions, Pipeline,
    components::{ClipEncoder, UNetDenoiser, VaeCodec},
    model_index::ModelIndex,
};

/// Classes of text encoders that this crate runs.
pub(crate) const TEXT_ENCODERS: [&str; 2] = ["CLIPTextModel", "CLIPTextModelWithProjection"];
/// Classes of tokenizers that this crate runs.
pub(crate) const TOKENIZERS: [&str; 2] = ["CLIPTokenizer", "CLIPTokenizerFast"];
/// Classes of denoisers that this crate runs.
pub(crate) const UNETS: [&str; 1] = ["UNet2DConditionModel"];
/// Classes of autoencoders that this crate runs.
pub(crate) const VAES: [&str; 1] = ["AutoencoderKL"];

pub(crate) fn load<B: DiffusionBackend>(
    directory: &Path,
    options: &LoadOptions<B>,
) -> Result<Pipeline<B>, Error> {
    let index = ModelIndex::open(directory)?;
    index.check_class()?;
    options.dtypes.check::<B>(&options.device)?;
    let variant = options.variant.as_deref();
    let device = &options.device;

    // The small files first: most mistakes show before gigabytes are read.
    let scheduler = scheduler(&index.component("scheduler", &[])?)?;
    let tokenizer = index.component("tokenizer", &TOKENIZERS)?;
    let text_encoder = index.component("text_encoder", &TEXT_ENCODERS)?;
    let unet = index.component("unet", &UNETS)?;
    let vae = index.component("vae", &VAES)?;

    let text_encoder =
        ClipEncoder::<B>::load(&tokenizer, &text_encoder, device, options.dtypes.text, variant)?;
    let unet = UNetDenoiser::<B>::load(&unet, device, options.dtypes.denoiser, variant)?;
    let vae = VaeCodec::<B>::load(&vae, device, options.dtypes.vae, variant)?;
    Pipeline::builder()
        .text_encoder(text_encoder)
        .denoiser(unet)
        .vae(vae)
        .scheduler(scheduler)
        .device(device.clone())
        .build()
}

/// Reads a scheduler, with the corrections that diffusers' `StableDiffusionPipeline` makes to outdated configurations:
/// `steps_offset` is 1, and `clip_sample` is off.
pub(crate) fn scheduler(directory: &Path) -> Result<Arc<dyn Scheduler>, Error> {
    let path = directory.join("scheduler_config.json");
    // Python's infinities stand in some of them, so they are not quite JSON.
    let text = config::read_text(&path)?;
    let failed = |source| Error::SchedulerFile { path: path.clone(), source: Box::new(source) };
    let mut config = SchedulerConfig::from_json(&text).map_err(failed)?;
    // A broken value is the file's fault, not one to correct.
    config.clone().build().map_err(failed)?;
    if config.get("steps_offset").is_none_or(|offset| *offset != 1) {
        tracing::debug!(path = %path.display(), "steps_offset is taken as 1");
        config = config.with("steps_offset", 1);
    }
    // DDIM clips unless it is told not to, and a request may ask for DDIM whatever the model's own sampler.
    if config.get("clip_sample").is_none_or(|clip| *clip == true) {
        tracing::debug!(path = %path.display(), "clip_sample is taken as false");
        config = config.with("clip_sample", false);
    }
    Ok(config.build().map_err(failed)?.into())
}
