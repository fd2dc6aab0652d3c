//! What a denoiser reads beside the latents, through the hook that any other channels would come through.

use burn::tensor::{DType, Tensor, TensorData};
use sd_kernels::DiffusionBackend;
use sd_schedulers::{NoiseGenerator, NoiseLevel, Scheduler, add_noise, normal};

use super::{PipelineConfig, start::spread};
use crate::{
    Error, ModelError, Seeds,
    component::{DenoiserInput, Hook},
    guidance::GuidanceContext,
    picture::from_image,
    request::{DepthToImage, Request, RequestError, Upscale},
};

/// Channels behind those of the latents, one row for each picture, and the level of their noise.
pub(super) struct Beside<B: DiffusionBackend> {
    channels: Tensor<B, 4>,
    noise_level: Option<usize>,
}

/// What making them takes.
pub(super) struct Setting<'a, B: DiffusionBackend> {
    /// `[batch, channels, height, width]` of the latents.
    pub(super) shape: [usize; 4],
    pub(super) config: PipelineConfig,
    /// Whose noise is added to pictures that are upscaled.
    pub(super) low_res_scheduler: Option<&'a dyn Scheduler>,
    pub(super) device: &'a B::Device,
}

impl<B: DiffusionBackend> Beside<B> {
    /// What a request gives beside the latents, if anything.
    ///
    /// # Errors
    /// When it does not fit the model.
    pub(super) fn of(
        request: Request<'_>,
        setting: &Setting<'_, B>,
        noise: &mut dyn NoiseGenerator,
    ) -> Result<Option<Self>, Error> {
        match request {
            Request::Depth(depth) => setting.depth(depth).map(Some),
            Request::Upscale(upscale) => setting.upscale(upscale, noise).map(Some),
            Request::Text(_) | Request::Image(_) => Ok(None),
        }
    }
}

impl<B: DiffusionBackend> Setting<'_, B> {
    fn depth(&self, request: &DepthToImage) -> Result<Beside<B>, Error> {
        let [batch, _, height, width] = self.shape;
        let maps: Result<Vec<_>, _> =
            request.depths.iter().map(|depth| depth.scaled(width, height)).collect();
        let data = TensorData::new(maps?.concat(), [request.depths.len(), 1, height, width]);
        let channels = Tensor::from_data(data, (self.device, DType::F32));
        Ok(Beside { channels: spread(channels, batch), noise_level: None })
    }

    fn upscale(
        &self,
        request: &Upscale,
        noise: &mut dyn NoiseGenerator,
    ) -> Result<Beside<B>, Error> {
        let [batch, _, height, width] = self.shape;
        let level = self.noise_level(request.noise_level)?;
        // One generator draws before pictures are repeated, as in diffusers. Several draw for each picture of the result, so
        // that it can be made again by its own seed; diffusers takes the first ones and repeats their noise.
        let count = match &request.text.seeds {
            Seeds::Batch(_) => request.images.len(),
            Seeds::PerImage(_) => batch,
        };
        let images = request.images.iter().cycle().take(count);
        let images = images.map(|image| from_image(image, self.device)).collect();
        let noise = normal(noise, [count, 3, height, width], self.device);
        let channels = spread(add_noise(Tensor::cat(images, 0), noise, level), batch);
        Ok(Beside { channels, noise_level: Some(request.noise_level) })
    }

    /// How much noise a timestep of the training is.
    fn noise_level(&self, found: usize) -> Result<NoiseLevel, Error> {
        let Some(scheduler) = self.low_res_scheduler else {
            return Err(ModelError::NotGiven("low_res_scheduler").into());
        };
        let schedule = scheduler.config().training()?.schedule()?;
        let levels = schedule.alphas_cumprod();
        let limit = self.config.max_noise_level.min(levels.len().saturating_sub(1));
        match levels.get(found).filter(|_| found <= limit) {
            Some(level) => Ok(NoiseLevel::variance_preserving(*level)),
            None => Err(RequestError::NoiseLevel { found, limit }.into()),
        }
    }
}

impl<B: DiffusionBackend> Hook<B> for Beside<B> {
    fn before_denoiser(
        &self,
        _context: &GuidanceContext,
        input: &mut DenoiserInput<B>,
    ) -> Result<(), Error> {
        let rows = input.sample.dims()[0];
        input.extra_channels = Some(self.channels.clone().repeat_dim(0, input.branches.len()));
        input.class_labels = self.noise_level.map(|level| vec![level; rows]);
        Ok(())
    }
}
