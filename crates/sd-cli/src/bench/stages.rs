//! What is timed.

use burn::tensor::{DType, Distribution, Tensor};
use clap::ValueEnum;
use sd_core::{
    Conditioning, DiffusionBackend,
    component::{DenoiserInput, PosteriorDraw, PromptRole, TextInput},
};

use super::Models;
use crate::{arguments::Bench, error::CliError};

/// A stage of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// The text encoder, on a prompt and a negative prompt
    Text,
    /// The denoiser, once for a whole batch
    Unet,
    /// From latents to an image
    VaeDecode,
    /// From an image to latents
    VaeEncode,
    /// All of them
    All,
}

impl Stage {
    /// The stages that it stands for.
    pub(super) fn stages(self) -> &'static [Stage] {
        match self {
            Self::Text => &[Self::Text],
            Self::Unet => &[Self::Unet],
            Self::VaeDecode => &[Self::VaeDecode],
            Self::VaeEncode => &[Self::VaeEncode],
            Self::All => &[Self::Text, Self::Unet, Self::VaeDecode, Self::VaeEncode],
        }
    }

    /// Its key in JSON.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Unet => "unet",
            Self::VaeDecode => "vae_decode",
            Self::VaeEncode => "vae_encode",
            Self::All => "all",
        }
    }
}

/// The inputs of all stages.
pub(super) struct Setting<B: DiffusionBackend> {
    prompts: Vec<String>,
    conditioning: Conditioning<B>,
    sample: Tensor<B, 4>,
    /// What the denoiser reads behind the sample, if anything.
    extra_channels: Option<Tensor<B, 4>>,
    latents: Tensor<B, 4>,
    image: Tensor<B, 4>,
}

impl<B: DiffusionBackend> Setting<B> {
    /// Random inputs of the sizes asked for.
    pub(super) fn new(
        arguments: &Bench,
        models: &Models<'_, B>,
        device: &B::Device,
    ) -> Result<Self, CliError> {
        let factor = models.vae.factor();
        let [width, height] = arguments.image_size();
        if width == 0
            || height == 0
            || !width.is_multiple_of(factor)
            || !height.is_multiple_of(factor)
        {
            let message = format!("{width}×{height} is no multiple of {factor} pixels");
            return Err(CliError::new(message));
        }
        let random = |batch: usize, channels, side: usize| {
            let shape = [batch, channels, height / side, width / side];
            Tensor::<B, 4>::random(shape, Distribution::Normal(0.0, 1.0), (device, DType::F32))
        };
        let channels = models.denoiser.latent_channels();
        Ok(Self {
            prompts: vec!["a lighthouse at dusk".into(), String::new()],
            conditioning: conditioning(arguments.batch, [width, height], models, device),
            sample: random(arguments.batch, channels, factor),
            extra_channels: match models.denoiser.extra_channels() {
                0 => None,
                extra => Some(random(arguments.batch, extra, factor)),
            },
            latents: random(1, channels, factor),
            image: random(1, 3, 1).clamp(-1.0, 1.0),
        })
    }

    /// Runs a stage until its result is there.
    pub(super) fn run(&self, stage: Stage, models: &Models<'_, B>) -> Result<(), CliError> {
        let data = match stage {
            Stage::Text => {
                let input = TextInput::new(&self.prompts, PromptRole::Positive);
                models.text_encoder.encode(&input)?.context.try_into_data()
            }
            Stage::Unet => {
                let conditioning = self.conditioning.clone();
                let mut input = DenoiserInput::new(self.sample.clone(), 500.0, conditioning);
                input.extra_channels = self.extra_channels.clone();
                let rows = self.sample.dims()[0];
                input.class_labels = models.denoiser.reads_class_labels().then(|| vec![0; rows]);
                models.denoiser.predict(input)?.try_into_data()
            }
            Stage::VaeDecode => models.vae.decode(self.latents.clone())?.try_into_data(),
            Stage::VaeEncode => {
                models.vae.encode(self.image.clone(), PosteriorDraw::Mode)?.try_into_data()
            }
            Stage::All => {
                return stage.stages().iter().try_for_each(|stage| self.run(*stage, models));
            }
        };
        let data = data.map_err(|error| CliError::new(error.to_string()))?;
        // A time of nothing but wrong numbers would be none.
        match data.iter::<f32>().all(f32::is_finite) {
            true => Ok(()),
            false => Err(CliError::new(format!("{} made values that are no numbers", stage.key()))),
        }
    }
}

/// Random features, and what else the denoiser reads.
fn conditioning<B: DiffusionBackend>(
    batch: usize,
    [width, height]: [usize; 2],
    models: &Models<'_, B>,
    device: &B::Device,
) -> Conditioning<B> {
    let (random, options) = (Distribution::Normal(0.0, 1.0), (device, DType::F32));
    let context = [batch, TOKENS, models.denoiser.context_width().unwrap_or(1)];
    let conditioning = Conditioning::new(Tensor::random(context, random, options));
    let added = models.denoiser.added_input().zip(models.text_encoder.pooled_width());
    let Some((added, pooled)) = added else { return conditioning };
    // Original size, crop and target size, or as many of them as there is room for.
    let [width, height] = [width, height].map(|side| side as f64);
    let mut time_ids = vec![height, width, 0.0, 0.0, height, width];
    time_ids.truncate(added.width.saturating_sub(pooled) / added.features.max(1));
    let pooled = Tensor::random([batch, pooled], random, options);
    conditioning.with_pooled(pooled).with_time_ids(time_ids)
}

/// Tokens of CLIP's context.
const TOKENS: usize = 77;
