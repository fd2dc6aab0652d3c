//! The one denoising loop.

use std::sync::Arc;

use burn::tensor::{Tensor, backend::Backend};
use image::RgbImage;
use sd_kernels::DiffusionBackend;
use sd_schedulers::{ModelInput, NoiseGenerator, Progress};

use crate::{
    Error, Latents,
    component::{DenoiserInput, Guidance, Hook, PromptRole},
    guidance::GuidanceContext,
    picture,
    pipeline::Parts,
    preview::preview,
    prompts::Prompts,
};

/// A finished step.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Step<B: Backend> {
    /// Which one, from 0.
    pub index: usize,
    /// Steps of the run.
    pub total: usize,
    /// Timestep of its last evaluation.
    pub timestep: f64,
    /// The latents after it, `[batch, channels, height, width]`.
    pub latents: Tensor<B, 4>,
    /// The clean latents that were predicted, of the same shape.
    pub denoised: Option<Tensor<B, 4>>,
}

impl<B: Backend> Step<B> {
    /// Small pictures of what is to become, one pixel for each latent.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn preview(&self) -> Result<Vec<RgbImage>, Error> {
        preview(self.denoised.as_ref().unwrap_or(&self.latents))
    }
}

/// What a [`Hook`] sees after a step.
#[derive(Debug)]
#[non_exhaustive]
pub struct StepState<'a, B: Backend> {
    /// Which step was finished, from 0.
    pub index: usize,
    /// Steps of the run.
    pub total: usize,
    /// Timestep of its last evaluation.
    pub timestep: f64,
    /// The latents, which may be replaced by others of the same shape.
    pub latents: &'a mut Tensor<B, 4>,
    /// Factors of clean latents and of unit-variance noise at this point of the run.
    pub level: sd_schedulers::NoiseLevel,
}

/// A run of a pipeline: an iterator over its steps.
///
/// Its length is what is left to do, dropping it cancels, and [`finish`](Self::finish) makes the images. It holds all that it
/// needs, so it may outlive its pipeline and move to another thread.
pub struct Run<B: DiffusionBackend> {
    pub(crate) parts: Parts<B>,
    pub(crate) sampler: sd_schedulers::Run<B>,
    /// Steps to make, which may be fewer than the sampler's.
    pub(crate) steps: usize,
    /// Whether the sampler has a use for the prediction under the negative prompt alone.
    pub(crate) wants_unguided: bool,
    pub(crate) noise: Box<dyn NoiseGenerator>,
    pub(crate) guidance: Arc<dyn Guidance<B>>,
    pub(crate) hooks: Vec<Arc<dyn Hook<B>>>,
    pub(crate) prompts: Prompts<B>,
    pub(crate) guidance_scale: f64,
    pub(crate) guidance_rescale: f64,
    /// The step in which an error ended the run.
    pub(crate) failed: Option<usize>,
}

/// What an evaluation gives.
struct Prediction<B: DiffusionBackend> {
    guided: Tensor<B, 4>,
    /// The prediction under the negative prompt, for samplers that have a use for it.
    unguided: Option<Tensor<B, 4>>,
}

impl<B: DiffusionBackend> Run<B> {
    /// Encodes what the first evaluation needs; what only later ones need is encoded then.
    pub(crate) fn encode_prompts(&mut self) -> Result<(), Error> {
        let Some(timestep) = self.sampler.timestep() else { return Ok(()) };
        let branches = self.guidance.branches(&self.context(timestep));
        self.prompts.batched(&branches).map(drop)
    }

    fn step(&mut self) -> Result<Option<Step<B>>, Error> {
        if self.sampler.index() >= self.steps {
            return Ok(None);
        }
        while let Some(evaluation) = self.sampler.evaluation() {
            let context = self.context(evaluation.timestep);
            let Prediction { mut guided, unguided } = self.predict(evaluation, &context)?;
            for hook in &self.hooks {
                hook.after_guidance(&context, &mut guided)?;
            }
            let noise = self.noise.as_mut();
            let progress = match unguided {
                Some(unguided) => self.sampler.advance_guided(guided, unguided, noise)?,
                None => self.sampler.advance(guided, noise)?,
            };
            if progress == Progress::StepFinished {
                return self.finish_step(context).map(Some);
            }
        }
        Ok(None)
    }

