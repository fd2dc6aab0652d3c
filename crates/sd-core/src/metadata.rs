//! What a picture's text chunk says of its generation.

use sd_kernels::DiffusionBackend;
use sd_schedulers::{GeneratorKind, SchedulerKind, rng::CudaDevice};

use crate::{ImageToImage, Pipeline, Request, Seeds, SizeConditions, TextToImage};

/// The parameters of picture `index` of a request, in the form that Stable Diffusion web UI writes and others read: the
/// prompt, the negative prompt, then one line of settings.
pub fn parameters<'a, B: DiffusionBackend>(
    pipeline: &Pipeline<B>,
    request: impl Into<Request<'a>>,
    index: usize,
) -> String {
    text(pipeline, request.into(), index)
}

/// The [`parameters`] of a picture that a second model went on with: those of the first model's run, then what was other in
/// the second's, its seed among it.
pub fn refined_parameters<B: DiffusionBackend>(
    first: &str,
    pipeline: &Pipeline<B>,
    request: &ImageToImage,
    index: usize,
) -> String {
    let (seed, _) = seed(&request.text, index);
    let mut settings = vec![
        first.to_owned(),
        format!("Refiner sampler: {}", sampler(pipeline, &request.text)),
        format!("Refiner seed: {seed}"),
    ];
    settings.extend(stretch(request.into()));
    settings.extend(scores(&request.text.sizes));
    settings.join(", ")
}

/// What belongs to a prompt in a list of none, one for all, or one for each.
fn of_prompt(texts: &[String], prompt: usize) -> Option<&String> {
    match texts {
        [one] => Some(one),
        several => several.get(prompt),
    }
}

/// A value in quotes, if readers of the settings would cut it without them.
fn quoted(value: &str) -> String {
    match value.contains([',', ':', '\n', '"']) {
        true => serde_json::Value::from(value).to_string(),
        false => value.to_owned(),
    }
}

fn text<B: DiffusionBackend>(pipeline: &Pipeline<B>, any: Request<'_>, index: usize) -> String {
    let request = any.text();
    let prompt = index / request.images_per_prompt.max(1);
    let mut text = request.prompts.get(prompt).cloned().unwrap_or_default();
    let negative = of_prompt(&request.negative_prompts, prompt);
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
    let [width, height] = size(pipeline, any);
    let (seed, batch) = seed(request, index);
    let mut settings = vec![
        format!("Steps: {}", request.steps),
        format!("Sampler: {}", sampler(pipeline, request)),
        format!("CFG scale: {}", request.guidance_scale),
        format!("Seed: {seed}"),
        format!("Size: {width}x{height}"),
    ];
    if batch > 1 {
        settings.push(format!("Batch size: {batch}"));
        settings.push(format!("Batch pos: {index}"));
    }
    settings.extend(second_prompts(request, index));
    settings.extend(sizes(&request.sizes));
    settings.extend(scores(&request.sizes));
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

fn sampler<'a, B: DiffusionBackend>(pipeline: &'a Pipeline<B>, request: &TextToImage) -> &'a str {
    let config = pipeline.scheduler().config();
    let sampler = request.scheduler.or_else(|| SchedulerKind::of(config));
    sampler.map_or(config.class_name(), |kind| kind.title())
}

/// The seed of a picture, and how many pictures share it.
fn seed(request: &TextToImage, index: usize) -> (u64, usize) {
    match &request.seeds {
        Seeds::Batch(seed) => (*seed, request.batch_size()),
        Seeds::PerImage(seeds) => (seeds.get(index).copied().unwrap_or_default(), 1),
    }
}

fn second_prompts(request: &TextToImage, index: usize) -> impl Iterator<Item = String> {
    let prompt = index / request.images_per_prompt.max(1);
    let given = [
        ("Prompt 2", of_prompt(&request.prompts_2, prompt)),
        ("Negative prompt 2", of_prompt(&request.negative_prompts_2, prompt)),
    ];
    given.into_iter().filter_map(|(name, text)| Some(format!("{name}: {}", quoted(text?))))
}

/// Sizes and crops that were given.
fn sizes(given: &SizeConditions) -> impl Iterator<Item = String> {
    let sizes = [
        ("Original size", given.original_size, 'x'),
        ("Crop top left", given.crops_coords_top_left, ','),
        ("Target size", given.target_size, 'x'),
        ("Negative original size", given.negative_original_size, 'x'),
        ("Negative crop top left", given.negative_crops_coords_top_left, ','),
        ("Negative target size", given.negative_target_size, 'x'),
    ];
    sizes.into_iter().filter_map(|(name, pair, between)| {
        let [first, second] = pair?;
        Some(format!("{name}: {}", quoted(&format!("{first}{between}{second}"))))
    })
}

/// Aesthetic scores that were given.
fn scores(given: &SizeConditions) -> impl Iterator<Item = String> {
    let scores = [
        ("Aesthetic score", given.aesthetic_score),
        ("Negative aesthetic score", given.negative_aesthetic_score),
    ];
    scores.into_iter().filter_map(|(name, score)| Some(format!("{name}: {}", score?)))
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
