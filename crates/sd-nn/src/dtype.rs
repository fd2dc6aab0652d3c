//! Which dtype each component computes in.

use core::{fmt, str::FromStr};

use burn::tensor::{DType, backend::Backend};
use thiserror::Error;

/// A floating-point type that models compute in.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// 32 bits. On CUDA matrix products round their inputs to TF32.
    #[default]
    F32,
    /// 16 bits, 11 of them for the significand: overflows beyond 65504.
    F16,
    /// 16 bits, 8 of them for the significand: the range of f32.
    Bf16,
}

impl Precision {
    /// Burn's name for it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    /// Whether a device computes in it.
    ///
    /// # Errors
    /// [`UnsupportedPrecision`] when it does not.
    pub fn check<B: Backend>(self, device: &B::Device) -> Result<(), UnsupportedPrecision> {
        if B::supports_dtype(device, self.dtype()) {
            return Ok(());
        }
        let all = [Self::F32, Self::F16, Self::Bf16];
        let supported = all.into_iter().filter(|other| B::supports_dtype(device, other.dtype()));
        Err(UnsupportedPrecision {
            precision: self,
            backend: B::name(device),
            supported: supported.collect(),
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "f32" | "fp32" | "float32" => Ok(Self::F32),
            "f16" | "fp16" | "float16" => Ok(Self::F16),
            "bf16" | "bfloat16" => Ok(Self::Bf16),
            _ => Err(UnknownPrecision(name.to_owned())),
        }
    }
}

/// A precision name that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown precision \"{0}\", expected f32, f16 or bf16")]
pub struct UnknownPrecision(pub String);

/// A precision that a backend does not compute in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the backend {backend} does not compute in {precision} on this device, only in {}", list(.supported))]
pub struct UnsupportedPrecision {
    /// What was asked for.
    pub precision: Precision,
    /// The backend's name.
    pub backend: String,
    /// What it has.
    pub supported: Vec<Precision>,
}

fn list(supported: &[Precision]) -> String {
    supported.iter().map(Precision::to_string).collect::<Vec<_>>().join(", ")
}

/// The precision of each component. Casts happen at the borders between them and nowhere else.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
pub struct DTypePolicy {
    /// Text encoders.
    pub text: Precision,
    /// U-Net or other denoiser.
    pub denoiser: Precision,
    /// Autoencoder.
    pub vae: Precision,
}

impl From<Precision> for DTypePolicy {
    /// One precision for everything.
    fn from(precision: Precision) -> Self {
        Self { text: precision, denoiser: precision, vae: precision }
    }
}

impl DTypePolicy {
    /// Whether a device computes in all three.
    ///
    /// # Errors
    /// [`UnsupportedPrecision`] for the first in which it does not.
    pub fn check<B: Backend>(&self, device: &B::Device) -> Result<(), UnsupportedPrecision> {
        [self.text, self.denoiser, self.vae].iter().try_for_each(|one| one.check::<B>(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert!("f8".parse::<Precision>().is_err());
    }

    #[test]
    fn ndarray_has_f32_only() {
        type B = burn_ndarray::NdArray<f32>;
        let device = Default::default();
        assert!(Precision::F32.check::<B>(&device).is_ok());
        let error = Precision::F16.check::<B>(&device).unwrap_err();
        assert!(error.to_string().contains("only in f32"), "{error}");
    }
}
