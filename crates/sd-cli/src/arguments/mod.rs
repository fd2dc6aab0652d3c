//! The command line.

mod single_file;
mod xl;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sd_core::{GeneratorKind, Precision, SchedulerKind};

pub(crate) use single_file::SingleFile;
pub(crate) use xl::Xl;

use crate::{
    bench::{Arch, Stage},
    convert::Convert,
};

/// Stable Diffusion on the command line.
#[derive(Debug, Parser)]
#[command(name = "sd", version, about)]
pub(crate) struct Cli {
    /// Show what is being done
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make images from a prompt
    Txt2img(Box<Txt2img>),
    /// Say what a model directory or a file of weights holds
    Inspect(Inspect),
    /// Write a model as a directory in diffusers' layout or as a single file
    Convert(Convert),
    /// Train a model as a run file says
    Train(Train),
    /// Time the stages of a generation
    Bench(Bench),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DeviceKind {
    /// The fastest that is compiled in and works
    #[default]
    Auto,
    /// The processor
    Cpu,
    /// An NVIDIA GPU through CUDA
    Cuda,
    /// Any GPU through wgpu
    Wgpu,
}

#[derive(Debug, Args)]
pub(crate) struct Txt2img {
    // What it takes depends on the build.
    #[arg(long, value_name = "MODEL", help = crate::model::MODEL)]
    pub(crate) model: PathBuf,
    /// What the image is to show; may be empty
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pub(crate) prompt: String,
    /// What it is not to show
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) negative_prompt: Option<String>,
    /// Steps of the sampler
    #[arg(long, default_value_t = 25)]
    pub(crate) steps: usize,
    /// Strength of the guidance; up to 1 means none
    #[arg(long, default_value_t = 7.5, allow_negative_numbers = true)]
    pub(crate) guidance_scale: f64,
    /// How far guidance is kept from raising the contrast, 0 to 1
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) guidance_rescale: f64,
    /// Width in pixels [default: the model's]
    #[arg(long, value_name = "W")]
    pub(crate) width: Option<usize>,
    /// Height in pixels [default: the model's]
    #[arg(long, value_name = "H")]
    pub(crate) height: Option<usize>,
    /// Sampler, by the name of diffusers or of the web UI ("DPM++ 2M Karras") [default: the model's]
    #[arg(long, value_name = "NAME")]
    pub(crate) scheduler: Option<SchedulerKind>,
    /// Seed of the noise, 0 to 2⁶⁴ − 1
    #[arg(long, value_name = "S", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Whose random numbers: cpu or cuda (PyTorch's), numpy, nv (the web UI's); cuda:CARD for another card than an H100
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub(crate) generator: GeneratorKind,
    /// Number of images; one generator draws the noise of all, and the files are numbered
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub(crate) batch: usize,
    /// Layers to skip at the end of the text encoder; 1 is the second-last
    #[arg(long, value_name = "C")]
    pub(crate) clip_skip: Option<usize>,
    /// Share of fresh noise in each step of DDIM, 0 to 1
    #[arg(long, value_name = "E", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) eta: f64,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    pub(crate) device: DeviceKind,
    /// What to compute in: f32, f16 or bf16
    #[arg(long, default_value_t)]
    pub(crate) dtype: Precision,
    /// Variant of the weights, such as fp16 [default: the plain ones, or what is there]
    #[arg(long)]
    pub(crate) variant: Option<String>,
    /// Another autoencoder: a `vae` directory, or a file that has one
    #[arg(long, value_name = "PATH")]
    pub(crate) vae: Option<PathBuf>,
    /// Another text encoder, the first if there are two: a `text_encoder` directory, or a file that has one
    #[arg(long, value_name = "PATH")]
    pub(crate) text_encoder: Option<PathBuf>,
    /// Start from tensor `latents` of this file, unit-variance noise [b, c, h, w]
    #[arg(long, value_name = "FILE")]
    pub(crate) init_latents: Option<PathBuf>,
    /// Write the final latents, before decoding, as f32 tensor `latents`
    #[arg(long, value_name = "FILE")]
    pub(crate) save_latents: Option<PathBuf>,
    /// Where the image goes
    #[arg(long, value_name = "FILE", default_value = "out.png")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) single_file: SingleFile,
    #[command(flatten)]
    pub(crate) xl: Xl,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Model directory in diffusers' layout, or a file: .safetensors, .ckpt, .bin, .pt, .gguf
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// The run, as TOML
    #[arg(value_name = "RUN.toml")]
    pub(crate) run: PathBuf,
    /// Go on from the newest state of the output directory
    #[arg(long)]
    pub(crate) resume: bool,
    /// What computes
    #[arg(long, value_enum, default_value_t)]
    pub(crate) device: DeviceKind,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Model directory in diffusers' layout
    #[arg(long, value_name = "DIR", conflicts_with = "arch")]
    pub(crate) model: Option<PathBuf>,
    /// Architecture with random weights [default: sd15]
    #[arg(long, value_enum)]
    pub(crate) arch: Option<Arch>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    pub(crate) device: DeviceKind,
    /// What to compute in: f32, f16 or bf16
    #[arg(long, default_value_t)]
    pub(crate) dtype: Precision,
    /// Width and height in pixels
    #[arg(long, default_value_t = 512)]
    pub(crate) size: usize,
    /// Width in pixels, if it differs
    #[arg(long)]
    pub(crate) width: Option<usize>,
    /// Height in pixels, if it differs
    #[arg(long)]
    pub(crate) height: Option<usize>,
    /// What to time
    #[arg(long, value_enum, default_value_t = Stage::All)]
    pub(crate) stage: Stage,
    /// Batch of the denoiser; 2 is a step with guidance
    #[arg(long, default_value_t = 2)]
    pub(crate) batch: usize,
    /// Runs that count
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Runs before them, which prepare weights and compile kernels
    #[arg(long, default_value_t = 1)]
    pub(crate) warm_up: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Bench {
    /// Width and height in pixels.
    pub(crate) fn image_size(&self) -> [usize; 2] {
        [self.width, self.height].map(|side| side.unwrap_or(self.size))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
