//! Which family of models a file is of, and what kind of file it is if it is no whole model.

use std::fmt;

use super::{
    super::WeightSource,
    find::{unet_prefix, vae_prefix},
};

/// A family of Stable Diffusion: what its files have in common, but for the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelFamily {
    /// 1.x, text to image.
    Sd1,
    /// 1.x with mask and masked image as further channels.
    Sd1Inpainting,
    /// 1.x with the image to be edited as further channels.
    Sd1InstructPix2Pix,
    /// 2.x, text to image.
    Sd2,
    /// 2.x with mask and masked image as further channels.
    Sd2Inpainting,
    /// 2.x with depth as a further channel.
    Sd2Depth,
    /// The upscaler to four times the size.
    Sd2Upscaler,
    /// XL, text to image.
    XlBase,
    /// XL with mask and masked image as further channels.
    XlInpainting,
    /// The refiner of XL.
    XlRefiner,
}

impl fmt::Display for ModelFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sd1 => "Stable Diffusion 1.x",
            Self::Sd1Inpainting => "Stable Diffusion 1.x inpainting",
            Self::Sd1InstructPix2Pix => "InstructPix2Pix of Stable Diffusion 1.x",
            Self::Sd2 => "Stable Diffusion 2.x",
            Self::Sd2Inpainting => "Stable Diffusion 2.x inpainting",
            Self::Sd2Depth => "Stable Diffusion 2.x depth",
            Self::Sd2Upscaler => "Stable Diffusion x4 upscaler",
            Self::XlBase => "Stable Diffusion XL base",
            Self::XlInpainting => "Stable Diffusion XL inpainting",
            Self::XlRefiner => "Stable Diffusion XL refiner",
        })
    }
}

impl ModelFamily {
    /// Whether it is of the 2.x kind: linear projections, heads of 64 channels, OpenCLIP's H.
    pub fn is_sd2(self) -> bool {
        matches!(self, Self::Sd2 | Self::Sd2Inpainting | Self::Sd2Depth | Self::Sd2Upscaler)
    }

    /// Whether it is of the XL kind.
    pub fn is_xl(self) -> bool {
        matches!(self, Self::XlBase | Self::XlInpainting | Self::XlRefiner)
    }

    /// Tells the family of a U-Net under the names of LDM, or the architecture that is none of them.
    fn of_unet(file: &dyn WeightSource, prefix: &str) -> Result<Self, &'static str> {
        let shape = |name: &str| file.info(&format!("{prefix}{name}")).map(|info| info.shape);
        let channels = shape("input_blocks.0.0.weight").and_then(|shape| shape.get(1).copied());
        let names = file.names();
        let has = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
        let context = names
            .iter()
            .filter(|name| name.starts_with(prefix) && name.ends_with(".attn2.to_k.weight"))
            .find_map(|name| file.info(name)?.shape.get(1).copied());
        if shape("label_emb.0.0.weight").is_some() {
            // Others embed a vector as well: noise levels of images, motion.
            if names.iter().any(|name| name.contains(".time_stack.")) {
                return Err("Stable Video Diffusion");
            }
            if ["edm_mean", "edm_std"].iter().any(|name| file.info(name).is_some()) {
                return Err("Playground 2.5");
            }
            let wide = matches!(context, Some(1280 | 2048));
            let encoders = has("conditioner.embedders.") || has("cond_stage_model.1.");
            if context == Some(1024) || !(wide || encoders) {
                return Err("a U-Net that embeds a vector, such as Stable unCLIP's");
            }
            return Ok(match channels {
                _ if has("conditioner.embedders.0.model.") => Self::XlRefiner,
                _ if context == Some(1280) && !has("conditioner.embedders.1.") => Self::XlRefiner,
                Some(9) => Self::XlInpainting,
                _ => Self::XlBase,
            });
        }
        let is_sd2 = has("cond_stage_model.model.") || context == Some(1024);
        Ok(match (is_sd2, channels) {
            (true, Some(7)) => Self::Sd2Upscaler,
            (true, Some(5)) => Self::Sd2Depth,
            (true, Some(9)) => Self::Sd2Inpainting,
            (true, _) => Self::Sd2,
            (false, Some(9)) => Self::Sd1Inpainting,
            (false, Some(8)) => Self::Sd1InstructPix2Pix,
            (false, _) => Self::Sd1,
        })
    }
}

