//! Stable Diffusion pipelines on the [Burn](burn) framework.
//!
//! A [`Pipeline`] turns requests into images; its components are object-safe traits ([`component`]), each of which may be
//! replaced. One denoising loop ([`Run`]) serves all of it: it is an iterator of steps, so progress is its length, cancelling
//! is dropping it, and a preview is a look at a step.
//!
//! ```no_run
//! use sd_core::{backend::Cpu, Pipeline, TextToImage};
//!
//! # fn main() -> Result<(), sd_core::Error> {
//! let pipeline = Pipeline::<Cpu>::from_pretrained("models/stable-diffusion-v1-5", &Default::default())?;
//! let image = pipeline.generate(&TextToImage::new("a lighthouse at dusk").seed(42))?.remove(0);
//! # Ok(())
//! # }
//! ```
//!
//! # Backends
//!
//! Cargo features choose which are compiled in: `ndarray` (CPU, default), `wgpu`, `vulkan` (wgpu through SPIR-V), `cuda`.
//! [`backend`] names them; any backend that implements [`DiffusionBackend`] will do.
//!
//! `hub` brings `Pipeline::from_hub`, which downloads models from the Hugging Face Hub.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod availability;
pub mod backend;
pub mod component;
pub mod components;
mod conditioning;
mod convert;
mod error;
pub mod guidance;
#[cfg(feature = "hub")]
pub mod hub;
mod inspect;
mod inspect_file;
#[cfg(feature = "cuda")]
mod kernel_cache;
mod latents;
mod loading;
mod metadata;
mod model_index;
mod output;
mod picture;
mod pipeline;
#[cfg(all(debug_assertions, feature = "ndarray"))]
#[doc(hidden)]
pub mod precompiled;
mod preview;
mod prompts;
mod request;
mod run;

pub use conditioning::Conditioning;
pub use convert::{ConvertError, ConvertOptions, Converted, convert};
pub use error::{Error, ModelError};
pub use inspect::{ComponentReport, ModelReport, inspect};
pub use inspect_file::{FileComponent, FileReport, inspect_file};
pub use latents::{Latents, LatentsError};
pub use metadata::{parameters, refined_parameters};
pub use output::{check_writable, write_atomically};
pub use picture::{save_png, to_images};
pub use pipeline::{LoadOptions, Pipeline, PipelineBuilder, PipelineConfig, PipelineParameterMap};
pub use preview::preview;
pub use request::{
    Bounds, DepthMap, DepthMapError, DepthToImage, ImageToImage, Request, RequestError, Seeds,
    SizeConditions, Source, TextToImage, Upscale,
};
pub use run::{Run, Step, StepState};
pub use sd_kernels::{DiffusionBackend, Recycler};
pub use sd_nn::{DTypePolicy, Precision};
pub use sd_schedulers::{GeneratorKind, Scheduler, SchedulerKind};

/// The crates that the pipelines are made of, for those who build their own parts.
pub use {sd_clip, sd_kernels, sd_nn, sd_schedulers, sd_unet, sd_vae};
