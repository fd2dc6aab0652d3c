//! How a model is loaded.

use std::path::PathBuf;

use sd_kernels::DiffusionBackend;
use sd_nn::{DTypePolicy, checkpoint::SingleFileOptions};

/// How a model is loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadOptions<B: DiffusionBackend> {
    /// Where to. Default: the backend's default device.
    pub device: B::Device,
    /// What each component computes in. Default: f32.
    pub dtypes: DTypePolicy,
    /// Which variant of the weights, such as `fp16`. Default: the plain ones, or the variant that is there.
    pub variant: Option<String>,
    /// How a single file is understood, where its contents do not tell or tell wrongly: family, prediction, averaged
    /// weights, values of configurations. Default: as they tell.
    pub single_file: SingleFileOptions,
    /// A directory with CLIP's vocabulary for a single file, which has none: `vocab.json` and `merges.txt`, or
    /// `tokenizer.json`, in it or in its `tokenizer`. Default: what lies beside the file.
    pub tokenizer: Option<PathBuf>,
    /// Another autoencoder than the model's: a `vae` directory, or a file with one under the names of LDM. Default: the
    /// model's own.
    pub vae: Option<PathBuf>,
    /// Another text encoder than the model's (its first, if it has two): a `text_encoder` directory, or a file under the names
    /// of transformers, or of a whole model that has one. The tokenizer stays the model's. Default: the model's own.
    pub text_encoder: Option<PathBuf>,
}

impl<B: DiffusionBackend> Default for LoadOptions<B> {
    fn default() -> Self {
        Self {
            device: B::Device::default(),
            dtypes: DTypePolicy::default(),
            variant: None,
            single_file: SingleFileOptions::default(),
            tokenizer: None,
            vae: None,
            text_encoder: None,
        }
    }
}

impl<B: DiffusionBackend> LoadOptions<B> {
    /// Sets the device.
    pub fn device(mut self, device: B::Device) -> Self {
        self.device = device;
        self
    }

    /// Sets the precision of each component, or of all.
    pub fn dtypes(mut self, dtypes: impl Into<DTypePolicy>) -> Self {
        self.dtypes = dtypes.into();
        self
    }

    /// Sets the variant.
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// Sets how a single file is understood.
    pub fn single_file(mut self, single_file: SingleFileOptions) -> Self {
        self.single_file = single_file;
        self
    }

    /// Sets where a single file's vocabulary is.
    pub fn tokenizer(mut self, directory: impl Into<PathBuf>) -> Self {
        self.tokenizer = Some(directory.into());
        self
    }

    /// Sets another autoencoder.
    pub fn vae(mut self, path: impl Into<PathBuf>) -> Self {
        self.vae = Some(path.into());
        self
    }

    /// Sets another text encoder.
    pub fn text_encoder(mut self, path: impl Into<PathBuf>) -> Self {
        self.text_encoder = Some(path.into());
        self
    }
}