/// What a file of weights holds, told from names and shapes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileContents {
    /// A whole model under the names of LDM or SGM.
    Model(ModelFamily),
    /// A U-Net under the names of LDM, without autoencoder and text encoder.
    UNet(ModelFamily),
    /// An autoencoder under the names of LDM.
    Vae,
    /// A text encoder.
    TextEncoder,
    /// A single component under the names of diffusers.
    DiffusersComponent,
    /// Low-rank additions (LoRA and its kin).
    Lora,
    /// Embeddings of textual inversion.
    Embedding,
    /// A ControlNet.
    ControlNet,
    /// An IP-Adapter.
    IpAdapter,
    /// A model of another architecture.
    OtherArchitecture(&'static str),
    /// Nothing that is known.
    Unknown,
}

impl fmt::Display for FileContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(family) => write!(f, "{family}"),
            Self::UNet(family) => {
                write!(f, "the U-Net of {family}, without autoencoder and text encoder")
            }
            Self::Vae => f.write_str("an autoencoder, no whole model"),
            Self::TextEncoder => f.write_str("a text encoder, no whole model"),
            Self::DiffusersComponent => {
                f.write_str("a component in diffusers' layout, no whole model")
            }
            Self::Lora => f.write_str("a LoRA, no whole model"),
            Self::Embedding => f.write_str("an embedding of textual inversion, no whole model"),
            Self::ControlNet => f.write_str("a ControlNet, no whole model"),
            Self::IpAdapter => f.write_str("an IP-Adapter, no whole model"),
            Self::OtherArchitecture(name) => write!(f, "a model of another architecture ({name})"),
            Self::Unknown => f.write_str("nothing that is known"),
        }
    }
}

/// Architectures that are often met, by a tensor that each has.
const OTHERS: &[(&str, &str)] = &[
    ("joint_blocks.0.context_block.attn.qkv.weight", "Stable Diffusion 3"),
    ("double_blocks.0.img_attn.qkv.weight", "Flux"),
    ("double_layers.0.attn.w1q.weight", "AuraFlow"),
    ("clip_txt_mapper.weight", "Stable Cascade"),
    ("cap_embedder.0.weight", "Lumina"),
    ("patchify_proj.weight", "LTX"),
    ("head.modulation", "Wan"),
];

impl FileContents {
    /// Tells what a file holds.
    pub fn of(file: &dyn WeightSource) -> Self {
        let names = file.names();
        let has = |name: &str| file.info(name).is_some();
        let any = |test: &dyn Fn(&str) -> bool| names.iter().any(|name| test(name));
        if let Some(prefix) = unet_prefix(file) {
            let family = match ModelFamily::of_unet(file, prefix) {
                Ok(family) => family,
                Err(other) => return Self::OtherArchitecture(other),
            };
            let whole = vae_prefix(file).is_some_and(|prefix| !prefix.is_empty());
            return if whole { Self::Model(family) } else { Self::UNet(family) };
        }
        let other =
            |(name, _): &&(&str, &str)| has(name) || has(&format!("model.diffusion_model.{name}"));
        if let Some((_, name)) = OTHERS.iter().find(other) {
            return Self::OtherArchitecture(name);
        }
        if any(&is_lora) {
            Self::Lora
        } else if any(&|name| name.contains("zero_convs.") || name.starts_with("controlnet_")) {
            Self::ControlNet
        } else if any(&|name| name.starts_with("ip_adapter.")) {
            Self::IpAdapter
        } else if any(&|name| name.starts_with("string_to_param.")) || is_embedding(file, &names) {
            Self::Embedding
        } else if vae_prefix(file).is_some() {
            Self::Vae
        } else if any(&|name| name.ends_with("token_embedding.weight")) {
            Self::TextEncoder
        } else if any(&|name| name.contains("_blocks.0.resnets.0.")) {
            Self::DiffusersComponent
        } else {
            Self::Unknown
        }
    }
}

fn is_lora(name: &str) -> bool {
    const MARKS: [&str; 7] = [
        "lora_up.",
        "lora_down.",
        ".lora_A.",
        ".lora_B.",
        ".lora.",
        "_lora.",
        ".lora_linear_layer.",
    ];
    const KIN: [&str; 3] = [".hada_w1_a", ".lokr_w1", ".oft_blocks"];
    MARKS.iter().chain(&KIN).any(|mark| name.contains(mark))
}

/// One or two tables of a few rows, as wide as a text encoder.
fn is_embedding(file: &dyn WeightSource, names: &[String]) -> bool {
    const WIDTHS: [usize; 3] = [768, 1024, 1280];
    (1..=2).contains(&names.len())
        && names.iter().all(|name| {
            let shape = file.info(name).map(|info| info.shape).unwrap_or_default();
            shape.len() <= 2 && shape.last().is_some_and(|width| WIDTHS.contains(width))
        })
}
