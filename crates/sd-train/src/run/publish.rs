//! What the tasks show and keep.

use std::path::Path;

use burn::{
    module::{AutodiffModule, Module},
    tensor::DType,
};
use sd_core::{
    Pipeline, TextToImage,
    components::{ClipEncoder, UNetDenoiser, VaeCodec},
    to_images,
};
use sd_kernels::{DiffusionBackend, TrainBackend};
use sd_nn::checkpoint::{Parameters, SaveModuleOptions, save_module};

use super::{
    Published, Shown, Validation,
    scaling::{self, scaling_factor},
};
use crate::{AutoencoderTask, BatchRows, DiffusionTask, Draws, Task, TrainError, TrainedWeights};

/// A part with its trained weights, without what training needs.
fn trained<B, M>(
    name: &str,
    part: &M,
    weights: &TrainedWeights<'_, B::InnerBackend>,
) -> Result<M::InnerModule, TrainError>
where
    B: TrainBackend,
    M: AutodiffModule<B> + Parameters<B>,
{
    let mut part = part.clone();
    weights.apply::<B>(name, &mut part)?;
    Ok(part.valid())
}

fn save<B: DiffusionBackend>(
    module: &impl Module<B>,
    directory: &Path,
    stem: &str,
    dtype: DType,
) -> Result<(), TrainError> {
    let mut options = SaveModuleOptions::default();
    options.dtype = Some(dtype);
    save_module::<B, _>(module, directory, stem, &options)?;
    Ok(())
}

impl<B: TrainBackend> Published<B> for AutoencoderTask<B> {
    fn publish(
        &self,
        weights: &TrainedWeights<'_, B::InnerBackend>,
        model: &Path,
        dtype: DType,
    ) -> Result<(), TrainError> {
        let vae = trained::<B, _>("vae", &self.model, weights)?;
        let directory = model.join("vae");
        save::<B::InnerBackend>(&vae, &directory, "diffusion_pytorch_model", dtype)?;
        let factor = scaling_factor(&vae, &self.pictures, &self.device)?;
        scaling::write(factor, &directory.join("config.json"))
    }

    /// The first pictures, each followed by what the autoencoder makes of it, and the ratio of signal to noise.
    fn validate(
        &self,
        weights: &TrainedWeights<'_, B::InnerBackend>,
        validation: &Validation,
    ) -> Result<Shown, TrainError> {
        let failed = |error| TrainError::part("vae", error);
        let vae = trained::<B, _>("vae", &self.model, weights)?;
        let examples: Vec<usize> = (0..validation.pictures.min(self.examples())).collect();
        let mut choices = Draws::new(validation.seed).choices(0, BatchRows::default());
        let images =
            self.pictures.batch::<B::InnerBackend>(&examples, &mut choices, &self.device)?;
        let latents = vae.encode(images.clone()).map_err(failed)?.mode();
        let (images, decoded) =
            (to_images(images)?, to_images(vae.decode(latents).map_err(failed)?)?);
        let squares: f64 = images
            .iter()
            .zip(&decoded)
            .flat_map(|(image, decoded)| image.as_raw().iter().zip(decoded.as_raw()))
            .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2))
            .sum();
        let values: usize = images.iter().map(|image| image.as_raw().len()).sum();
        let psnr = 10.0 * (255.0f64.powi(2) * values as f64 / squares.max(1e-9)).log10();
        let pairs = images.into_iter().zip(decoded).flat_map(|(image, decoded)| [image, decoded]);
        Ok((pairs.collect(), vec![("psnr", psnr)]))
    }
}

impl<B: TrainBackend> Published<B> for DiffusionTask<B> {
    fn publish(
        &self,
        weights: &TrainedWeights<'_, B::InnerBackend>,
        model: &Path,
        dtype: DType,
    ) -> Result<(), TrainError> {
        let unet = trained::<B, _>("unet", &self.unet, weights)?;
        save::<B::InnerBackend>(&unet, &model.join("unet"), "diffusion_pytorch_model", dtype)?;
        if self.train_text_encoder {
            let text = trained::<B, _>("text_encoder", &self.text_encoder, weights)?;
            save::<B::InnerBackend>(&text, &model.join("text_encoder"), "model", dtype)?;
        }
        Ok(())
    }

    /// A picture of each prompt.
    fn validate(
        &self,
        weights: &TrainedWeights<'_, B::InnerBackend>,
        validation: &Validation,
    ) -> Result<Shown, TrainError> {
        if validation.prompts.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let pipeline = self.pipeline(weights)?;
        let [width, height] = self.pictures.framing().size.map(|side| side as usize);
        let request = TextToImage::batch(validation.prompts.clone())
            .steps(validation.steps)
            .guidance_scale(validation.guidance_scale)
            .seed(validation.seed)
            .size(width, height);
        Ok((pipeline.generate(&request)?, Vec::new()))
    }
}

impl<B: TrainBackend> DiffusionTask<B> {
    /// The pipeline of the models with their trained weights.
    ///
    /// # Errors
    /// When the models do not fit together.
    pub fn pipeline(
        &self,
        weights: &TrainedWeights<'_, B::InnerBackend>,
    ) -> Result<Pipeline<B::InnerBackend>, TrainError> {
        let unet = trained::<B, _>("unet", &self.unet, weights)?;
        let text = match self.train_text_encoder {
            true => trained::<B, _>("text_encoder", &self.text_encoder, weights)?,
            false => self.text_encoder.valid(),
        };
        let scheduler = self.scheduler.clone().build();
        let pipeline = Pipeline::builder()
            .text_encoder(ClipEncoder::new(self.tokenizer.clone(), text))
            .denoiser(UNetDenoiser::new(unet))
            .vae(VaeCodec::new(self.vae.clone()))
            .scheduler(scheduler.map_err(|error| TrainError::part("scheduler", error))?)
            .device(self.device.clone())
            .build()?;
        Ok(pipeline)
    }
}
