//! The autoencoder's configuration.

use std::path::Path;

use sd_kernels::Activation;
use sd_nn::config::{ConfigError, ConfigFile, Size2, ValueError, ValueProblem, null_as_false};
use serde::{Deserialize, Serialize};

/// A configuration value that no autoencoder can be built from; names the key.
pub type VaeConfigError = ValueError;

const CLASS: &str = "AutoencoderKL";
const DOWN_BLOCK: &str = "DownEncoderBlock2D";
const UP_BLOCK: &str = "UpDecoderBlock2D";

/// Largest width of a level.
const MAX_CHANNELS: usize = 1 << 16;
/// Most levels; the factor between image and latents is `2^(levels - 1)`.
const MAX_LEVELS: usize = 12;
const MAX_LAYERS: usize = 64;

/// `config.json` of an autoencoder, with the defaults of diffusers' `AutoencoderKL`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoencoderKLConfig {
    /// Channels of the image that is encoded. Default: 3.
    pub in_channels: usize,
    /// Channels of the image that is decoded. Default: 3.
    pub out_channels: usize,
    /// Only `DownEncoderBlock2D`, once for each level.
    pub down_block_types: Vec<String>,
    /// Only `UpDecoderBlock2D`, once for each level.
    pub up_block_types: Vec<String>,
    /// Width of each level, from the image's size downwards.
    pub block_out_channels: Vec<usize>,
    /// ResNet blocks of an encoder's level; a decoder's has one more. Default: 1.
    pub layers_per_block: usize,
    /// Activation inside of ResNet blocks. Default: `silu`.
    pub act_fn: String,
    /// Channels of the latents. Default: 4.
    pub latent_channels: usize,
    /// Groups of every norm; divides the width of each level. Default: 32.
    pub norm_num_groups: usize,
    /// Size that the model was trained at; decides the size of tiles. Default: 32.
    pub sample_size: Size2,
    /// Brings the latents to unit variance. Default: 0.18215.
    pub scaling_factor: f64,
    /// Subtracted from the latents before they are scaled.
    pub shift_factor: Option<f64>,
    /// Mean of each latent channel, subtracted before the latents are scaled.
    pub latents_mean: Option<Vec<f64>>,
    /// Standard deviation of each latent channel, by which the latents are divided.
    pub latents_std: Option<Vec<f64>>,
    /// Whether f16 overflows, so that it has to run in f32 instead. diffusers heeds it for SDXL, and not for 1.x, 2.x and SD3;
    /// sd-core's codec does not, but notices results that are not finite, whatever the model. Default: yes.
    #[serde(deserialize_with = "null_as_false")]
    pub force_upcast: bool,
    /// Whether a 1×1 convolution follows the encoder. Default: yes.
    #[serde(deserialize_with = "null_as_false")]
    pub use_quant_conv: bool,
    /// Whether a 1×1 convolution precedes the decoder. Default: yes.
    #[serde(deserialize_with = "null_as_false")]
    pub use_post_quant_conv: bool,
    /// Whether the middle blocks have attention. Default: yes.
    #[serde(deserialize_with = "null_as_false")]
    pub mid_block_add_attention: bool,
}

impl Default for AutoencoderKLConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            down_block_types: vec![DOWN_BLOCK.into()],
            up_block_types: vec![UP_BLOCK.into()],
            block_out_channels: vec![64],
            layers_per_block: 1,
            act_fn: "silu".into(),
            latent_channels: 4,
            norm_num_groups: 32,
            sample_size: Size2::square(32),
            scaling_factor: 0.18215,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
            force_upcast: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
        }
    }
}

