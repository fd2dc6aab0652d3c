//! `sd convert`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sd_core::{
    ConvertOptions, convert,
    sd_nn::checkpoint::{ModelFamily, Prediction},
};

use crate::error::CliError;

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// A single file (.safetensors, .ckpt, .gguf), or a model directory in diffusers' layout
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// A directory to make, or a single file if it ends in .safetensors
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Family, if it is not the one that names and shapes tell
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// What the U-Net predicts, if it is not what the file tells
    #[arg(long, value_enum)]
    prediction: Option<Predicts>,
    /// Take the averaged weights of the U-Net
    #[arg(long)]
    ema: bool,
    /// Directory with CLIP's vocab.json and merges.txt, which single files lack
    #[arg(long, value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// Variant of a directory's weights, such as fp16 [default: the plain ones, or what is there]
    #[arg(long)]
    variant: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Family {
    Sd1,
    Sd1Inpainting,
    Sd1InstructPix2pix,
    Sd2,
    Sd2Inpainting,
    Sd2Depth,
    Sd2Upscaler,
    XlBase,
    XlInpainting,
    XlRefiner,
}

impl From<Family> for ModelFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::Sd1 => Self::Sd1,
            Family::Sd1Inpainting => Self::Sd1Inpainting,
            Family::Sd1InstructPix2pix => Self::Sd1InstructPix2Pix,
            Family::Sd2 => Self::Sd2,
            Family::Sd2Inpainting => Self::Sd2Inpainting,
            Family::Sd2Depth => Self::Sd2Depth,
            Family::Sd2Upscaler => Self::Sd2Upscaler,
            Family::XlBase => Self::XlBase,
            Family::XlInpainting => Self::XlInpainting,
            Family::XlRefiner => Self::XlRefiner,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Predicts {
    /// The noise
    Epsilon,
    /// The velocity
    V,
}

/// Writes a model in the other layout, and says what is written.
pub(crate) fn run(arguments: &Convert) -> Result<(), CliError> {
    let mut options = ConvertOptions::default();
    options.single_file.family = arguments.family.map(Into::into);
    options.single_file.prediction = arguments.prediction.map(|predicts| match predicts {
        Predicts::Epsilon => Prediction::Noise,
        Predicts::V => Prediction::Velocity,
    });
    options.single_file.ema = arguments.ema;
    options.tokenizer.clone_from(&arguments.tokenizer);
    options.variant.clone_from(&arguments.variant);
    let converted = convert(&arguments.input, &arguments.output, &options)?;
    println!("{}: {}", converted.path.display(), converted.family);
    println!("  {}", converted.components.join(", "));
    if !converted.missing.is_empty() {
        println!("  missing: {}", converted.missing.join(", "));
    }
    Ok(())
}
