//! What of a CUDA device decides how PyTorch lays noise over it.

use std::{fmt, str::FromStr};

use crate::names::UnknownName;

/// Threads of a block of PyTorch's kernels for random numbers.
const BLOCK: u64 = 256;

/// The two numbers of a CUDA device on which the noise of large tensors depends.
///
/// Draws of up to [`one_pass`](Self::one_pass) numbers are the same on every device with at least as many threads; of
/// longer ones each device makes its own.
///
/// | device | one pass |
/// |---|---|
/// | T4 | 40960 |
/// | RTX 3060 | 43008 |
/// | RTX 2080 Ti | 69632 |
/// | V100 | 163840 |
/// | RTX 4090 | 196608 |
/// | A100 | 221184 |
/// | H100, H200 (the default) | 270336 |
///
/// Latents of SD 1.5 at 512x512 are 16384 numbers for each image of a draw, those of SDXL at 1024x1024 are 65536.
///
/// A device is read from its name or from the two numbers:
///
/// ```
/// use sd_schedulers::rng::CudaDevice;
/// assert_eq!("RTX 3060".parse(), Ok(CudaDevice::new(28, 1536)));
/// assert_eq!("28x1536".parse(), Ok(CudaDevice::new(28, 1536)));
/// assert_eq!(CudaDevice::new(28, 1536).one_pass(), 43_008);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CudaDevice {
    multiprocessors: u32,
    threads: u32,
}

/// Names with multiprocessors and threads for each, from NVIDIA's data sheets.
const DEVICES: &[(&str, CudaDevice)] = &[
    ("h200", CudaDevice::new(132, 2048)),
    ("h100", CudaDevice::new(132, 2048)),
    ("h100-pcie", CudaDevice::new(114, 2048)),
    ("a100", CudaDevice::new(108, 2048)),
    ("v100", CudaDevice::new(80, 2048)),
    ("p100", CudaDevice::new(56, 2048)),
    ("t4", CudaDevice::new(40, 1024)),
    ("l4", CudaDevice::new(58, 1536)),
    ("l40s", CudaDevice::new(142, 1536)),
    ("a10", CudaDevice::new(72, 1536)),
    ("rtx-a6000", CudaDevice::new(84, 1536)),
    ("rtx-5090", CudaDevice::new(170, 1536)),
    ("rtx-5080", CudaDevice::new(84, 1536)),
    ("rtx-4090", CudaDevice::new(128, 1536)),
    ("rtx-4080", CudaDevice::new(76, 1536)),
    ("rtx-4070", CudaDevice::new(46, 1536)),
    ("rtx-4060", CudaDevice::new(24, 1536)),
    ("rtx-3090", CudaDevice::new(82, 1536)),
    ("rtx-3080", CudaDevice::new(68, 1536)),
    ("rtx-3070", CudaDevice::new(46, 1536)),
    ("rtx-3060", CudaDevice::new(28, 1536)),
    ("rtx-2080-ti", CudaDevice::new(68, 1024)),
    ("rtx-2060", CudaDevice::new(30, 1024)),
    ("gtx-1080-ti", CudaDevice::new(28, 2048)),
    ("gtx-1660-ti", CudaDevice::new(24, 1024)),
];

impl CudaDevice {
    /// A device with these numbers of multiprocessors and of resident threads for each (`multi_processor_count` and
    /// `max_threads_per_multi_processor` of `torch.cuda.get_device_properties`). Under one block of 256 threads is
    /// taken as one block.
    pub const fn new(multiprocessors: u32, threads_per_multiprocessor: u32) -> Self {
        Self { multiprocessors, threads: threads_per_multiprocessor }
    }

    /// How many numbers it makes with one for each thread: up to here the device does not matter.
    pub const fn one_pass(self) -> u64 {
        let blocks = self.multiprocessors as u64 * (self.threads as u64 / BLOCK);
        if blocks == 0 { BLOCK } else { blocks * BLOCK }
    }

    /// The threads that make a draw of `count` numbers.
    pub(crate) fn threads_for(self, count: u64) -> u64 {
        (count.div_ceil(BLOCK) * BLOCK).min(self.one_pass())
    }
}

/// An H100 or H200, on which the agreement with PyTorch was measured.
impl Default for CudaDevice {
    fn default() -> Self {
        Self::new(132, 2048)
    }
}

/// The two numbers, as in `28x1536`.
impl fmt::Display for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.multiprocessors, self.threads)
    }
}

/// From a name, without regard to case, spaces, `-` and `_`, or from the two numbers.
impl FromStr for CudaDevice {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('x').and_then(|(multiprocessors, threads)| {
            Some(Self::new(multiprocessors.trim().parse().ok()?, threads.trim().parse().ok()?))
        });
        let named = || {
            DEVICES.iter().find(|(name, _)| plain(name) == plain(text)).map(|(_, device)| *device)
        };
        let names = || DEVICES.iter().map(|(name, _)| *name);
        numbers
            .or_else(named)
            .ok_or_else(|| UnknownName::new("CUDA device", text, names().collect(), names()))
    }
}

/// A spelling without what is not regarded.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_written() {
        for (name, device) in DEVICES {
            assert_eq!(name.parse(), Ok(*device));
            assert_eq!(device.to_string().parse(), Ok(*device));
        }
        assert_eq!("RTX_4090".parse(), Ok(CudaDevice::new(128, 1536)));
        let error = "rtx-409".parse::<CudaDevice>().unwrap_err();
        assert_eq!(error.nearest, Some("rtx-4090"));
    }

    #[test]
    fn a_draw_takes_whole_blocks_up_to_one_pass() {
        let device = CudaDevice::new(2, 1024);
        let threads =
            [1, 256, 257, 2048, 2049, u64::from(u32::MAX)].map(|count| device.threads_for(count));
        assert_eq!(threads, [256, 256, 512, 2048, 2048, 2048]);
        assert_eq!(CudaDevice::new(0, 0).threads_for(10_000), 256);
    }
}
