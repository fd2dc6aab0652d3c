//! From a configuration to the layers of a model: every list is spread over the levels, and every number is checked.

mod check;
mod counts;
mod embeddings;
mod levels;
mod signature;

use sd_nn::{Conv2dConfig, GroupNormConfig, TimestepEmbeddingConfig};

use crate::{
    UNetConfig, UNetConfigError,
    blocks::{DownBlockConfig, MidBlockConfig, UpBlockConfig},
    conditioning::ClassEmbeddingConfig,
};

use check::{MAX_WIDTH, finite, within};
use embeddings::Embeddings;
use levels::Levels;

pub(crate) use signature::{AddedInput, ClassInput, Signature, Skip};

/// Kernels of the first and last convolution are not larger.
const MAX_KERNEL: usize = 31;

/// The layers of a model, sizes and all, and what its forward takes.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) conv_in: Conv2dConfig,
    pub(crate) time_embedding: TimestepEmbeddingConfig,
    pub(crate) class_embedding: Option<ClassEmbeddingConfig>,
    pub(crate) add_embedding: Option<TimestepEmbeddingConfig>,
    pub(crate) down_blocks: Vec<DownBlockConfig>,
    pub(crate) mid_block: Option<MidBlockConfig>,
    pub(crate) up_blocks: Vec<UpBlockConfig>,
    pub(crate) conv_norm_out: GroupNormConfig,
    pub(crate) conv_out: Conv2dConfig,
    pub(crate) signature: Signature,
}

impl Plan {
    /// Checks a configuration and spreads it out.
    pub(crate) fn new(config: &UNetConfig) -> Result<Self, UNetConfigError> {
        refuse_unsupported(config)?;
        let in_channels = within("in_channels", config.in_channels, 1..=MAX_WIDTH)?;
        let out_channels = within("out_channels", config.out_channels, 1..=MAX_WIDTH)?;
        let conv_in_kernel = odd_kernel("conv_in_kernel", config.conv_in_kernel)?;
        let conv_out_kernel = odd_kernel("conv_out_kernel", config.conv_out_kernel)?;
        finite("freq_shift", config.freq_shift, |_| true, "finite")?;

        let channels = levels::channels(config)?;
        let embeddings = Embeddings::new(config, channels[0])?;
        let levels = Levels::new(config, embeddings.time.output)?;
        let down_blocks = levels.down_blocks()?;
        let mid_block = levels.mid_block()?;
        let up_blocks = levels.up_blocks()?;
        levels.check_total(&down_blocks, mid_block.as_ref(), &up_blocks)?;

        let signature = Signature {
            in_channels,
            center: config.center_input_sample,
            context_width: levels.context_width()?,
            features: embeddings.features,
            class: embeddings.class_input,
            added: embeddings.added,
            guidance: embeddings.time.condition,
            halving: levels.downsample_padding(),
            skips: levels.skips(),
        };
        Ok(Self {
            conv_in: Conv2dConfig::new(in_channels, channels[0], conv_in_kernel),
            time_embedding: embeddings.time,
            class_embedding: embeddings.class,
            add_embedding: embeddings.add,
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out: levels.norm_out(),
            conv_out: Conv2dConfig::new(channels[0], out_channels, conv_out_kernel),
            signature,
        })
    }
}

/// What diffusers knows (or refuses) and no model of the family uses.
fn refuse_unsupported(config: &UNetConfig) -> Result<(), UNetConfigError> {
    let refuse =
        |key, found: String, supported| Err(UNetConfigError::Unsupported { key, found, supported });
    if config.num_attention_heads.is_some() {
        let supported =
            "null, with the number of heads in `attention_head_dim`, as diffusers has it";
        return refuse("num_attention_heads", "set".into(), supported);
    }
    if let Some(width) = config.encoder_hid_dim {
        return refuse("encoder_hid_dim", width.to_string(), "null");
    }
    if let Some(kind) = &config.encoder_hid_dim_type {
        return refuse("encoder_hid_dim_type", format!("\"{kind}\""), "null");
    }
    if config.dual_cross_attention {
        return refuse("dual_cross_attention", "true".into(), "false");
    }
    if config.class_embeddings_concat {
        return refuse("class_embeddings_concat", "true".into(), "false");
    }
    Ok(())
}

/// An even kernel would make the output smaller than the sample.
fn odd_kernel(key: &str, size: usize) -> Result<usize, UNetConfigError> {
    if size % 2 == 1 && size <= MAX_KERNEL {
        return Ok(size);
    }
    let expected = format!("an odd number up to {MAX_KERNEL}");
    Err(UNetConfigError::OutOfRange { key: key.into(), found: size.to_string(), expected })
}
