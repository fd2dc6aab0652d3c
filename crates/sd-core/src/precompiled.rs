//! The pipeline, compiled for the CPU into this crate.
//!
//! Generic code is compiled where it is used, and a pipeline is a lot of it: every example and test would take a minute of
//! its own. Unoptimised builds share what a dependency has compiled already, so there it is compiled once, here. Optimised
//! builds share nothing, and have none of this.

use std::path::Path;

use image::RgbImage;

use crate::{Error, LoadOptions, Pipeline, TextToImage, backend::Cpu};

/// Calls everything that a program calls.
#[doc(hidden)]
pub fn generate(directory: &Path, request: &TextToImage) -> Result<Vec<RgbImage>, Error> {
    crate::inspect::<Cpu>(directory)?;
    let pipeline = Pipeline::<Cpu>::from_pretrained(directory, &LoadOptions::default())?;
    let mut run = pipeline.run(request)?;
    run.finish_latents()?;
    run.finish()
}
