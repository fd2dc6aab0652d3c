//! The pipeline: components that belong together, and the runs that are made with them.

mod beside;
mod builder;
mod config;
mod load;
mod noise;
mod options;
mod parts;
mod start;
mod stretch;

use std::{fmt, sync::Arc};

use image::RgbImage;
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{AnyTensor, ParameterView};
use sd_schedulers::{NoiseGenerator, Scheduler};

use crate::{
    Error, ModelError, TextToImage,
    component::{Denoiser, Guidance, Hook, LatentCodec, TextEncoder},
    prompts::Prompts,
    request::{Request, RequestError, TimeIds},
    run::Run,
};
use beside::Beside;
use stretch::Stretch;

pub use builder::PipelineBuilder;
pub use config::PipelineConfig;
pub use options::LoadOptions;
pub(crate) use parts::Parts;

/// Makes a parameter's new value from the name of its component, its path and its old value.
pub type PipelineParameterMap<'a, B> = dyn FnMut(&str, &str, AnyTensor<B>) -> AnyTensor<B> + 'a;

/// Makes images. Cheap to clone, and shared by any number of threads: a run takes nothing from it but weights.
///
/// ```no_run
/// use sd_core::{backend::Cpu, Pipeline, TextToImage};
///
/// # fn main() -> Result<(), sd_core::Error> {
/// let pipeline = Pipeline::<Cpu>::from_pretrained("models/stable-diffusion-v1-5", &Default::default())?;
/// let request = TextToImage::new("a lighthouse at dusk").steps(25).seed(42);
/// let image = pipeline.generate(&request)?.remove(0);
///
/// // Or step by step:
/// let mut run = pipeline.run(&request)?;
/// for step in run.by_ref() {
///     let step = step?;
///     eprintln!("{}/{}", step.index + 1, step.total);
/// }
/// let images = run.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pipeline<B: DiffusionBackend> {
    parts: Parts<B>,
    scheduler: Arc<dyn Scheduler>,
    low_res_scheduler: Option<Arc<dyn Scheduler>>,
    guidance: Arc<dyn Guidance<B>>,
    hooks: Vec<Arc<dyn Hook<B>>>,
    device: B::Device,
}

impl<B: DiffusionBackend> Pipeline<B> {
    /// Assembles a pipeline of given parts.
    pub fn builder() -> PipelineBuilder<B> {
        PipelineBuilder::default()
    }

