//! Full-size architectures with random weights.

use burn::tensor::FloatDType;
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
}

/// Its parts.
pub(super) struct Parts<B: DiffusionBackend> {
    pub(super) text_encoder: IdsEncoder<B>,
    pub(super) denoiser: UNetDenoiser<B>,
    pub(super) vae: VaeCodec<B>,
}

/// Keys of diffusers' configurations that differ from its defaults.
struct Texts {
    text_encoder: &'static str,
    unet: &'static str,
}

const SD15: Texts = Texts {
    text_encoder: r#"{"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_hidden_layers": 12, "hidden_act": "quick_gelu"}"#,
    unet: r#"{"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}"#,
};

const SD21: Texts = Texts {
    text_encoder: r#"{"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
        "num_hidden_layers": 23, "hidden_act": "gelu"}"#,
    unet: r#"{"sample_size": 96, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": true}"#,
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
        let texts = match self {
            Self::Sd15 => SD15,
            Self::Sd21 => SD21,
        };
        let text_encoder: ClipTextConfig =
            ConfigFile::from_text("text_encoder", texts.text_encoder)?.parse()?;
        let unet: UNetConfig = ConfigFile::from_text("unet", texts.unet)?.parse()?;
        let vae: AutoencoderKLConfig = ConfigFile::from_text("vae", VAE)?.parse()?;
        let mut parts = Parts {
            text_encoder: IdsEncoder(text_encoder.init::<B>(device)?),
            denoiser: UNetDenoiser::new(unet.init::<B>(device)?),
            vae: VaeCodec::new(vae.init::<B>(device)?),
        };
        let dtype = FloatDType::from(dtype.dtype());
        let models: [&mut dyn Parameters<B>; 3] =
            [&mut parts.text_encoder, &mut parts.denoiser, &mut parts.vae];
        for model in models {
            model.map_parameters(&mut |_, value| value.cast(dtype))?;
        }
        Ok(parts)
    }
}

/// A text encoder without a vocabulary: every prompt is the same tokens.
#[derive(Debug, Clone)]
pub(super) struct IdsEncoder<B: DiffusionBackend>(ClipTextModel<B>);

impl<B: DiffusionBackend> TextEncoder<B> for IdsEncoder<B> {
    fn width(&self) -> Option<usize> {
        Some(self.0.config().hidden_size)
    }

    fn encode(&self, input: &TextInput<'_>) -> Result<Conditioning<B>, Error> {
        let end = self.0.config().vocab_size as u32 - 1;
        let tokens = self.0.config().max_position_embeddings as u32;
        let ids: Vec<u32> = (0..tokens - 1).chain([end]).collect();
        let ids = vec![ids; input.prompts.len()];
        let failed = |error| Error::component("text_encoder", error);
        let output = self.0.forward(&ids, EosToken::Id(end)).map_err(failed)?;
        let features =
            self.0.features(&output, TextFeatures::LastNormalized, None).map_err(failed)?;
        Ok(Conditioning::new(features))
    }
}

impl<B: DiffusionBackend> Parameters<B> for IdsEncoder<B> {
    fn visit_parameters(&self, visit: &mut dyn FnMut(ParameterView<'_, B>)) {
        self.0.visit_parameters(visit);
    }

    fn map_parameters(&mut self, map: &mut ParameterMap<'_, B>) -> Result<(), ParameterError> {
        self.0.map_parameters(map)
    }
}
