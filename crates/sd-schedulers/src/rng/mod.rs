//! Noise, drawn on the host so that it is the same on every backend.
//!
//! | generator | draws what is drawn by |
//! |---|---|
//! | [`TorchCpuGenerator`] | `torch.randn(…, device="cpu")` |
//! | [`TorchCudaGenerator`] | `torch.randn(…, device="cuda")`, of the card that [`CudaDevice`] tells |
//! | [`NumpyGenerator`] | `numpy.random.RandomState(seed).randn(…)` |
//! | [`NvGenerator`] | the web UI with the source "NV" |
//! | [`BatchGenerator`] | diffusers with a list of generators |
//! | [`ImageNoise`] | the web UI for a batch: variations, seeds of another size, the delta of the eta noise seed |
//! //!
//! The first four are chosen by name with [`GeneratorKind`]; the others are made of any of them, and so is
//! [`BrownianNoise`], the noise of k-diffusion's `BrownianTreeNoiseSampler`, which depends on the interval of a step alone.

mod batch;
mod brownian;
mod cuda_device;
mod cuda_functions;
mod cuda_sine;
mod error;
mod images;
mod kind;
mod mt19937;
mod numpy;
mod nv;
mod philox;
mod polynomials;
mod seed_sequence;
mod torch_cpu;
mod torch_cuda;

use std::fmt;

pub use batch::BatchGenerator;
pub use brownian::{BrownianNoise, BrownianTree};
pub use cuda_device::CudaDevice;
pub use error::NoiseError;
pub use images::{ImageNoise, ImageSeeds};
pub use kind::GeneratorKind;
pub use numpy::NumpyGenerator;
pub use nv::NvGenerator;
pub use torch_cpu::TorchCpuGenerator;
pub use torch_cuda::TorchCudaGenerator;

/// A stream of unit-variance Gaussian noise.
///
/// Draws are made whole: two draws of eight numbers need not give the numbers of one draw of sixteen.
pub trait NoiseGenerator: fmt::Debug + Send {
    /// Fills `values` by one draw.
    fn fill(&mut self, values: &mut [f32]);

    /// One draw of `count` numbers.
    fn normal(&mut self, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        self.fill(&mut values);
        values
    }
}