    /// Evaluates the denoiser under all conditionings in one batch, and combines the predictions.
    fn predict(
        &mut self,
        evaluation: ModelInput<B>,
        context: &GuidanceContext,
    ) -> Result<Prediction<B>, Error> {
        let branches = self.guidance.branches(context);
        let negative = branches.iter().position(|role| *role == PromptRole::Negative);
        let batch = evaluation.input.dims()[0];
        let sample = Tensor::cat(vec![evaluation.input; branches.len()], 0);
        let conditioning = self.prompts.batched(&branches)?;
        let mut input = DenoiserInput::new(sample, evaluation.timestep, conditioning);
        input.guidance_scale = self.guidance_scale;
        input.branches = branches;
        for hook in &self.hooks {
            hook.before_denoiser(context, &mut input)?;
        }
        let predictions = self.parts.denoiser.predict(input)?.split(batch, 0);
        let unguided = negative.filter(|_| self.wants_unguided);
        let unguided = unguided.and_then(|index| predictions.get(index).cloned());
        Ok(Prediction { guided: self.guidance.combine(context, predictions), unguided })
    }

    fn finish_step(&mut self, context: GuidanceContext) -> Result<Step<B>, Error> {
        let GuidanceContext { index, total, timestep, .. } = context;
        if !self.hooks.is_empty() {
            let mut latents = self.sampler.latents().clone();
            let level = self.sampler.level();
            for hook in &self.hooks {
                let latents = &mut latents;
                hook.after_step(&mut StepState { index, total, timestep, latents, level })?;
            }
            self.sampler.set_latents(latents)?;
        }
        let latents = self.sampler.latents().clone();
        let denoised = self.sampler.denoised().cloned();
        Ok(Step { index, total, timestep, latents, denoised })
    }

    fn context(&self, timestep: f64) -> GuidanceContext {
        GuidanceContext {
            index: self.sampler.index(),
            total: self.steps,
            timestep,
            guidance_scale: match self.parts.denoiser.embeds_guidance() {
                true => 1.0,
                false => self.guidance_scale,
            },
            guidance_rescale: self.guidance_rescale,
        }
    }

    /// The latents as they are, `[batch, channels, height, width]`.
    pub fn latents(&self) -> &Tensor<B, 4> {
        self.sampler.latents()
    }

    fn make_steps(&mut self) -> Result<(), Error> {
        if let Some(index) = self.failed {
            return Err(Error::RunFailed { index });
        }
        self.by_ref().try_for_each(|step| step.map(drop))
    }

    /// Makes what steps are left, without decoding.
    ///
    /// # Errors
    /// The first that occurs; [`Error::RunFailed`] when one has occurred before.
    pub fn finish_latents(&mut self) -> Result<Latents, Error> {
        self.make_steps()?;
        Latents::from_tensor(self.sampler.latents().clone())
    }

    /// Makes what steps are left and decodes the images, one at a time.
    ///
    /// # Errors
    /// As [`finish_latents`](Self::finish_latents); [`Error::NotFinite`] or [`Error::LatentsNotFinite`] instead of a black
    /// picture.
    pub fn finish(mut self) -> Result<Vec<RgbImage>, Error> {
        self.make_steps()?;
        let latents = self.sampler.latents().clone();
        let images = latents.split(1, 0).into_iter().map(|latents| {
            let decoded = self.parts.vae.decode(latents)?;
            picture::to_images(decoded)
        });
        Ok(images.collect::<Result<Vec<_>, Error>>()?.concat())
    }
}

impl<B: DiffusionBackend> Iterator for Run<B> {
    type Item = Result<Step<B>, Error>;

    /// Makes a step. After an error there are no more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed.is_some() {
            return None;
        }
        let index = self.sampler.index();
        let step = self.step().transpose();
        self.failed = matches!(step, Some(Err(_))).then_some(index);
        step
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match self.failed {
            Some(_) => 0,
            None => self.steps - self.sampler.index(),
        };
        (left, Some(left))
    }
}

impl<B: DiffusionBackend> ExactSizeIterator for Run<B> {}

impl<B: DiffusionBackend> core::fmt::Debug for Run<B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Run")
            .field("index", &self.sampler.index())
            .field("total", &self.steps)
            .finish_non_exhaustive()
    }
}
