//! Pipelines from files.

use std::path::Path;

use sd_kernels::DiffusionBackend;

use super::{LoadOptions, Pipeline};
use crate::{Error, loading};

impl<B: DiffusionBackend> Pipeline<B> {
    /// Loads a model directory in diffusers' layout (`model_index.json` and a directory for each component), or a file, as
    /// [`from_single_file`](Self::from_single_file) does.
    ///
    /// # Errors
    /// When it is no such directory, a component is missing or of an unknown class, a file is broken, or the backend lacks
    /// a precision.
    pub fn from_pretrained(
        path: impl AsRef<Path>,
        options: &LoadOptions<B>,
    ) -> Result<Self, Error> {
        loading::load(path.as_ref(), options)
    }

    /// Downloads a model from the Hugging Face Hub, as far as it is not in the cache, and loads it: a repository in diffusers'
    /// layout, `OWNER/MODEL`, or a whole model in a file of one, `OWNER/MODEL/FILE`, each with `@REVISION` after it if it is
    /// not `main`.
    ///
    /// Cache, token, mirror and offline mode are those of Hugging Face's own tools, by their environment variables
    /// ([`HubOptions::from_env`](crate::hub::HubOptions::from_env)); [`Hub`](crate::hub::Hub) takes other ones, and shows
    /// progress.
    ///
    /// ```no_run
    /// use sd_core::{LoadOptions, Pipeline, TextToImage, backend::Cpu};
    ///
    /// # fn main() -> Result<(), sd_core::Error> {
    /// let options = LoadOptions::<Cpu>::default().variant("fp16");
    /// let pipeline = Pipeline::from_hub("stable-diffusion-v1-5/stable-diffusion-v1-5", &options)?;
    /// let image = pipeline.generate(&TextToImage::new("a lighthouse at dusk").seed(42))?.remove(0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`HubError`](crate::hub::HubError), and as [`from_pretrained`](Self::from_pretrained).
    #[cfg(feature = "hub")]
    pub fn from_hub(model: &str, options: &LoadOptions<B>) -> Result<Self, Error> {
        let path = crate::hub::Hub::from_env()?.fetch(&model.parse()?, options)?;
        Self::from_pretrained(path, options)
    }

    /// Loads a whole model in one file under the names of LDM (1.x, 2.x) or SGM (XL): `.safetensors`, `.ckpt` or GGUF, told
    /// by its contents, never by its name.
    ///
    /// Names and shapes tell the family, and it the configurations and the sampler; what they cannot tell,
    /// [`LoadOptions::single_file`] says. Such a file has no tokenizer: [`LoadOptions::tokenizer`] names a directory with
    /// CLIP's vocabulary, else one is looked for beside the file, in `tokenizer_2`, `tokenizer` and the file's own directory.
    ///
    /// ```no_run
    /// use sd_core::{LoadOptions, Pipeline, TextToImage, backend::Cpu};
    /// use sd_core::sd_nn::checkpoint::{Prediction, SingleFileOptions};
    ///
    /// # fn main() -> Result<(), sd_core::Error> {
    /// let options = LoadOptions::<Cpu>::default()
    ///     .tokenizer("models/clip-vocabulary")
    ///     .single_file(SingleFileOptions::default().prediction(Prediction::Velocity).ema(true));
    /// let pipeline = Pipeline::from_single_file("models/v2-1_768.ckpt", &options)?;
    /// let image = pipeline.generate(&TextToImage::new("a lighthouse at dusk").seed(42))?.remove(0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it is no file of weights, or holds something else than a whole model (a LoRA, an autoencoder), which the error
    /// names; when there is no vocabulary; and as [`from_pretrained`](Self::from_pretrained).
    pub fn from_single_file(
        path: impl AsRef<Path>,
        options: &LoadOptions<B>,
    ) -> Result<Self, Error> {
        loading::load_single_file(path.as_ref(), options)
    }

    /// Looks whether [`from_single_file`](Self::from_single_file) would load a file: reads headers, configurations and the
    /// vocabulary, no weights. For models that are loaded only when something else is done.
    ///
    /// # Errors
    /// As there, but for weights that do not fit.
    pub fn check_single_file(
        path: impl AsRef<Path>,
        options: &LoadOptions<B>,
    ) -> Result<(), Error> {
        loading::check_single_file(path.as_ref(), options)
    }
}
