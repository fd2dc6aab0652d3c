//! The factor that brings latents to unit variance.

use std::path::Path;

use burn::tensor::FloatDType;
use sd_kernels::DiffusionBackend;
use sd_vae::AutoencoderKL;

use crate::{BatchRows, Draws, TrainError, data::Pictures};

/// Pictures that the variance is taken of, at most.
const PICTURES: usize = 256;
/// Pictures that are encoded at a time.
const BATCH: usize = 16;

/// One over the standard deviation of latents that are drawn from the posteriors of pictures, as Stable Diffusion's own factor
/// was found (<https://arxiv.org/abs/2112.10752>, appendix G).
pub(super) fn scaling_factor<B: DiffusionBackend>(
    vae: &AutoencoderKL<B>,
    pictures: &Pictures,
    device: &B::Device,
) -> Result<f64, TrainError> {
    let examples: Vec<usize> = (0..pictures.folder().len().min(PICTURES)).collect();
    let mut choices = Draws::new(0).choices(0, BatchRows::default());
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for examples in examples.chunks(BATCH) {
        let images = pictures.batch::<B>(examples, &mut choices, device)?;
        let posterior = vae.encode(images).map_err(|error| TrainError::part("vae", error))?;
        for (tensor, is_mean) in [(posterior.mean.clone(), true), (posterior.std(), false)] {
            let data = tensor.cast(FloatDType::F32).try_into_data();
            let data = data.map_err(|error| TrainError::part("vae", error.to_string()))?;
            for value in data.iter::<f32>().map(f64::from) {
                squares += value * value;
                if is_mean {
                    (count, sum) = (count + 1.0, sum + value);
                }
            }
        }
    }
    let mean = sum / f64::max(count, 1.0);
    Ok((squares / f64::max(count, 1.0) - mean * mean).max(1e-12).sqrt().recip())
}

/// Writes the factor into an autoencoder's configuration; all else in it stays.
pub(super) fn write(factor: f64, config: &Path) -> Result<(), TrainError> {
    let mut values: serde_json::Map<String, serde_json::Value> = sd_nn::config::read_json(config)?;
    // What f32 can tell apart, so that the file is readable.
    let factor: f64 = format!("{factor:.6}").parse().unwrap_or(factor);
    values.insert("scaling_factor".into(), factor.into());
    let text = format!("{:#}\n", serde_json::Value::Object(values));
    Ok(sd_core::write_atomically(config, text.as_bytes())?)
}
