//! What a picture's text chunk says of its generation.

use sd_kernels::DiffusionBackend;
use sd_schedulers::{GeneratorKind, SchedulerKind, rng::CudaDevice};

use crate::{Pipeline, Request, Seeds};

/// The parameters of picture `index` of a request, in the form that Stable Diffusion web UI writes and others read: the
/// prompt, the negative prompt, then one line of settings.
pub fn parameters<'a, B: DiffusionBackend>(
    pipeline: &Pipeline<B>,
    request: impl Into<Request<'a>>,
    index: usize,
) -> String {
    text(pipeline, request.into(), index)
}

fn text<B: DiffusionBackend>(pipeline: &Pipeline<B>, any: Request<'_>, index: usize) -> String {
    let request = any.text();
    let prompt = index / request.images_per_prompt.max(1);
    let mut text = request.prompts.get(prompt).cloned().unwrap_or_default();
    let negative = match request.negative_prompts.as_slice() {
        [one] => Some(one),
        several => several.get(prompt),
    };
    if let Some(negative) = negative.filter(|negative| !negative.is_empty()) {
        text += &format!("\nNegative prompt: {negative}");
    }
    text += &format!("\n{}", settings(pipeline, any, index).join(", "));
    text
}

fn settings<B: DiffusionBackend>(
    pipeline: &Pipeline<B>,
    any: Request<'_>,
    index: usize,
) -> Vec<String> {
    let request = any.text();
    let config = pipeline.scheduler().config();
    let sampler = request.scheduler.or_else(|| SchedulerKind::of(config));
    let sampler = sampler.map_or(config.class_name(), |kind| kind.title());
    let [width, height] = size(pipeline, any);
    let (seed, batch) = match &request.seeds {
        Seeds::Batch(seed) => (*seed, request.batch_size()),
        Seeds::PerImage(seeds) => (seeds.get(index).copied().unwrap_or_default(), 1),
    };
    let mut settings = vec![
        format!("Steps: {}", request.steps),
        format!("Sampler: {sampler}"),
        format!("CFG scale: {}", request.guidance_scale),
        format!("Seed: {seed}"),
        format!("Size: {width}x{height}"),
    ];
    if batch > 1 {
        settings.push(format!("Batch size: {batch}"));
        settings.push(format!("Batch pos: {index}"));
    }
    if let Some(skip) = request.clip_skip {
        // The web UI counts the last layer as 1.
        settings.push(format!("Clip skip: {}", skip + 1));
    }
    if request.guidance_rescale != 0.0 {
        settings.push(format!("CFG Rescale: {}", request.guidance_rescale));
    }
    if request.eta != 0.0 {
        settings.push(format!("Eta: {}", request.eta));
    }
    settings.extend(stretch(any));
    if request.latents.is_some() {
        // The seed is then only that of samplers which draw noise on their way.
        settings.push("Initial latents: given".to_owned());
    }
    settings.push(match request.generator {
        // A device of one's own is told, since large pictures depend on it.
        GeneratorKind::TorchCuda(device) if device != CudaDevice::default() => {
            format!("RNG: {}", request.generator)
        }
        named => format!("RNG: {}", named.title()),
    });
    settings.push(format!("Version: sd-core {}", env!("CARGO_PKG_VERSION")));
    settings
}

/// Width and height in pixels.
fn size<B: DiffusionBackend>(pipeline: &Pipeline<B>, any: Request<'_>) -> [usize; 2] {
    let default = pipeline.default_size();
    let size = any.size(default, pipeline.vae().factor());
    size.unwrap_or_else(|_| any.text().size.unwrap_or(default))
}

/// Which part of the schedule was made, and from what.
fn stretch(any: Request<'_>) -> Vec<String> {
    let mut settings = Vec::new();
    if let Some(image) = any.image() {
        settings.push(match image.denoising_start {
            Some(start) => format!("Denoising start: {start}"),
            None => format!("Denoising strength: {}", image.strength),
        });
    }
    if let Request::Upscale(upscale) = any {
        settings.push(format!("Noise level: {}", upscale.noise_level));
    }
    settings.extend(any.text().denoising_end.map(|end| format!("Denoising end: {end}")));
    settings
}
