//! The denoiser, with or without its text encoder, as something to train.

use burn::{
    module::AutodiffModule,
    tensor::{FloatDType, Tensor, backend::BackendTypes},
};
use rayon::prelude::*;
use sd_clip::{ClipTextModel, ClipTokenizer, EosToken, TextFeatures};
use sd_kernels::{DiffusionBackend, TrainBackend};
use sd_nn::checkpoint::Parameters;
use sd_schedulers::{SchedulerConfig, normal};
use sd_unet::UNet2DConditionModel;
use sd_vae::AutoencoderKL;

use crate::{
    Losses, Share, Task, TrainError,
    contexts::ContextTable,
    data::Pictures,
    denoising_loss,
    draws::Choices,
    latents::LatentTable,
    objective::{Diffusion, Loss, Objective},
};

/// Where clean latents come from.
#[derive(Debug)]
pub enum Latents {
    /// Encoded once: pictures are always framed alike.
    Table(LatentTable),
    /// Encoded anew each time, as random crops and flips want it.
    Fresh,
}

/// Where the features of captions come from.
#[derive(Debug)]
pub enum Contexts {
    /// Encoded once, by a text encoder that stays as it is.
    Table(ContextTable),
    /// Encoded anew each time, as a text encoder that is trained wants it.
    Fresh,
}

/// A latent diffusion model, its captioned pictures and its objective. The autoencoder stays as it is.
#[derive(Debug)]
pub struct DiffusionTask<B: TrainBackend> {
    /// The denoiser.
    pub unet: UNet2DConditionModel<B>,
    /// The text encoder.
    pub text_encoder: ClipTextModel<B>,
    /// Whether the text encoder is trained with it.
    pub train_text_encoder: bool,
    /// Its tokenizer.
    pub tokenizer: ClipTokenizer,
    /// The autoencoder.
    pub vae: AutoencoderKL<B::InnerBackend>,
    /// Captions and pictures.
    pub pictures: Pictures,
    /// Where clean latents come from.
    pub latents: Latents,
    /// Where the features of captions come from. A text encoder that is trained has no use for a table.
    pub contexts: Contexts,
    /// What is predicted.
    pub objective: Diffusion,
    /// The sampler that shows what it has learned.
    pub scheduler: SchedulerConfig,
    /// How far off it is.
    pub loss: Loss,
    /// Share of captions that are left empty, for classifier-free guidance.
    pub caption_dropout: f64,
    /// Where the models are.
    pub device: <B as BackendTypes>::Device,
}

impl<B: TrainBackend> DiffusionTask<B> {
    /// Latents as the denoiser sees them, in f32.
    fn clean(&self, share: &mut Share) -> Result<Tensor<B::InnerBackend, 4>, TrainError> {
        let (mean, std) = match &self.latents {
            Latents::Table(table) => table.rows(&share.examples, &self.device),
            Latents::Fresh => {
                let images = self.pictures.batch::<B::InnerBackend>(
                    &share.examples,
                    &mut share.choices,
                    &self.device,
                )?;
                let posterior =
                    self.vae.encode(images).map_err(|error| TrainError::part("vae", error))?;
                (posterior.mean.clone(), posterior.std())
            }
        };
        let noise = normal(share.noise.as_mut(), mean.dims(), &self.device);
        let latents = mean.cast(FloatDType::F32) + std.cast(FloatDType::F32) * noise;
        Ok(self.vae.config().scale_latents(latents))
    }

    fn context(
        &self,
        examples: &[usize],
        choices: &mut Choices,
    ) -> Result<Tensor<B, 3>, TrainError> {
        let dropped = choices.each(examples.len(), |choices| choices.chance(self.caption_dropout));
        if let (Contexts::Table(table), false) = (&self.contexts, self.train_text_encoder) {
            return table.rows(examples, &dropped, &self.device).map(Tensor::from_inner);
        }
        let caption = |(index, dropped): (&usize, bool)| match dropped {
            true => "",
            false => self.pictures.folder().caption(*index),
        };
        let captions: Vec<&str> = examples.iter().zip(dropped).map(caption).collect();
        match self.train_text_encoder {
            true => caption_features(&self.text_encoder, &self.tokenizer, &captions),
            false => caption_features(&self.text_encoder.valid(), &self.tokenizer, &captions)
                .map(Tensor::from_inner),
        }
    }
}

/// What a text encoder makes of captions, `[batch, tokens, width]`.
///
/// # Errors
/// When the tokenizer or the encoder refuses one.
pub(crate) fn caption_features<B: DiffusionBackend>(
    model: &ClipTextModel<B>,
    tokenizer: &ClipTokenizer,
    captions: &[&str],
) -> Result<Tensor<B, 3>, TrainError> {
    let ids = |caption: &&str| tokenizer.encode(caption).map(|encoded| encoded.ids);
    let ids: Result<Vec<Vec<u32>>, _> = captions.par_iter().map(ids).collect();
    let ids = ids.map_err(|error| TrainError::part("tokenizer", error))?;
    let failed = |error| TrainError::part("text_encoder", error);
    let output = model.forward(&ids, EosToken::Id(tokenizer.eos_id())).map_err(failed)?;
    model.features(&output, TextFeatures::LastNormalized, None).map_err(failed)
}

impl<B: TrainBackend> Task<B> for DiffusionTask<B> {
    fn examples(&self) -> usize {
        self.pictures.folder().len()
    }

    fn parts(&self) -> Vec<(&'static str, &dyn Parameters<B>)> {
        let mut parts: Vec<(&'static str, &dyn Parameters<B>)> = vec![("unet", &self.unet)];
        if self.train_text_encoder {
            parts.push(("text_encoder", &self.text_encoder));
        }
        parts
    }

    fn parts_mut(&mut self) -> Vec<(&'static str, &mut dyn Parameters<B>)> {
        let mut parts: Vec<(&'static str, &mut dyn Parameters<B>)> = vec![("unet", &mut self.unet)];
        if self.train_text_encoder {
            parts.push(("text_encoder", &mut self.text_encoder));
        }
        parts
    }

    fn losses(&self, mut share: Share) -> Result<Losses<B>, TrainError> {
        let context = self.context(&share.examples, &mut share.choices)?;
        let timesteps = self.objective.draw_timesteps(share.examples.len(), &mut share.choices);
        let clean = self.clean(&mut share)?;
        let noise = self.objective.draw_noise(clean.dims(), share.noise.as_mut(), &self.device);
        let spoilt =
            self.objective.spoil(Tensor::from_inner(clean), Tensor::from_inner(noise), &timesteps);
        let total = denoising_loss(&self.unet, spoilt, context, self.loss)
            .map_err(|error| TrainError::part("unet", error))?;
        Ok(Losses { total, terms: Vec::new() })
    }
}
