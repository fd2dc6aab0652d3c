//! The pipeline: components that belong together, and the runs that are made with them.

use std::{fmt, path::Path, sync::Arc};

use image::RgbImage;
use sd_kernels::DiffusionBackend;
use sd_nn::{
    DTypePolicy,
    checkpoint::{AnyTensor, ParameterView},
};
use sd_schedulers::{BatchGenerator, NoiseGenerator, Plan, PlanRequest, Scheduler, normal};

use crate::{
    Error, ModelError, Seeds, TextToImage,
    component::{Denoiser, Guidance, Hook, LatentCodec, PromptRole, TextEncoder, TextInput},
    guidance::{ClassifierFree, GuidanceContext},
    loading,
    run::{Conditionings, Run},
};

/// How a model is loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadOptions<B: DiffusionBackend> {
    /// Where to. Default: the backend's default device.
    pub device: B::Device,
    /// What each component computes in. Default: f32.
    pub dtypes: DTypePolicy,
    /// Which variant of the weights, such as `fp16`. Default: the plain ones, or the variant that is there.
    pub variant: Option<String>,
}

impl<B: DiffusionBackend> Default for LoadOptions<B> {
    fn default() -> Self {
        Self { device: B::Device::default(), dtypes: DTypePolicy::default(), variant: None }
    }
}

impl<B: DiffusionBackend> LoadOptions<B> {
    /// Sets the device.
    pub fn device(mut self, device: B::Device) -> Self {
        self.device = device;
        self
    }

    /// Sets the precision of each component, or of all.
    pub fn dtypes(mut self, dtypes: impl Into<DTypePolicy>) -> Self {
        self.dtypes = dtypes.into();
        self
    }

    /// Sets the variant.
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }
}

/// Makes a parameter's new value from the name of its component, its path and its old value.
pub type PipelineParameterMap<'a, B> = dyn FnMut(&str, &str, AnyTensor<B>) -> AnyTensor<B> + 'a;

/// The parts of a pipeline.
pub(crate) struct Components<B: DiffusionBackend> {
    pub(crate) text_encoder: Box<dyn TextEncoder<B>>,
    pub(crate) denoiser: Box<dyn Denoiser<B>>,
    pub(crate) vae: Box<dyn LatentCodec<B>>,
}

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
    components: Arc<Components<B>>,
    scheduler: Arc<dyn Scheduler>,
    guidance: Arc<dyn Guidance<B>>,
    hooks: Vec<Arc<dyn Hook<B>>>,
    device: B::Device,
}

impl<B: DiffusionBackend> Pipeline<B> {
    /// Loads a model directory in diffusers' layout: `model_index.json` and a directory for each component.
    ///
    /// # Errors
    /// When it is no such directory, a component is missing or of an unknown class, a file is broken, or the backend lacks
    /// a precision.
    pub fn from_pretrained(
        directory: impl AsRef<Path>,
        options: &LoadOptions<B>,
    ) -> Result<Self, Error> {
        loading::load(directory.as_ref(), options)
    }

    /// Assembles a pipeline of given parts.
    pub fn builder() -> PipelineBuilder<B> {
        PipelineBuilder::default()
    }

    /// Makes images.
    ///
    /// # Errors
    /// When the request makes no sense, or not for this model, or the device fails.
    pub fn generate(&self, request: &TextToImage) -> Result<Vec<RgbImage>, Error> {
        self.run(request)?.finish()
    }

    /// Starts a run: encodes the prompts and draws the noise.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn run(&self, request: &TextToImage) -> Result<Run<B>, Error> {
        request.validate()?;
        let plan = self.plan(request)?;
        let shape = self.latent_shape(request)?;
        if let Some(latents) = &request.latents {
            latents.check(shape)?;
        }
        let conditionings = self.encode(request, &plan)?;

