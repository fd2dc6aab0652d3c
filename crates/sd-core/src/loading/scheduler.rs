//! Schedulers of model directories.

use std::{path::Path, sync::Arc};

use sd_nn::config;
use sd_schedulers::{Scheduler, SchedulerConfig};

use crate::Error;

/// Reads a scheduler as it stands in its file.
pub(crate) fn scheduler(directory: &Path) -> Result<Arc<dyn Scheduler>, Error> {
    read(directory, |config, _| config)
}

/// Reads a scheduler, with the corrections that diffusers' `StableDiffusionPipeline` makes to outdated configurations:
/// `steps_offset` is 1, and `clip_sample` is off.
pub(crate) fn corrected_scheduler(directory: &Path) -> Result<Arc<dyn Scheduler>, Error> {
    read(directory, corrected)
}

/// Takes a configuration that was read or made; `path` stands in messages.
pub(super) fn from_text(path: &Path, text: &str) -> Result<Arc<dyn Scheduler>, Error> {
    build(path, text, |config, _| config)
}

fn read(
    directory: &Path,
    change: impl Fn(SchedulerConfig, &Path) -> SchedulerConfig,
) -> Result<Arc<dyn Scheduler>, Error> {
    let path = directory.join("scheduler_config.json");
    // Python's infinities stand in some of them, so they are not quite JSON.
    build(&path, &config::read_text(&path)?, change)
}

fn build(
    path: &Path,
    text: &str,
    change: impl Fn(SchedulerConfig, &Path) -> SchedulerConfig,
) -> Result<Arc<dyn Scheduler>, Error> {
    let failed = |source| Error::SchedulerFile { path: path.into(), source: Box::new(source) };
    let config = SchedulerConfig::from_json(text).map_err(failed)?;
    // A broken value is the file's fault, not one to correct.
    config.clone().build().map_err(failed)?;
    Ok(change(config, path).build().map_err(failed)?.into())
}

fn corrected(mut config: SchedulerConfig, path: &Path) -> SchedulerConfig {
    if config.get("steps_offset").is_none_or(|offset| *offset != 1) {
        tracing::debug!(path = %path.display(), "steps_offset is taken as 1");
        config = config.with("steps_offset", 1);
    }
    // DDIM clips unless it is told not to, and a request may ask for DDIM whatever the model's own sampler.
    if config.get("clip_sample").is_none_or(|clip| *clip == true) {
        tracing::debug!(path = %path.display(), "clip_sample is taken as false");
        config = config.with("clip_sample", false);
    }
    config
}
