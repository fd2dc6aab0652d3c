//! Times the stages of Stable Diffusion 1.5 in candle, as `scripts/bench/stages.py` asks: MODEL_DIR SIZE RUNS.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::stable_diffusion::{
    StableDiffusionConfig, clip::ClipTextTransformer,
};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = PathBuf::from(arguments.next().context("a model directory")?);
    let size: usize = arguments.next().context("a size")?.parse()?;
    let runs: usize = arguments.next().context("a number of runs")?.parse()?;
    let device = Device::Cpu;
    let config = StableDiffusionConfig::v1_5(None, Some(size), Some(size));
    let side = size / 8;

    let unet = model.join("unet/diffusion_pytorch_model.safetensors");
    let unet = config.build_unet(unet, &device, 4, false, DType::F32)?;
    let sample = Tensor::randn(0f32, 1.0, (2, 4, side, side), &device)?;
    let context = Tensor::randn(0f32, 1.0, (2, 77, 768), &device)?;
    let unet_ms = timed(runs, || Ok(drop(unet.forward(&sample, 500.0, &context)?)))?;
    drop(unet);

    let vae = model.join("vae/diffusion_pytorch_model.safetensors");
    let vae = config.build_vae(vae, &device, DType::F32)?;
    let latents = Tensor::randn(0f32, 1.0, (1, 4, side, side), &device)?;
    let decode_ms = timed(runs, || Ok(drop(vae.decode(&latents)?)))?;

    let text = model.join("text_encoder/model.safetensors");
    // SAFETY: nobody writes the file meanwhile.
    let weights = unsafe { VarBuilder::from_mmaped_safetensors(&[text], DType::F32, &device)? };
    // Files of newer versions of transformers have names without this.
    let short = |name: &str| name.strip_prefix("text_model.").unwrap_or(name).to_owned();
    let weights = match weights.contains_tensor("text_model.final_layer_norm.weight") {
        true => weights,
        false => weights.rename_f(short),
    };
    let text = ClipTextTransformer::new(weights, &config.clip)?;
    let ids = Tensor::from_iter((0..77u32).map(|id| id * 600), &device)?.reshape((1, 77))?;
    // One prompt at a time: its mask does not fit a batch.
    let text_ms = timed(runs, || {
        text.forward(&ids)?;
        Ok(drop(text.forward(&ids)?))
    })?;
    println!(r#"{{"unet": {unet_ms}, "vae_decode": {decode_ms}, "text": {text_ms}}}"#);
    Ok(())
}

/// The median of some runs in milliseconds, after one that warms up.
fn timed(runs: usize, run: impl Fn() -> Result<()>) -> Result<f64> {
    run()?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let half = times.len() / 2;
    let lower = times.len().saturating_sub(1) / 2;
    Ok((times[half.min(times.len() - 1)] + times[lower]) / 2.0)
}
