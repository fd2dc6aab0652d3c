//! Models from the Hugging Face Hub (feature `hub`).
//!
//! [`Pipeline::from_hub`](crate::Pipeline::from_hub) goes by the environment. [`Hub`] does the same with options of one's own:
//!
//! ```no_run
//! use sd_core::{LoadOptions, Pipeline, backend::Cpu, hub::{Hub, HubOptions}};
//!
//! # fn main() -> Result<(), sd_core::Error> {
//! let hub = Hub::new(HubOptions::new("models").token("hf_…"));
//! let options = LoadOptions::<Cpu>::default().variant("fp16");
//! let directory = hub.fetch(&"stabilityai/stable-diffusion-xl-base-1.0".parse()?, &options)?;
//! let pipeline = Pipeline::from_pretrained(directory, &options)?;
//! # Ok(())
//! # }
//! ```
//!
//! Only what a pipeline reads is downloaded: configurations, vocabularies, and of each component one file of weights or its
//! shards, chosen as in a directory. The cache is that of Python's `huggingface_hub`.

mod cache;
mod download;
mod environment;
mod error;
mod files;
mod model;
mod names;
mod needs;
mod options;
mod progress;
mod remote;
mod repository;
mod requests;
mod retry;
mod url;

use std::{fmt, path::PathBuf};

use sd_kernels::DiffusionBackend;

use crate::{Error, LoadOptions};
use needs::Needs;
use repository::Repository;

pub use error::{HubError, Server, Token};
pub use model::HubModel;
pub use options::HubOptions;
pub use progress::{DownloadProgress, Transfer};

/// The Hub, or a mirror, with a cache in front of it.
#[derive(Clone)]
pub struct Hub {
    options: HubOptions,
    agent: ureq::Agent,
}

impl Hub {
    /// With options of one's own.
    pub fn new(options: HubOptions) -> Self {
        Self { agent: requests::agent(&options), options }
    }

    /// As the environment says: [`HubOptions::from_env`].
    ///
    /// # Errors
    /// As there.
    pub fn from_env() -> Result<Self, HubError> {
        Ok(Self::new(HubOptions::from_env()?))
    }

    /// Downloads what [`Pipeline::from_pretrained`](crate::Pipeline::from_pretrained) reads with these options, as far as it
    /// is not in the cache, and returns the model's directory, or its file if it names one. An interrupted download goes
    /// on where it stopped. If the Hub cannot be reached, what the cache has will do, with a warning.
    ///
    /// # Errors
    /// [`HubError`], and what is wrong with the model's index.
    pub fn fetch<B: DiffusionBackend>(
        &self,
        model: &HubModel,
        options: &LoadOptions<B>,
    ) -> Result<PathBuf, Error> {
        self.fetch_needed(model, Needs::of(options))
    }

    fn fetch_needed(&self, model: &HubModel, needs: Needs<'_>) -> Result<PathBuf, Error> {
        let cached = || needs.get(&Repository::cached(self, model)?, model.file());
        if self.options.offline {
            return cached();
        }
        match self.download(model, needs) {
            // The commit that the cache has may be another one than that of which files are missing now.
            Err(Error::Hub(error)) if error.is_outage() => match cached() {
                Ok(path) => {
                    tracing::warn!("{error}; {model} is taken from the cache");
                    Ok(path)
                }
                Err(_) => Err(error.into()),
            },
            other => other,
        }
    }

    fn download(&self, model: &HubModel, needs: Needs<'_>) -> Result<PathBuf, Error> {
        let repository = Repository::online(self, model)?;
        let path = needs.get(&repository, model.file())?;
        repository.remember();
        Ok(path)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("options", &self.options).finish_non_exhaustive()
    }
}
