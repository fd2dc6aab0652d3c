//! The U-Net as a [`Denoiser`].

use std::path::Path;

use burn::tensor::{DType, Tensor};
use sd_kernels::DiffusionBackend;
use sd_nn::{
    Precision, Sinusoidal,
    checkpoint::{
        KeyTable, ParameterError, ParameterMap, ParameterView, Parameters, WeightSource,
        open_weights,
    },
    config::{ConfigFile, OneOrMany},
};
use sd_unet::{
    AdditionEmbedType, ClassLabels, TextTime, UNet2DConditionModel, UNetConfig, UNetInput,
};

use super::{check_weights, load_weights, open_config};
use crate::{
    Conditioning, Error,
    component::{AddedInput, Denoiser, DenoiserInput},
};

/// Latents of a model that does not say what it was trained on, as SD 1.x has them.
const DEFAULT_SAMPLE_SIZE: [usize; 2] = [64, 64];

/// `UNet2DConditionModel` under text, and what goes with it in SDXL.
#[derive(Debug, Clone)]
pub struct UNetDenoiser<B: DiffusionBackend> {
    model: UNet2DConditionModel<B>,
}

impl<B: DiffusionBackend> UNetDenoiser<B> {
    /// A denoiser of a model.
    pub fn new(model: UNet2DConditionModel<B>) -> Self {
        Self { model }
    }

    /// The module of a configuration, with weights that are drawn at their first use.
    fn module(file: &ConfigFile, device: &B::Device) -> Result<UNet2DConditionModel<B>, Error> {
        let failed = |error| Error::component("unet", error);
        UNetConfig::from_file(file).and_then(|config| config.init::<B>(device)).map_err(failed)
    }

    /// Compares a directory's weights with its configuration.
    pub(crate) fn check(directory: &Path) -> Result<(), Error> {
        let model = Self::module(&config_of(directory)?, &B::Device::default())?;
        Ok(check_weights::<B, _>(&model, directory, own_names)?)
    }

    /// Loads a `unet` directory.
    ///
    /// # Errors
    /// When a file is missing or broken.
    pub fn load(
        directory: &Path,
        device: &B::Device,
        precision: Precision,
        variant: Option<&str>,
    ) -> Result<Self, Error> {
        let config = config_of(directory)?;
        Self::from_source(&config, &open_weights(directory, variant)?, device, precision)
    }

    /// Loads a configuration and weights under diffusers' names, wherever they are from: a
    /// [`Component`](sd_nn::checkpoint::Component) of a single file, for one.
    ///
    /// # Errors
    /// When the configuration makes no model, or the weights are not those of it.
    pub fn from_source(
        config: &ConfigFile,
        weights: &dyn WeightSource,
        device: &B::Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let model = Self::module(config, device)?;
        Ok(Self::new(load_weights::<B, _>(model, weights, precision, own_names)?))
    }

    /// The model.
    pub fn model(&self) -> &UNet2DConditionModel<B> {
        &self.model
    }

    /// The embedding of a guidance scale, for models that were distilled with one
    /// (<https://arxiv.org/abs/2310.04378>; diffusers' `get_guidance_scale_embedding`).
    fn guidance_condition(&self, scale: f64, device: &B::Device) -> Option<Tensor<B, 2>> {
        let width = self.model.config().time_cond_proj_dim?;
        let embedding = Sinusoidal { width, flip_sin_to_cos: false, freq_shift: 1.0 };
        Some(embedding.tensor(&[(scale - 1.0) * 1000.0], DType::F32, device))
    }
}

fn config_of(directory: &Path) -> Result<ConfigFile, Error> {
    open_config(directory).map_err(|error| Error::component("unet", error))
}

/// The additional input of SDXL; what is missing, the model will say.
fn text_time<B: DiffusionBackend>(conditioning: &Conditioning<B>) -> Option<TextTime<B>> {
    let text_embeds = conditioning.pooled.clone()?;
    Some(TextTime { text_embeds, time_ids: conditioning.time_ids.clone()? })
}

/// Files name parameters as the model does.
fn own_names(_source: &dyn WeightSource) -> KeyTable {
    KeyTable::default()
}

impl<B: DiffusionBackend> Denoiser<B> for UNetDenoiser<B> {
    fn latent_channels(&self) -> usize {
        self.model.config().out_channels
    }

    fn extra_channels(&self) -> usize {
        self.model.config().in_channels.saturating_sub(self.latent_channels())
    }

    fn reads_class_labels(&self) -> bool {
        self.model.config().num_class_embeds.is_some()
    }

    fn sample_size(&self) -> [usize; 2] {
        self.model
            .config()
            .sample_size
            .map_or(DEFAULT_SAMPLE_SIZE, |size| [size.height, size.width])
    }

    fn context_width(&self) -> Option<usize> {
        match self.model.config().cross_attention_dim.as_ref()? {
            OneOrMany::One(width) => Some(*width),
            OneOrMany::Many(widths) => widths.first().copied(),
        }
    }

    fn added_input(&self) -> Option<AddedInput> {
        let config = self.model.config();
        let AdditionEmbedType::TextTime = config.addition_embed_type? else { return None };
        Some(AddedInput {
            features: config.addition_time_embed_dim?,
            width: config.projection_class_embeddings_input_dim?,
        })
    }

    fn embeds_guidance(&self) -> bool {
        self.model.config().time_cond_proj_dim.is_some()
    }

    fn predict(&self, input: DenoiserInput<B>) -> Result<Tensor<B, 4>, Error> {
        let (batch, device) = (input.sample.dims()[0], input.sample.device());
        let sample = match input.extra_channels {
            Some(extra) => Tensor::cat(vec![input.sample, extra], 1),
            None => input.sample,
        };
        let added = self.added_input().and_then(|_| text_time(&input.conditioning));
        let mut unet_input = UNetInput::new(sample, input.timestep, input.conditioning.context);
        unet_input.added = added;
        unet_input.class_labels = input.class_labels.map(ClassLabels::Indices);
        unet_input.guidance_condition = self
            .guidance_condition(input.guidance_scale, &device)
            .map(|condition| condition.repeat_dim(0, batch));
        unet_input.residuals =
            input.residuals.map(|residuals| sd_unet::Residuals::new(residuals.down, residuals.mid));
        let output = self.model.forward(unet_input);
        Ok(output.map_err(|error| Error::component("unet", error))?.cast(DType::F32))
    }
}

impl<B: DiffusionBackend> Parameters<B> for UNetDenoiser<B> {
    fn visit_parameters(&self, visit: &mut dyn FnMut(ParameterView<'_, B>)) {
        self.model.visit_parameters(visit);
    }

    fn map_parameters(&mut self, map: &mut ParameterMap<'_, B>) -> Result<(), ParameterError> {
        self.model.map_parameters(map)
    }
}
