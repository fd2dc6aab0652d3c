//! The configuration of a U-Net, with the keys and defaults of diffusers' class.

mod error;
mod text;

use std::path::Path;

use sd_kernels::{Activation, DiffusionBackend};
use sd_nn::config::{ConfigFile, OneOrMany, Size2, null_as_false};
use serde::{Deserialize, Serialize};

use crate::{
    AdditionEmbedType, AttentionType, ClassEmbedType, DownBlockType, MidBlockType,
    TimeEmbeddingType, TimeScaleShiftType, UNet2DConditionModel, UpBlockType, plan::Plan,
};

pub use error::UNetConfigError;

/// Configuration of [`UNet2DConditionModel`]: the keys of `unet/config.json`
/// (diffusers' `models/unets/unet_2d_condition.py`). A key that the file lacks has diffusers' default.
///
/// Keys that have no effect on the supported blocks (`dropout` outside training, `resnet_skip_time_act`,
/// `resnet_out_scale_factor`, `cross_attention_norm`, …) are not read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UNetConfig {
    /// Size of the latents that the model was trained on. Nothing depends on it here; pipelines take it as the default.
    pub sample_size: Option<Size2>,
    /// Channels of the input: 4, or more for inpainting, depth, upscaling and editing.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Whether the sample goes from `[0, 1]` to `[-1, 1]` first.
    #[serde(deserialize_with = "null_as_false")]
    pub center_input_sample: bool,
    /// Whether cosines stand before sines in the timestep's features.
    #[serde(deserialize_with = "null_as_false")]
    pub flip_sin_to_cos: bool,
    /// Subtracted from the number of frequencies.
    pub freq_shift: f64,
    /// Levels of the way down.
    pub down_block_types: Vec<DownBlockType>,
    /// The middle; `None` without one.
    pub mid_block_type: Option<MidBlockType>,
    /// Levels of the way up, from the deepest.
    pub up_block_types: Vec<UpBlockType>,
    /// Whether both attentions of a block look at the context, for all levels or for each.
    pub only_cross_attention: OneOrMany<bool>,
    /// Channels of each level.
    pub block_out_channels: Vec<usize>,
    /// ResNet blocks of a level on the way down; one more on the way up.
    pub layers_per_block: OneOrMany<usize>,
    /// Padding of the downsampling convolutions: 1 on all sides, or 0 for below and to the right only.
    pub downsample_padding: usize,
    /// Divides the output of the middle's ResNet blocks.
    pub mid_block_scale_factor: f64,
    /// Activation after the norms and in the embeddings.
    #[serde(with = "text")]
    pub act_fn: Activation,
    /// Groups of the norms; none of the supported blocks does without.
    pub norm_num_groups: Option<usize>,
    /// Added to the variance by the norms outside the transformers.
    pub norm_eps: f64,
    /// Width of the context.
    pub cross_attention_dim: Option<OneOrMany<usize>>,
    /// Transformer blocks in each spatial transformer: for all, for each level, or for each of a level's transformers.
    pub transformer_layers_per_block: OneOrMany<OneOrMany<usize>>,
    /// The same for the way up, from the deepest, when it is not the way down reversed.
    pub reverse_transformer_layers_per_block: Option<Vec<OneOrMany<usize>>>,
    /// Width of an encoder's output that is projected to the context; not supported.
    pub encoder_hid_dim: Option<usize>,
    /// How it is projected; not supported.
    pub encoder_hid_dim_type: Option<String>,
    /// The *number* of heads, whatever the name says, for all levels or for each.
    pub attention_head_dim: OneOrMany<usize>,
    /// Refused, as in diffusers, which would not know which of the two is meant.
    pub num_attention_heads: Option<OneOrMany<usize>>,
    /// Two contexts; not supported.
    #[serde(deserialize_with = "null_as_false")]
    pub dual_cross_attention: bool,
    /// Whether the transformers' projections are linear layers rather than 1×1 convolutions.
    #[serde(deserialize_with = "null_as_false")]
    pub use_linear_projection: bool,
    /// How class labels are embedded; with `None`, `num_class_embeds` decides.
    pub class_embed_type: Option<ClassEmbedType>,
    /// What is embedded beside the timestep.
    pub addition_embed_type: Option<AdditionEmbedType>,
    /// Features of each size scalar (SDXL).
    pub addition_time_embed_dim: Option<usize>,
    /// Entries of the table of class embeddings (the noise levels of an upscaler).
    pub num_class_embeds: Option<usize>,
    /// Accepted and without effect: scores are in f32 always.
    #[serde(deserialize_with = "null_as_false")]
    pub upcast_attention: bool,
    /// How the time embedding enters the ResNet blocks.
    pub resnet_time_scale_shift: TimeScaleShiftType,
    /// How the timestep becomes features.
    pub time_embedding_type: TimeEmbeddingType,
    /// Width of the time embedding. Default: four times the first level's channels.
    pub time_embedding_dim: Option<usize>,
    /// Activation of the sum of all embeddings, before that of the ResNet blocks.
    #[serde(with = "text::optional")]
    pub time_embedding_act_fn: Option<Activation>,
    /// Activation of the timestep's own embedding.
    #[serde(with = "text::optional")]
    pub timestep_post_act: Option<Activation>,
    /// Width of the guidance embedding (LCM).
    pub time_cond_proj_dim: Option<usize>,
    /// Kernel of the first convolution, odd.
    pub conv_in_kernel: usize,
    /// Kernel of the last convolution, odd.
    pub conv_out_kernel: usize,
    /// Width of what the class embedding or the additional embedding projects.
    pub projection_class_embeddings_input_dim: Option<usize>,
    /// The kind of transformer block.
    pub attention_type: AttentionType,
    /// Class embeddings beside the time embedding rather than added to it; not supported.
    #[serde(deserialize_with = "null_as_false")]
    pub class_embeddings_concat: bool,
}

