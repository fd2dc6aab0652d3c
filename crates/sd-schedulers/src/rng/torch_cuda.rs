//! PyTorch's CUDA generator (`aten/src/ATen/native/cuda/DistributionTemplates.h`, cuRAND's `curand_normal4`).

use super::{CudaDevice, NoiseGenerator, cuda_functions::normal, philox::curand_words};

/// Numbers that a thread makes at once.
const UNROLL: usize = 4;

/// Draws what `torch.randn(shape, device="cuda", generator=torch.Generator("cuda").manual_seed(seed))` draws in f32.
///
/// All 64 bits of the seed count. A draw is one call of `randn`. Up to [`CudaDevice::one_pass`] numbers the kind of
/// card does not matter; a longer draw is that of the [`CudaDevice`] given. In 16 bits PyTorch draws the same numbers
/// and rounds each (f16 and bf16 alike), so cast them. Draws of 2 GiB and more, which PyTorch splits, are not followed.
///
/// Bit for bit as drawn by PyTorch 2.11 on an H200; the layout is the same in 2.15, and on other cards since Turing the
/// machine code is, but for the chip's own sine, which was not compared there. Were that only as good as its documentation
/// says, numbers would differ by 2e-6 at most.
///
/// ```
/// use sd_schedulers::{NoiseGenerator, TorchCudaGenerator, rng::CudaDevice};
/// // torch.randn(3, device="cuda", generator=torch.Generator("cuda").manual_seed(0))
/// assert_eq!(TorchCudaGenerator::new(0).normal(3), [-0.9246624, -0.42534423, -2.6438458]);
///
/// // From here on a small card draws other numbers than a large one.
/// let draw = |device| TorchCudaGenerator::on(device, 0).normal(43_009);
/// let (small, large) = (draw("RTX 3060".parse()?), draw(CudaDevice::default()));
/// assert_eq!(small[..43_008], large[..43_008]);
/// assert_ne!(small[43_008], large[43_008]);
/// # Ok::<(), sd_schedulers::UnknownName>(())
/// ```
#[derive(Debug, Clone)]
pub struct TorchCudaGenerator {
    device: CudaDevice,
    seed: u64,
    /// Blocks of four words that every thread has used: PyTorch's offset, divided by 4.
    block: u64,
}

impl TorchCudaGenerator {
    /// A generator with this seed, on the default device.
    pub fn new(seed: u64) -> Self {
        Self::on(CudaDevice::default(), seed)
    }

    /// A generator with this seed on a device.
    pub fn on(device: CudaDevice, seed: u64) -> Self {
        Self { device, seed, block: 0 }
    }

    /// The offset as PyTorch counts it (`Generator.get_offset`): a draw moves it on by 4 for every pass over the threads.
    pub fn offset(&self) -> u64 {
        self.block.wrapping_mul(4)
    }
}

impl NoiseGenerator for TorchCudaGenerator {
    fn fill(&mut self, values: &mut [f32]) {
        let threads = self.device.threads_for(values.len() as u64) as usize;
        if threads == 0 {
            return;
        }
        // In a pass, thread t makes the numbers t, t + threads, t + 2 threads and t + 3 threads.
        for pass in values.chunks_mut(threads * UNROLL) {
            for thread in 0..threads.min(pass.len()) {
                let words = curand_words(self.seed, thread as u64, self.block);
                for (lane, value) in pass[thread..].iter_mut().step_by(threads).enumerate() {
                    *value = normal(words, lane);
                }
            }
            self.block = self.block.wrapping_add(1);
        }
    }
}
