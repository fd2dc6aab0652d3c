//! Full-size architectures with random weights.

use burn::tensor::{FloatDType, Tensor};
use clap::ValueEnum;
use sd_core::{
    Conditioning, DiffusionBackend, Error, Precision,
    component::{TextEncoder, TextInput},
    components::{UNetDenoiser, VaeCodec},
    sd_clip::{ClipTextConfig, ClipTextModel, EosToken, TextFeatures},
    sd_nn::{
        checkpoint::{ParameterError, ParameterMap, ParameterView, Parameters},
        config::ConfigFile,
    },
    sd_unet::UNetConfig,
    sd_vae::AutoencoderKLConfig,
};

use crate::error::CliError;

/// An architecture that is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Arch {
    /// Stable Diffusion 1.x
    #[default]
    Sd15,
    /// Stable Diffusion 2.x
    Sd21,
    /// Stable Diffusion XL
    Sdxl,
}

/// Its parts.
pub(super) struct Parts<B: DiffusionBackend> {
    pub(super) text_encoder: IdsEncoder<B>,
    pub(super) denoiser: UNetDenoiser<B>,
    pub(super) vae: VaeCodec<B>,
}

/// Keys of diffusers' configurations that differ from its defaults.
struct Texts {
    text_encoders: &'static [&'static str],
    features: TextFeatures,
    unet: &'static str,
}

const CLIP_L: &str = r#"{"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
    "num_hidden_layers": 12, "hidden_act": "quick_gelu"}"#;

const OPEN_CLIP_BIG_G: &str = r#"{"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20,
    "num_hidden_layers": 32, "hidden_act": "gelu", "projection_dim": 1280,
    "architectures": ["CLIPTextModelWithProjection"]}"#;

const SD15: Texts = Texts {
    text_encoders: &[CLIP_L],
    features: TextFeatures::LastNormalized,
    unet: r#"{"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}"#,
};

const SD21: Texts = Texts {
    text_encoders: &[
        r#"{"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
        "num_hidden_layers": 23, "hidden_act": "gelu"}"#,
    ],
    features: TextFeatures::LastNormalized,
    unet: r#"{"sample_size": 96, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": true}"#,
};

const SDXL: Texts = Texts {
    text_encoders: &[CLIP_L, OPEN_CLIP_BIG_G],
    features: TextFeatures::Penultimate,
    unet: r#"{"sample_size": 128, "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20],
        "block_out_channels": [320, 640, 1280], "transformer_layers_per_block": [1, 2, 10],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "use_linear_projection": true, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816}"#,
};

const VAE: &str = r#"{"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "sample_size": 512,
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]}"#;

impl Arch {
    /// Draws its weights.
    pub(super) fn init<B: DiffusionBackend>(
        self,
        device: &B::Device,
        dtype: Precision,
    ) -> Result<Parts<B>, CliError> {
        let mut parts = self.build::<B>(device)?;
        let dtype = FloatDType::from(dtype.dtype());
        let models: [&mut dyn Parameters<B>; 3] =
            [&mut parts.text_encoder, &mut parts.denoiser, &mut parts.vae];
        for model in models {
            model.map_parameters(&mut |_, value| value.cast(dtype))?;
        }
        Ok(parts)
    }

    /// Its modules, whose weights are drawn at their first use.
    fn build<B: DiffusionBackend>(self, device: &B::Device) -> Result<Parts<B>, CliError> {
        let texts = match self {
            Self::Sd15 => SD15,
            Self::Sd21 => SD21,
            Self::Sdxl => SDXL,
        };
        let encoder = |text: &&str| -> Result<_, CliError> {
            let config: ClipTextConfig = ConfigFile::from_text("text_encoder", text)?.parse()?;
            Ok(config.init::<B>(device)?)
        };
        let models = texts.text_encoders.iter().map(encoder).collect::<Result<_, _>>()?;
        let unet: UNetConfig = ConfigFile::from_text("unet", texts.unet)?.parse()?;
        let vae: AutoencoderKLConfig = ConfigFile::from_text("vae", VAE)?.parse()?;
        Ok(Parts {
            text_encoder: IdsEncoder { models, features: texts.features },
            denoiser: UNetDenoiser::new(unet.init::<B>(device)?),
            vae: VaeCodec::new(vae.init::<B>(device)?),
        })
    }
}

/// Text encoders without a vocabulary: every prompt is the same tokens.
#[derive(Debug, Clone)]
pub(super) struct IdsEncoder<B: DiffusionBackend> {
    models: Vec<ClipTextModel<B>>,
    features: TextFeatures,
}

impl<B: DiffusionBackend> TextEncoder<B> for IdsEncoder<B> {
    fn width(&self) -> Option<usize> {
        Some(self.models.iter().map(|model| model.config().hidden_size).sum())
    }

    fn pooled_width(&self) -> Option<usize> {
        let config = self.models.last()?.config();
        match config.has_projection() {
            true => config.projection_dim,
            false => Some(config.hidden_size),
        }
    }

    fn encode(&self, input: &TextInput<'_>) -> Result<Conditioning<B>, Error> {
        let failed = |error| Error::component("text_encoder", error);
        let (mut features, mut pooled) = (Vec::new(), None);
        for model in &self.models {
            let end = model.config().vocab_size as u32 - 1;
            let tokens = model.config().max_position_embeddings as u32;
            let ids: Vec<u32> = (0..tokens - 1).chain([end]).collect();
            let ids = vec![ids; input.prompts.len()];
            let output = model.forward(&ids, EosToken::Id(end)).map_err(failed)?;
            features.push(model.features(&output, self.features, None).map_err(failed)?);
            pooled = Some(output.text_embeds.unwrap_or(output.pooled));
        }
        let conditioning = Conditioning::new(Tensor::cat(features, 2));
        Ok(match pooled {
            Some(pooled) => conditioning.with_pooled(pooled),
            None => conditioning,
        })
    }
}

impl<B: DiffusionBackend> Parameters<B> for IdsEncoder<B> {
    fn visit_parameters(&self, visit: &mut dyn FnMut(ParameterView<'_, B>)) {
        self.models.iter().for_each(|model| model.visit_parameters(visit));
    }

    fn map_parameters(&mut self, map: &mut ParameterMap<'_, B>) -> Result<(), ParameterError> {
        self.models.iter_mut().try_for_each(|model| model.map_parameters(map))
    }
}

#[cfg(test)]
mod tests {
    use sd_core::component::Denoiser;

    use super::*;

    /// Nothing is drawn yet, so this costs little.
    #[test]
    fn architectures_fit_together() -> Result<(), CliError> {
        type B = sd_core::backend::Cpu;
        for arch in [Arch::Sd15, Arch::Sd21, Arch::Sdxl] {
            let parts = arch.build::<B>(&Default::default())?;
            assert_eq!(parts.text_encoder.width(), parts.denoiser.context_width());
            let Some(added) = parts.denoiser.added_input() else { continue };
            let pooled = parts.text_encoder.pooled_width();
            assert_eq!(Some(added.width), pooled.map(|pooled| pooled + 6 * added.features));
        }
        Ok(())
    }
}