impl Default for UNetConfig {
    fn default() -> Self {
        use DownBlockType::{CrossAttnDownBlock2D as CrossDown, DownBlock2D as Down};
        use UpBlockType::{CrossAttnUpBlock2D as CrossUp, UpBlock2D as Up};
        Self {
            sample_size: None,
            in_channels: 4,
            out_channels: 4,
            center_input_sample: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            down_block_types: vec![CrossDown, CrossDown, CrossDown, Down],
            mid_block_type: Some(MidBlockType::UNetMidBlock2DCrossAttn),
            up_block_types: vec![Up, CrossUp, CrossUp, CrossUp],
            only_cross_attention: OneOrMany::One(false),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: OneOrMany::One(2),
            downsample_padding: 1,
            mid_block_scale_factor: 1.0,
            act_fn: Activation::Silu,
            norm_num_groups: Some(32),
            norm_eps: 1e-5,
            cross_attention_dim: Some(OneOrMany::One(1280)),
            transformer_layers_per_block: OneOrMany::One(OneOrMany::One(1)),
            reverse_transformer_layers_per_block: None,
            encoder_hid_dim: None,
            encoder_hid_dim_type: None,
            attention_head_dim: OneOrMany::One(8),
            num_attention_heads: None,
            dual_cross_attention: false,
            use_linear_projection: false,
            class_embed_type: None,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            num_class_embeds: None,
            upcast_attention: false,
            resnet_time_scale_shift: TimeScaleShiftType::Default,
            time_embedding_type: TimeEmbeddingType::Positional,
            time_embedding_dim: None,
            time_embedding_act_fn: None,
            timestep_post_act: None,
            time_cond_proj_dim: None,
            conv_in_kernel: 3,
            conv_out_kernel: 3,
            projection_class_embeddings_input_dim: None,
            attention_type: AttentionType::Default,
            class_embeddings_concat: false,
        }
    }
}

impl UNetConfig {
    /// Reads a `config.json` and checks it.
    ///
    /// # Errors
    /// [`UNetConfigError`]: the file cannot be read, or a value cannot be used.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, UNetConfigError> {
        Self::from_file(&ConfigFile::open(path)?)
    }

    /// Checks a configuration that has been read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: &ConfigFile) -> Result<Self, UNetConfigError> {
        let config: Self = file.parse()?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that a model can be made of the values.
    ///
    /// # Errors
    /// [`UNetConfigError`], which names the key.
    pub fn validate(&self) -> Result<(), UNetConfigError> {
        Plan::new(self).map(drop)
    }

    /// A model with weights that are drawn at their first use, should nothing replace them before.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn init<B: DiffusionBackend>(
        &self,
        device: &B::Device,
    ) -> Result<UNet2DConditionModel<B>, UNetConfigError> {
        Ok(UNet2DConditionModel::from_plan(self.clone(), Plan::new(self)?, device))
    }
}

#[cfg(test)]
mod tests;
