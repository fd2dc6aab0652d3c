//! The parts of a pipeline, as object-safe traits. Any of them can be one's own.

use burn::tensor::{Tensor, backend::Backend};
use sd_nn::checkpoint::{ParameterError, ParameterView, Parameters};

use crate::{Conditioning, Error, PipelineParameterMap, guidance::GuidanceContext, run::StepState};

/// What a prompt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PromptRole {
    /// What is wanted.
    Positive,
    /// What is not.
    Negative,
}

/// Prompts for a [`TextEncoder`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TextInput<'a> {
    /// One for each row of the conditioning.
    pub prompts: &'a [String],
    /// As many for the second of two encoders; `None` when it reads the same.
    pub prompts_2: Option<&'a [String]>,
    /// What they are for.
    pub role: PromptRole,
    /// Layers to skip at the end of the encoder, as diffusers counts them: 1 is the second-last.
    pub clip_skip: Option<usize>,
}

impl<'a> TextInput<'a> {
    /// Prompts without anything else asked for.
    pub fn new(prompts: &'a [String], role: PromptRole) -> Self {
        Self { prompts, prompts_2: None, role, clip_skip: None }
    }
}

/// Turns prompts into conditionings: one encoder with its tokenizer, or several of them.
pub trait TextEncoder<B: Backend>: Parameters<B> {
    /// Width of the token features, if it is known beforehand.
    fn width(&self) -> Option<usize> {
        None
    }

    /// Width of the pooled vectors, if it is known beforehand.
    fn pooled_width(&self) -> Option<usize> {
        None
    }

    /// How many prompts of its own each picture may have: as many as it has encoders that read them.
    fn prompts_per_picture(&self) -> usize {
        1
    }

    /// Visits every parameter, with the name of its encoder in `model_index.json`: several encoders have the same paths.
    fn visit_components(&self, visit: &mut dyn FnMut(&str, ParameterView<'_, B>)) {
        self.visit_parameters(&mut |view| visit("text_encoder", view));
    }

    /// Replaces every parameter, given the name of its encoder, its path and its value.
    ///
    /// # Errors
    /// As [`Parameters::map_parameters`].
    fn map_components(
        &mut self,
        map: &mut PipelineParameterMap<'_, B>,
    ) -> Result<(), ParameterError> {
        self.map_parameters(&mut |path, value| map("text_encoder", path, value))
    }

    /// Encodes prompts.
    ///
    /// # Errors
    /// When an option cannot be met, or the device fails.
    fn encode(&self, input: &TextInput<'_>) -> Result<Conditioning<B>, Error>;
}

/// ControlNet's additions to a U-Net, `[batch, channels, height, width]` each.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Residuals<B: Backend> {
    /// For the skips, in the order in which the down path makes them.
    pub down: Vec<Tensor<B, 4>>,
    /// For the output of the middle block.
    pub mid: Option<Tensor<B, 4>>,
}

impl<B: Backend> Residuals<B> {
    /// Additions to the skips and to the middle block's output.
    pub fn new(down: Vec<Tensor<B, 4>>, mid: Option<Tensor<B, 4>>) -> Self {
        Self { down, mid }
    }
}

/// Input of a [`Denoiser`]. Hooks may change it before every evaluation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DenoiserInput<B: Backend> {
    /// Scaled latents, `[batch, channels, height, width]`, in f32.
    pub sample: Tensor<B, 4>,
    /// The timestep of all rows; some samplers evaluate between two training steps.
    pub timestep: f64,
    /// One row for each row of the sample.
    pub conditioning: Conditioning<B>,
    /// The branches of the guidance, in the order in which their rows stand in the sample, with as many rows each.
    pub branches: Vec<PromptRole>,
    /// Channels that follow those of the sample (mask and masked image of inpainting models).
    pub extra_channels: Option<Tensor<B, 4>>,
    /// Entries of the model's table of classes, one for each row (the noise level of an upscaler).
    pub class_labels: Option<Vec<usize>>,
    /// ControlNet's additions.
    pub residuals: Option<Residuals<B>>,
    /// The request's guidance scale, for denoisers that [embed](Denoiser::embeds_guidance) it.
    pub guidance_scale: f64,
}

impl<B: Backend> DenoiserInput<B> {
    /// Input without extras.
    pub fn new(sample: Tensor<B, 4>, timestep: f64, conditioning: Conditioning<B>) -> Self {
        Self {
            sample,
            timestep,
            conditioning,
            branches: vec![PromptRole::Positive],
            extra_channels: None,
            class_labels: None,
            residuals: None,
            guidance_scale: 1.0,
        }
    }
}

