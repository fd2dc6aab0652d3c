//! How a model is loaded.

use sd_kernels::DiffusionBackend;
use sd_nn::DTypePolicy;

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
}

impl<B: DiffusionBackend> Default for LoadOptions<B> {
    fn default() -> Self {
        Self { device: B::Device::default(), dtypes: DTypePolicy::default(), variant: None }
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
}