        let mut noise = generator(request);
        let latents = match &request.latents {
            Some(latents) => latents.to_tensor(&self.device),
            None => normal(noise.as_mut(), shape, &self.device),
        };
        let latents = latents.mul_scalar(plan.init_noise_sigma());
        Ok(Run {
            components: self.components.clone(),
            sampler: sd_schedulers::Run::new(&plan, latents),
            noise,
            guidance: self.guidance.clone(),
            hooks: self.hooks.clone(),
            conditionings,
            guidance_scale: request.guidance_scale,
            guidance_rescale: request.guidance_rescale,
            failed: false,
        })
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

    /// The model's own sampler.
    pub fn scheduler(&self) -> &dyn Scheduler {
        self.scheduler.as_ref()
    }

    /// Width and height of the images that a request makes which does not say.
    pub fn default_size(&self) -> [usize; 2] {
        let [height, width] = self.components.denoiser.sample_size();
        let factor = self.components.vae.factor();
        [width * factor, height * factor]
    }

    /// Visits every parameter, with the name of its component: `text_encoder`, `unet` or `vae`.
    pub fn visit_parameters(&self, visit: &mut dyn FnMut(&str, ParameterView<'_, B>)) {
        let Components { text_encoder, denoiser, vae } = self.components.as_ref();
        text_encoder.visit_parameters(&mut |view| visit("text_encoder", view));
        denoiser.visit_parameters(&mut |view| visit("unet", view));
        vae.visit_parameters(&mut |view| visit("vae", view));
    }

    /// Replaces parameters, given the name of the component, the path and the value of each.
    ///
    /// # Errors
    /// When weights are in use by a clone of the pipeline or by a run, or a replacement has another shape.
    pub fn map_parameters(&mut self, map: &mut PipelineParameterMap<'_, B>) -> Result<(), Error> {
        let Some(components) = Arc::get_mut(&mut self.components) else {
            return Err(ModelError::InUse.into());
        };
        let Components { text_encoder, denoiser, vae } = components;
        text_encoder.map_parameters(&mut |path, value| map("text_encoder", path, value))?;
        denoiser.map_parameters(&mut |path, value| map("unet", path, value))?;
        vae.map_parameters(&mut |path, value| map("vae", path, value))?;
        Ok(())
    }

    fn plan(&self, request: &TextToImage) -> Result<Plan, Error> {
        let plan = PlanRequest::new(request.steps).eta(request.eta);
        Ok(match request.scheduler {
            Some(kind) => kind.with_config_of(self.scheduler.config())?.plan(&plan)?,
            None => self.scheduler.plan(&plan)?,
        })
    }

    fn latent_shape(&self, request: &TextToImage) -> Result<[usize; 4], Error> {
        let factor = self.components.vae.factor();
        let [width, height] = request.checked_size(self.default_size(), factor)?;
        let channels = self.components.denoiser.latent_channels();
        Ok([request.batch_size(), channels, height / factor, width / factor])
    }

    fn encode(&self, request: &TextToImage, plan: &Plan) -> Result<Conditionings<B>, Error> {
        let encoder = self.components.text_encoder.as_ref();
        let mut input = TextInput::new(&request.prompts, PromptRole::Positive);
        input.clip_skip = request.clip_skip;
        let positive = encoder.encode(&input)?.repeat_each(request.images_per_prompt);
        if !self.wants_negative(request, plan) {
            return Ok(Conditionings::new(positive, None));
        }
        let prompts = match request.negative_prompts.as_slice() {
            [] => vec![String::new(); request.prompts.len()],
            [one] => vec![one.clone(); request.prompts.len()],
            several => several.to_vec(),
        };
        // As in diffusers, clip skip is for the prompts only.
        let negative = encoder.encode(&TextInput::new(&prompts, PromptRole::Negative))?;
        let negative = negative.repeat_each(request.images_per_prompt);
        Ok(Conditionings::new(positive, Some(negative)))
    }

    /// Whether the guidance asks for the negative prompt at any step.
    fn wants_negative(&self, request: &TextToImage, plan: &Plan) -> bool {
        let embedded = self.components.denoiser.embeds_guidance();
        plan.timesteps().iter().enumerate().any(|(index, timestep)| {
            let context = GuidanceContext {
                index: index.min(plan.steps() - 1),
                total: plan.steps(),
                timestep: *timestep,
                guidance_scale: if embedded { 1.0 } else { request.guidance_scale },
                guidance_rescale: request.guidance_rescale,
            };
            self.guidance.branches(&context).contains(&PromptRole::Negative)
        })
    }
}

fn generator(request: &TextToImage) -> Box<dyn NoiseGenerator> {
    match &request.seeds {
        Seeds::Batch(seed) => request.generator.seeded(*seed),
        Seeds::PerImage(seeds) => Box::new(BatchGenerator::seeded(request.generator, seeds)),
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

/// Assembles a [`Pipeline`] of parts that are given instead of loaded.
pub struct PipelineBuilder<B: DiffusionBackend> {
    text_encoder: Option<Box<dyn TextEncoder<B>>>,
    denoiser: Option<Box<dyn Denoiser<B>>>,
    vae: Option<Box<dyn LatentCodec<B>>>,
    scheduler: Option<Arc<dyn Scheduler>>,
    guidance: Arc<dyn Guidance<B>>,
    hooks: Vec<Arc<dyn Hook<B>>>,
    device: B::Device,
}

impl<B: DiffusionBackend> Default for PipelineBuilder<B> {
    fn default() -> Self {
        Self {
            text_encoder: None,
            denoiser: None,
            vae: None,
            scheduler: None,
            guidance: Arc::new(ClassifierFree),
            hooks: Vec::new(),
            device: B::Device::default(),
        }
    }
}

impl<B: DiffusionBackend> PipelineBuilder<B> {
    /// Gives the text encoder.
    pub fn text_encoder(mut self, text_encoder: impl TextEncoder<B> + 'static) -> Self {
        self.text_encoder = Some(Box::new(text_encoder));
        self
    }

    /// Gives the denoiser.
    pub fn denoiser(mut self, denoiser: impl Denoiser<B> + 'static) -> Self {
        self.denoiser = Some(Box::new(denoiser));
        self
    }

    /// Gives the autoencoder.
    pub fn vae(mut self, vae: impl LatentCodec<B> + 'static) -> Self {
        self.vae = Some(Box::new(vae));
        self
    }

    /// Gives the sampler.
    pub fn scheduler(mut self, scheduler: impl Scheduler + 'static) -> Self {
        self.scheduler = Some(Arc::new(scheduler));
        self
    }

    /// Gives the guidance. Default: [`ClassifierFree`].
    pub fn guidance(mut self, guidance: impl Guidance<B> + 'static) -> Self {
        self.guidance = Arc::new(guidance);
        self
    }

    /// Adds a hook; hooks are called in the order in which they were added.
    pub fn hook(mut self, hook: impl Hook<B> + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Says on which device the parts are. Default: the backend's default device.
    pub fn device(mut self, device: B::Device) -> Self {
        self.device = device;
        self
    }

    /// Assembles the pipeline.
    ///
    /// # Errors
    /// When a part was not given, or denoiser and autoencoder have latents of different channels.
    pub fn build(self) -> Result<Pipeline<B>, Error> {
        let text_encoder = self.text_encoder.ok_or(ModelError::NotGiven("text encoder"))?;
        let denoiser = self.denoiser.ok_or(ModelError::NotGiven("denoiser"))?;
        let vae = self.vae.ok_or(ModelError::NotGiven("vae"))?;
        let scheduler = self.scheduler.ok_or(ModelError::NotGiven("scheduler"))?;
        let (found, expected) = (denoiser.latent_channels(), vae.latent_channels());
        if found != expected {
            let message =
                format!("the denoiser's latents have {found} channels, the vae's {expected}");
            return Err(ModelError::Mismatch(message).into());
        }
        Ok(Pipeline {
            components: Arc::new(Components { text_encoder, denoiser, vae }),
            scheduler,
            guidance: self.guidance,
            hooks: self.hooks,
            device: self.device,
        })
    }
}
