//! What single files do not tell, or tell wrongly.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sd_core::sd_nn::checkpoint::{ModelFamily, Prediction, SingleFileOptions};
use serde_json::Value;

/// Options of single files. Directories in diffusers' layout say all of it themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Single files")]
pub(crate) struct SingleFile {
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
    pub(crate) tokenizer: Option<PathBuf>,
    /// Value of a configuration that the file does not tell, such as unet.norm_num_groups=16; may be repeated
    #[arg(long = "config", value_name = "COMPONENT.KEY=JSON", value_parser = config)]
    configs: Vec<Config>,
}

/// A value of a component's configuration.
#[derive(Debug, Clone)]
struct Config {
    component: String,
    key: String,
    value: Value,
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

impl SingleFile {
    /// How a file is understood.
    pub(crate) fn understood(&self) -> SingleFileOptions {
        let mut options = SingleFileOptions::default().ema(self.ema);
        options.family = self.family.map(Into::into);
        options.prediction = self.prediction.map(|predicts| match predicts {
            Predicts::Epsilon => Prediction::Noise,
            Predicts::V => Prediction::Velocity,
        });
        self.configs.iter().fold(options, |options, Config { component, key, value }| {
            options.config(component, key, value.clone())
        })
    }
}

const COMPONENTS: [&str; 4] = ["unet", "vae", "text_encoder", "text_encoder_2"];

fn config(text: &str) -> Result<Config, String> {
    let parts =
        text.split_once('=').and_then(|(place, value)| Some((place.split_once('.')?, value)));
    let ((component, key), value) = parts.ok_or("expected COMPONENT.KEY=JSON")?;
    if !COMPONENTS.contains(&component) {
        return Err(format!("no component `{component}`, expected {}", COMPONENTS.join(", ")));
    }
    let value = serde_json::from_str(value).map_err(|error| format!("the value: {error}"))?;
    Ok(Config { component: component.into(), key: key.into(), value })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_of_configurations_are_json() {
        let Config { component, key, value } = config("unet.attention_head_dim=[2, 4]").unwrap();
        assert_eq!((component.as_str(), key.as_str()), ("unet", "attention_head_dim"));
        assert_eq!(value, serde_json::json!([2, 4]));
        assert!(config("unet.a=b").unwrap_err().contains("the value"));
        assert!(config("unet=4").unwrap_err().contains("COMPONENT.KEY=JSON"));
        assert!(config("uent.a=4").unwrap_err().contains("no component `uent`"));
    }
}
