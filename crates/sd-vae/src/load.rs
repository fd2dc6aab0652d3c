//! Weights from files.

use burn::tensor::DType;
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{
    CheckpointError, LoadOptions, LoadReport, WeightSource, load_module, tables,
};

use crate::AutoencoderKL;

impl<B: DiffusionBackend> AutoencoderKL<B> {
    /// Takes all weights from a source, under new or old names (`query`, `key`, `value`, `proj_attn`).
    ///
    /// # Errors
    /// [`CheckpointError`]: what is missing, has another shape or cannot be read.
    pub fn load(
        self,
        source: &dyn WeightSource,
        dtype: DType,
    ) -> Result<(Self, LoadReport), CheckpointError> {
        let options = LoadOptions::new(dtype).table(tables::vae(source));
        load_module::<B, _>(self, source, &options)
    }
}

sd_nn::impl_parameters!(AutoencoderKL);
