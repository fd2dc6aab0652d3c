//! The components that this project has, behind the traits of [`component`](crate::component).

mod clip;
mod clip_pair;
mod unet;
mod vae;

use std::path::Path;

use burn::module::Module;
use sd_kernels::DiffusionBackend;
use sd_nn::{
    Precision,
    checkpoint::{
        CheckpointError, KeyTable, LoadOptions, WeightSource, check_module, load_module,
        open_weights,
    },
    config::{ConfigError, ConfigFile},
};

pub use clip::ClipEncoder;
pub use clip_pair::ClipPair;
pub use unet::UNetDenoiser;
pub use vae::VaeCodec;

/// Compares the headers of the weights in a component's directory with its module.
fn check_weights<B: DiffusionBackend, M: Module<B>>(
    module: &M,
    directory: &Path,
    table: impl Fn(&dyn WeightSource) -> KeyTable,
) -> Result<(), CheckpointError> {
    let source = open_weights(directory, None)?;
    check_module::<B, M>(module, source.as_ref(), &table(source.as_ref())).map(drop)
}

/// Loads a component's weights into its module.
fn load_weights<B: DiffusionBackend, M: Module<B>>(
    module: M,
    source: &dyn WeightSource,
    precision: Precision,
    table: impl Fn(&dyn WeightSource) -> KeyTable,
) -> Result<M, CheckpointError> {
    let options = LoadOptions::new(precision.dtype()).table(table(source));
    let (module, report) = load_module::<B, M>(module, source, &options)?;
    tracing::info!(component = %source.origin(), parameters = report.loaded, "loaded");
    Ok(module)
}

/// The configuration in a component's directory.
pub(crate) fn open_config(directory: &Path) -> Result<ConfigFile, ConfigError> {
    ConfigFile::open(directory.join("config.json"))
}