    /// Makes images.
    ///
    /// # Errors
    /// When the request makes no sense, or not for this model, or the device fails.
    pub fn generate<'a>(&self, request: impl Into<Request<'a>>) -> Result<Vec<RgbImage>, Error> {
        self.run(request)?.finish()
    }

    /// Starts a run: encodes the prompts and draws the noise.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn run<'a>(&self, request: impl Into<Request<'a>>) -> Result<Run<B>, Error> {
        self.start(request.into())
    }

    /// [`run`](Self::run), compiled once for all kinds of requests.
    fn start(&self, any: Request<'_>) -> Result<Run<B>, Error> {
        any.validate()?;
        let request = any.text();
        let scheduler = self.scheduler_of(request)?;
        let Stretch { plan, steps } = Stretch::of(scheduler.as_ref(), any)?;
        let size = any.size(self.default_size(), self.parts.vae.factor())?;
        let time_ids = self.time_ids(request, size)?;
        // What does not fit is refused before a source is encoded.
        let prompts = Prompts::new(&self.parts, request, time_ids)?;
        let shape = self.latent_shape(request, size);
        let mut noise = noise::generator(request);
        let beside = self.beside(any, shape, noise.as_mut())?;
        let latents = start::latents(&self.parts, any, &plan, shape, noise.as_mut(), &self.device)?;
        let mut sampler = sd_schedulers::Run::new(&plan, latents);
        let count = shape.iter().product();
        if let Some(noise) = noise::interval_noise(request, scheduler.config(), &plan, count)? {
            sampler = sampler.with_interval_noise(noise);
        }
        let mut run = Run {
            parts: self.parts.clone(),
            sampler,
            steps,
            wants_unguided: plan.wants_unguided(),
            noise,
            guidance: self.guidance.clone(),
            hooks: beside.into_iter().chain(self.hooks.iter().cloned()).collect(),
            prompts,
            guidance_scale: request.guidance_scale,
            guidance_rescale: request.guidance_rescale,
            failed: None,
        };
        run.encode_prompts()?;
        Ok(run)
    }

    /// The same pipeline with another sampler; weights are shared.
    pub fn with_scheduler(mut self, scheduler: impl Scheduler + 'static) -> Self {
        self.scheduler = Arc::new(scheduler);
        self
    }

    /// The same pipeline with another guidance; weights are shared.
    pub fn with_guidance(mut self, guidance: impl Guidance<B> + 'static) -> Self {
        self.guidance = Arc::new(guidance);
        self
    }

    /// The same pipeline with one more hook; weights are shared.
    pub fn with_hook(mut self, hook: impl Hook<B> + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// The same pipeline with another text encoder, which may be that of another pipeline; all weights are shared.
    ///
    /// # Errors
    /// When its features have another width than the denoiser wants.
    pub fn with_text_encoder(
        mut self,
        text_encoder: Arc<dyn TextEncoder<B>>,
    ) -> Result<Self, Error> {
        self.parts = Parts { text_encoder, ..self.parts }.checked()?;
        Ok(self)
    }

    /// The same pipeline with another denoiser, which may be that of another pipeline; all weights are shared.
    ///
    /// # Errors
    /// When it does not fit the text encoder or the autoencoder.
    pub fn with_denoiser(mut self, denoiser: Arc<dyn Denoiser<B>>) -> Result<Self, Error> {
        self.parts = Parts { denoiser, ..self.parts }.checked()?;
        Ok(self)
    }

    /// The same pipeline with another autoencoder, which may be that of another pipeline; all weights are shared.
    ///
    /// # Errors
    /// When its latents have another number of channels than the denoiser's.
    pub fn with_vae(mut self, vae: Arc<dyn LatentCodec<B>>) -> Result<Self, Error> {
        self.parts = Parts { vae, ..self.parts }.checked()?;
        Ok(self)
    }

    /// The text encoder.
    pub fn text_encoder(&self) -> &Arc<dyn TextEncoder<B>> {
        &self.parts.text_encoder
    }

    /// The denoiser.
    pub fn denoiser(&self) -> &Arc<dyn Denoiser<B>> {
        &self.parts.denoiser
    }

    /// The autoencoder.
    pub fn vae(&self) -> &Arc<dyn LatentCodec<B>> {
        &self.parts.vae
    }

    /// What the model says beside its components.
    pub fn config(&self) -> PipelineConfig {
        self.parts.config
    }

    /// Where the weights are.
    pub fn device(&self) -> &B::Device {
        &self.device
    }

    /// The model's own sampler.
    pub fn scheduler(&self) -> &dyn Scheduler {
        self.scheduler.as_ref()
    }

    /// Width and height of the images that a request makes which does not say.
    pub fn default_size(&self) -> [usize; 2] {
        let [height, width] = self.parts.denoiser.sample_size();
        let factor = self.parts.vae.factor();
        [width.saturating_mul(factor), height.saturating_mul(factor)]
    }

    /// Visits every parameter, with the name of its component: `text_encoder`, `text_encoder_2`, `unet` or `vae`.
    pub fn visit_parameters(&self, visit: &mut dyn FnMut(&str, ParameterView<'_, B>)) {
        let Parts { text_encoder, denoiser, vae, .. } = &self.parts;
        text_encoder.visit_components(visit);
        denoiser.visit_parameters(&mut |view| visit("unet", view));
        vae.visit_parameters(&mut |view| visit("vae", view));
    }

    /// Replaces parameters, given the name of the component, the path and the value of each.
    ///
    /// # Errors
    /// When weights are in use by another pipeline or by a run, or a replacement has another shape.
    pub fn map_parameters(&mut self, map: &mut PipelineParameterMap<'_, B>) -> Result<(), Error> {
        let Parts { text_encoder, denoiser, vae, .. } = &mut self.parts;
        let parts = (Arc::get_mut(text_encoder), Arc::get_mut(denoiser), Arc::get_mut(vae));
        let (Some(text_encoder), Some(denoiser), Some(vae)) = parts else {
            return Err(ModelError::InUse.into());
        };
        text_encoder.map_components(map)?;
        denoiser.map_parameters(&mut |path, value| map("unet", path, value))?;
        vae.map_parameters(&mut |path, value| map("vae", path, value))?;
        Ok(())
    }

    /// The sampler that the request names, with the model's own configuration, or the pipeline's.
    fn scheduler_of(&self, request: &TextToImage) -> Result<Arc<dyn Scheduler>, Error> {
        Ok(match request.scheduler {
            Some(kind) => Arc::from(kind.with_config_of(self.scheduler.config())?),
            None => self.scheduler.clone(),
        })
    }

    fn time_ids(&self, request: &TextToImage, size: [usize; 2]) -> Result<Option<TimeIds>, Error> {
        let wanted = self.parts.config.size_scalars(self.parts.denoiser.as_ref());
        Ok(request.sizes.time_ids(size, wanted)?)
    }

    /// What the request gives the denoiser beside the latents, as a hook.
    fn beside(
        &self,
        request: Request<'_>,
        shape: [usize; 4],
        noise: &mut dyn NoiseGenerator,
    ) -> Result<Option<Arc<dyn Hook<B>>>, Error> {
        let (expected, found) = (self.parts.denoiser.extra_channels(), request.extra_channels());
        // Hooks may give what the request does not.
        if expected != found && (found > 0 || self.hooks.is_empty()) {
            return Err(RequestError::ExtraChannels { expected, found }.into());
        }
        let setting = beside::Setting {
            shape,
            config: self.parts.config,
            low_res_scheduler: self.low_res_scheduler.as_deref(),
            device: &self.device,
        };
        let beside = Beside::of(request, &setting, noise)?;
        Ok(beside.map(|beside| Arc::new(beside) as Arc<dyn Hook<B>>))
    }

    fn latent_shape(&self, request: &TextToImage, [width, height]: [usize; 2]) -> [usize; 4] {
        let factor = self.parts.vae.factor();
        let channels = self.parts.denoiser.latent_channels();
        [request.batch_size(), channels, height / factor, width / factor]
    }
}

impl<B: DiffusionBackend> fmt::Debug for Pipeline<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("scheduler", &self.scheduler)
            .field("device", &self.device)
            .field("hooks", &self.hooks.len())
            .finish_non_exhaustive()
    }
}