/// What a denoiser reads beside the timestep and the token features: pooled text and numbers about the picture, as one
/// vector (SDXL's `text_time`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedInput {
    /// Features of each number.
    pub features: usize,
    /// Width of the pooled text and all features together.
    pub width: usize,
}

/// Predicts noise, velocity or clean latents, as its scheduler's configuration says.
pub trait Denoiser<B: Backend>: Parameters<B> {
    /// Channels of the latents.
    fn latent_channels(&self) -> usize;

    /// Channels that it reads behind those of the latents: mask and masked image, depth, or a picture to upscale.
    fn extra_channels(&self) -> usize {
        0
    }

    /// Whether it needs an entry of its table of classes for each row (the noise level of an upscaler).
    fn reads_class_labels(&self) -> bool {
        false
    }

    /// Height and width of the latents that the model was trained on.
    fn sample_size(&self) -> [usize; 2];

    /// Width of the token features it wants, if it cares.
    fn context_width(&self) -> Option<usize> {
        None
    }

    /// The pooled text and the numbers about the picture that it needs, if it needs any.
    fn added_input(&self) -> Option<AddedInput> {
        None
    }

    /// Whether the guidance scale is an input of the model (latent consistency models). Only the positive prompt is then
    /// evaluated.
    fn embeds_guidance(&self) -> bool {
        false
    }

    /// Predicts.
    ///
    /// # Shapes
    /// - output: that of the sample
    ///
    /// # Errors
    /// When the input does not fit, or the device fails.
    fn predict(&self, input: DenoiserInput<B>) -> Result<Tensor<B, 4>, Error>;
}

/// How latents are drawn from an encoder's posterior.
#[derive(Debug, Clone)]
pub enum PosteriorDraw<B: Backend> {
    /// The most probable ones.
    Mode,
    /// A sample, with this unit-variance noise of the latents' shape.
    Sample(Tensor<B, 4>),
}

/// Between images and latents.
pub trait LatentCodec<B: Backend>: Parameters<B> {
    /// Pixels of an image along each side of one latent.
    fn factor(&self) -> usize;

    /// Channels of the latents.
    fn latent_channels(&self) -> usize;

    /// What the encoder's latents are multiplied by, if that is one number.
    fn scaling_factor(&self) -> Option<f64> {
        None
    }

    /// Decodes latents as the denoiser has them.
    ///
    /// # Shapes
    /// - latents: `[batch, channels, height, width]`
    /// - output: `[batch, 3, factor · height, factor · width]`, in f32, about -1 to 1
    ///
    /// # Errors
    /// When the shape does not fit, or the device fails.
    fn decode(&self, latents: Tensor<B, 4>) -> Result<Tensor<B, 4>, Error>;

    /// Encodes images to latents as the denoiser has them.
    ///
    /// # Shapes
    /// - image: `[batch, 3, height, width]`, -1 to 1
    /// - output: `[batch, channels, height / factor, width / factor]`, in f32
    ///
    /// # Errors
    /// When the shape does not fit, or the device fails.
    fn encode(&self, image: Tensor<B, 4>, draw: PosteriorDraw<B>) -> Result<Tensor<B, 4>, Error>;
}

/// Combines predictions under different conditionings into one.
pub trait Guidance<B: Backend>: Send + Sync {
    /// The conditionings that are evaluated at this step, in one batch and in this order. At least one.
    fn branches(&self, context: &GuidanceContext) -> Vec<PromptRole>;

    /// Combines the predictions, one for each branch, each `[batch, channels, height, width]` in f32.
    fn combine(&self, context: &GuidanceContext, predictions: Vec<Tensor<B, 4>>) -> Tensor<B, 4>;
}

/// Looks at a run, and changes it, at fixed points of the one denoising loop. Every method has an empty body.
pub trait Hook<B: Backend>: Send + Sync {
    /// Before an evaluation of the denoiser, whose input may be changed. Its rows are those of the branches, one after the
    /// other.
    ///
    /// # Errors
    /// Any error ends the run.
    fn before_denoiser(
        &self,
        _context: &GuidanceContext,
        _input: &mut DenoiserInput<B>,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// After guidance, with the prediction that the sampler is about to get.
    ///
    /// # Errors
    /// Any error ends the run.
    fn after_guidance(
        &self,
        _context: &GuidanceContext,
        _prediction: &mut Tensor<B, 4>,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// After a step, when the latents may be replaced.
    ///
    /// # Errors
    /// Any error ends the run.
    fn after_step(&self, _step: &mut StepState<'_, B>) -> Result<(), Error> {
        Ok(())
    }
}
