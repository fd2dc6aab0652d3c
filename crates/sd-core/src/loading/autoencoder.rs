//! Another autoencoder than the model's own.

use std::path::PathBuf;

use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{CheckpointError, Component, ModelFamily, SingleFile, SingleFileOptions};

use super::single_file::config_of;
use crate::{Error, LoadOptions, components::VaeCodec};

/// An autoencoder in a directory, or in a file under the names of LDM.
#[derive(Debug)]
pub(super) enum Autoencoder {
    Directory(PathBuf),
    File(Box<Component>),
}

impl Autoencoder {
    /// The one that the options ask for, if they do; `family` is that of the model, whose scale its file does not tell.
    ///
    /// # Errors
    /// When the file is none of weights, or has no autoencoder.
    pub(super) fn of<B: DiffusionBackend>(
        options: &LoadOptions<B>,
        family: Option<ModelFamily>,
    ) -> Result<Option<Self>, Error> {
        let Some(path) = &options.vae else { return Ok(None) };
        if path.is_dir() {
            return Ok(Some(Self::Directory(path.clone())));
        }
        let mut understood = SingleFileOptions::default();
        understood.family = family;
        understood.configs.clone_from(&options.single_file.configs);
        let file = SingleFile::open(path, &understood)?;
        let vae = file.component("vae").cloned().ok_or_else(|| CheckpointError::NotAModel {
            origin: path.display().to_string(),
            contents: file.contents(),
        })?;
        Ok(Some(Self::File(Box::new(vae))))
    }

    pub(super) fn load<B: DiffusionBackend>(
        &self,
        options: &LoadOptions<B>,
    ) -> Result<VaeCodec<B>, Error> {
        let (device, precision) = (&options.device, options.dtypes.vae);
        match self {
            // The variant is the model's.
            Self::Directory(directory) => VaeCodec::load(directory, device, precision, None),
            Self::File(vae) => {
                VaeCodec::from_source(&config_of(vae)?, vae.as_ref(), device, precision)
            }
        }
    }
}
