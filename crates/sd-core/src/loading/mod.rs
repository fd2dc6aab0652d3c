//! From a model directory to a pipeline.

mod scheduler;
mod text;

use std::path::Path;

use sd_kernels::DiffusionBackend;

use crate::{
    Error, LoadOptions, Pipeline, PipelineConfig,
    components::{UNetDenoiser, VaeCodec},
    model_index::ModelIndex,
};

pub(crate) use scheduler::{corrected_scheduler, scheduler};

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
    let scheduler_directory = index.component("scheduler", &[])?;
    let scheduler = match index.corrects_schedulers() {
        true => corrected_scheduler(&scheduler_directory)?,
        false => scheduler(&scheduler_directory)?,
    };
    let low_res_scheduler = match index.is_upscaler() {
        true => Some(scheduler::scheduler(&index.component("low_res_scheduler", &[])?)?),
        false => None,
    };
    let config = config(&index)?;
    let text_encoders = text::TextEncoders::of(&index)?;
    let unet = index.component("unet", &UNETS)?;
    let vae = index.component("vae", &VAES)?;

    let builder = text_encoders.load(options, Pipeline::builder())?;
    let unet = UNetDenoiser::<B>::load(&unet, device, options.dtypes.denoiser, variant)?;
    let vae = VaeCodec::<B>::load(&vae, device, options.dtypes.vae, variant)?;
    let builder = match low_res_scheduler {
        Some(scheduler) => builder.low_res_scheduler(scheduler),
        None => builder,
    };
    builder
        .denoiser(unet)
        .vae(vae)
        .scheduler(scheduler)
        .config(config)
        .device(device.clone())
        .build()
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
