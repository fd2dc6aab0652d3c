//! The latents that a run starts with.

use burn::tensor::Tensor;
use image::RgbImage;
use sd_kernels::DiffusionBackend;
use sd_schedulers::{NoiseGenerator, Plan, add_noise, normal};

use super::Parts;
use crate::{
    Error, Latents, Seeds,
    component::PosteriorDraw,
    picture::from_image,
    request::{ImageToImage, Request, RequestError, Source},
};

/// Makes the latents of a request, `shape` of them. Noise is drawn in diffusers' order: that of encoding, then that of the
/// run.
pub(super) fn latents<B: DiffusionBackend>(
    parts: &Parts<B>,
    request: Request<'_>,
    plan: &Plan,
    shape: [usize; 4],
    noise: &mut dyn NoiseGenerator,
    device: &B::Device,
) -> Result<Tensor<B, 4>, Error> {
    let given = request.text().latents.as_ref();
    given.map_or(Ok(()), |latents| latents.check(shape))?;
    let drawn = |noise: &mut dyn NoiseGenerator| match given {
        Some(latents) => latents.to_tensor(device),
        None => normal(noise, shape, device),
    };
    let Some(image) = request.image() else {
        return Ok(drawn(noise).mul_scalar(plan.init_noise_sigma()));
    };
    let clean = source(parts, image, shape, noise, device)?;
    match image.denoising_start {
        Some(_) => Ok(clean),
        None => Ok(add_noise(clean, drawn(noise), plan.level())),
    }
}

/// The source's latents, one for each picture.
fn source<B: DiffusionBackend>(
    parts: &Parts<B>,
    request: &ImageToImage,
    shape @ [batch, ..]: [usize; 4],
    noise: &mut dyn NoiseGenerator,
    device: &B::Device,
) -> Result<Tensor<B, 4>, Error> {
    let images = match &request.source {
        Source::Latents(latents) => {
            check_source(latents, shape)?;
            return Ok(spread(latents.to_tensor(device), batch));
        }
        Source::Images(images) => images,
    };
    // One generator draws for the source before it is repeated, several draw for each picture, as in diffusers.
    let encoded = match &request.text.seeds {
        Seeds::Batch(_) => images.len(),
        Seeds::PerImage(_) => batch,
    };
    let [_, channels, height, width] = shape;
    let noise: Tensor<B, 4> = normal(noise, [encoded, channels, height, width], device);
    let images: Vec<&RgbImage> = images.iter().cycle().take(encoded).collect();
    let latents = images.into_iter().zip(noise.split(1, 0));
    let latents: Result<Vec<_>, Error> = latents
        .map(|(image, noise)| {
            parts.vae.encode(from_image(image, device), PosteriorDraw::Sample(noise))
        })
        .collect();
    Ok(spread(Tensor::cat(latents?, 0), batch))
}

fn check_source(
    latents: &Latents,
    [_, channels, height, width]: [usize; 4],
) -> Result<(), RequestError> {
    latents.check([latents.shape()[0], channels, height, width])
}

/// Repeats rows one after the other until there are as many as asked for.
pub(super) fn spread<B: DiffusionBackend>(rows: Tensor<B, 4>, batch: usize) -> Tensor<B, 4> {
    match rows.dims()[0] {
        count if count == batch => rows,
        count => rows.repeat_dim(0, batch / count),
    }
}