impl AutoencoderKLConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// [`ConfigError`]: no such file, no JSON, or a value that cannot be used, by file and key.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::from_file(&ConfigFile::open(path)?)
    }

    /// Checks a configuration that has been read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: &ConfigFile) -> Result<Self, ConfigError> {
        if let Some(class) = file.class_name().filter(|class| *class != CLASS) {
            let problem = unsupported(class, CLASS);
            return Err(file.invalid("_class_name", problem));
        }
        let config: Self = file.parse()?;
        config.validate().map_err(|error| file.invalid(error.key, error.problem))?;
        Ok(config)
    }

    /// Image pixels per latent pixel, in each direction.
    pub fn factor(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1).min(MAX_LEVELS)
    }

    /// Whether a model can be built from it. Sizes are bounded, so that a nonsensical file is refused before anything is
    /// allocated.
    ///
    /// # Errors
    /// [`VaeConfigError`], which names the key.
    pub fn validate(&self) -> Result<(), VaeConfigError> {
        let range = |key: &str, value, max| ValueError::check_range(key, value, 1..=max);
        range("in_channels", self.in_channels, MAX_CHANNELS)?;
        range("out_channels", self.out_channels, MAX_CHANNELS)?;
        range("latent_channels", self.latent_channels, MAX_CHANNELS)?;
        range("layers_per_block", self.layers_per_block, MAX_LAYERS)?;
        range("sample_size", self.sample_size.height, usize::MAX)?;
        range("sample_size", self.sample_size.width, usize::MAX)?;
        self.activation()?;
        self.validate_levels()?;
        self.validate_scaling()
    }

    /// The activation that [`act_fn`](Self::act_fn) names.
    pub(crate) fn activation(&self) -> Result<Activation, VaeConfigError> {
        ValueError::parse_activation("act_fn", &self.act_fn.to_lowercase())
    }

    fn validate_levels(&self) -> Result<(), VaeConfigError> {
        let levels = self.block_out_channels.len();
        ValueError::check_count("block_out_channels", &self.block_out_channels, 1..=MAX_LEVELS)?;
        check_blocks("down_block_types", &self.down_block_types, DOWN_BLOCK, levels)?;
        check_blocks("up_block_types", &self.up_block_types, UP_BLOCK, levels)?;
        for (level, &channels) in self.block_out_channels.iter().enumerate() {
            let key = format!("block_out_channels[{level}]");
            ValueError::check_range(&key, channels, 1..=MAX_CHANNELS)?;
            let groups = self.norm_num_groups;
            ValueError::check_divides("norm_num_groups", groups, key, channels)?;
        }
        Ok(())
    }

    fn validate_scaling(&self) -> Result<(), VaeConfigError> {
        ValueError::check_positive("scaling_factor", self.scaling_factor)?;
        if let Some(shift) = self.shift_factor {
            ValueError::check_finite("shift_factor", shift)?;
        }
        let conflict = |key: &str, with: &str| {
            Err(ValueError::new(key, ValueProblem::Conflict { with: with.into() }))
        };
        match (&self.latents_mean, &self.latents_std) {
            (Some(_), None) => return conflict("latents_mean", "without `latents_std`"),
            (None, Some(_)) => return conflict("latents_std", "without `latents_mean`"),
            (Some(_), Some(_)) if self.shift_factor.is_some() => {
                return conflict("shift_factor", "together with `latents_mean`");
            }
            _ => {}
        }
        let (mean, std) = (self.latents_mean.as_deref(), self.latents_std.as_deref());
        self.check_channels("latents_mean", mean, ValueError::check_finite)?;
        self.check_channels("latents_std", std, ValueError::check_positive)
    }

    fn check_channels(
        &self,
        key: &str,
        values: Option<&[f64]>,
        check: fn(String, f64) -> Result<(), ValueError>,
    ) -> Result<(), VaeConfigError> {
        let Some(values) = values else { return Ok(()) };
        ValueError::check_length(key, values, self.latent_channels)?;
        (0..)
            .zip(values)
            .try_for_each(|(channel, &value)| check(format!("{key}[{channel}]"), value))
    }
}

fn check_blocks(
    key: &str,
    types: &[String],
    supported: &str,
    levels: usize,
) -> Result<(), VaeConfigError> {
    ValueError::check_length(key, types, levels)?;
    match types.iter().position(|name| name != supported) {
        Some(level) => {
            let problem = unsupported(&types[level], supported);
            Err(ValueError::new(format_args!("{key}[{level}]"), problem))
        }
        None => Ok(()),
    }
}

fn unsupported(found: &str, expected: impl Into<String>) -> ValueProblem {
    ValueProblem::Unsupported { found: found.into(), expected: expected.into() }
}
