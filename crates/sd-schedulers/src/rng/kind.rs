//! The generators by name.

use std::{fmt, str::FromStr};

use super::{
    CudaDevice, NoiseGenerator, NumpyGenerator, NvGenerator, TorchCpuGenerator, TorchCudaGenerator,
};
use crate::names::UnknownName;

/// A noise generator by name.
///
/// Names are read without regard to case, and the first word may be left out: `torch-cpu` or `CPU`; `torch-cuda`, `cuda`
/// or `GPU`, with a [`CudaDevice`] behind a colon if it is not the default one (`cuda:rtx-3060`); `numpy`; `NV`.
///
/// ```
/// use sd_schedulers::{GeneratorKind, rng::CudaDevice};
/// assert_eq!("CPU".parse(), Ok(GeneratorKind::TorchCpu));
/// let small = "gpu:rtx-3060".parse::<GeneratorKind>()?;
/// assert_eq!(small, GeneratorKind::TorchCuda(CudaDevice::new(28, 1536)));
/// assert_eq!(small.to_string(), "torch-cuda:28x1536");
/// # Ok::<(), sd_schedulers::UnknownName>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum GeneratorKind {
    /// PyTorch's on the CPU: [`TorchCpuGenerator`].
    TorchCpu,
    /// PyTorch's on a CUDA device: [`TorchCudaGenerator`].
    TorchCuda(CudaDevice),
    /// NumPy's `RandomState`: [`NumpyGenerator`].
    Numpy,
    /// The web UI's imitation of a CUDA device: [`NvGenerator`].
    Nv,
}

/// The name used in files, and other spellings.
const SPELLINGS: &[(&str, &[&str])] = &[
    ("torch-cpu", &["cpu"]),
    ("torch-cuda", &["cuda", "gpu"]),
    ("numpy", &["np"]),
    ("nv", &["nvidia", "philox"]),
];

impl GeneratorKind {
    /// Every kind, that on CUDA with the default device.
    pub fn all() -> [Self; 4] {
        [Self::TorchCpu, Self::TorchCuda(CudaDevice::default()), Self::Numpy, Self::Nv]
    }

    /// The name used in files, without a device.
    pub const fn name(self) -> &'static str {
        SPELLINGS[match self {
            Self::TorchCpu => 0,
            Self::TorchCuda(_) => 1,
            Self::Numpy => 2,
            Self::Nv => 3,
        }]
        .0
    }

    /// The name of the web UI's setting and in its picture files; that of NumPy's generator is ours.
    pub const fn title(self) -> &'static str {
        match self {
            Self::TorchCpu => "CPU",
            Self::TorchCuda(_) => "GPU",
            Self::Numpy => "NumPy",
            Self::Nv => "NV",
        }
    }

    /// A generator with this seed.
    pub fn seeded(self, seed: u64) -> Box<dyn NoiseGenerator> {
        match self {
            Self::TorchCpu => Box::new(TorchCpuGenerator::new(seed)),
            Self::TorchCuda(device) => Box::new(TorchCudaGenerator::on(device, seed)),
            Self::Numpy => Box::new(NumpyGenerator::new(seed)),
            Self::Nv => Box::new(NvGenerator::new(seed)),
        }
    }
}

impl FromStr for GeneratorKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, device) = match text.split_once(':') {
            Some((name, device)) => (name, Some(device)),
            None => (text, None),
        };
        let lower = name.to_lowercase().replace('_', "-");
        let is = |kind: &Self| {
            let spelt = |(first, others): &(&str, &[&str])| {
                *first == kind.name() && (*first == lower || others.contains(&lower.as_str()))
            };
            SPELLINGS.iter().any(spelt)
        };
        match (Self::all().into_iter().find(is), device) {
            (Some(Self::TorchCuda(_)), Some(device)) => Ok(Self::TorchCuda(device.parse()?)),
            (Some(kind), None) => Ok(kind),
            _ => Err(unknown(text)),
        }
    }
}

fn unknown(text: &str) -> UnknownName {
    let names = SPELLINGS.iter().map(|(name, _)| *name).collect();
    let spellings = SPELLINGS
        .iter()
        .flat_map(|(name, others)| [*name].into_iter().chain(others.iter().copied()));
    UnknownName::new("noise generator", text, names, spellings)
}

impl fmt::Display for GeneratorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::TorchCuda(device) if *device != CudaDevice::default() => write!(f, ":{device}"),
            _ => Ok(()),
        }
    }
}

impl TryFrom<String> for GeneratorKind {
    type Error = UnknownName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<GeneratorKind> for String {
    fn from(kind: GeneratorKind) -> Self {
        kind.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_kinds() {
        let small = GeneratorKind::TorchCuda(CudaDevice::new(28, 1536));
        for kind in GeneratorKind::all().into_iter().chain([small]) {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(kind.name().parse::<GeneratorKind>().unwrap().name(), kind.name());
            assert_eq!(kind.title().parse::<GeneratorKind>().unwrap().title(), kind.title());
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<GeneratorKind>(&json).unwrap(), kind);
        }
        let device = GeneratorKind::TorchCuda(CudaDevice::default());
        for spelling in ["torch-cuda", "torch_cuda", "CUDA", "GPU", "gpu:H100", "cuda:132x2048"] {
            assert_eq!(spelling.parse(), Ok(device));
        }
    }

    #[test]
    fn unknown_names_are_told_from_known_ones() {
        let error = |text: &str| text.parse::<GeneratorKind>().unwrap_err();
        assert!(error("torch-cpx").to_string().contains("did you mean `torch-cpu`?"));
        assert_eq!(error("cpu:rtx-3060").what, "noise generator");
        assert_eq!(error("cuda:rtx-306").nearest, Some("rtx-3060"));
    }

    #[test]
    fn each_kind_makes_its_generator() {
        let drawn = GeneratorKind::all().map(|kind| kind.seeded(1).normal(3));
        assert_eq!(drawn[0], TorchCpuGenerator::new(1).normal(3));
        assert_eq!(drawn[1], TorchCudaGenerator::new(1).normal(3));
        assert_eq!(drawn[2], NumpyGenerator::new(1).normal(3));
        assert_eq!(drawn[3], NvGenerator::new(1).normal(3));
    }
}
