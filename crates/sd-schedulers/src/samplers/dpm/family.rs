//! The classes in terms of log-SNRs, which differ in small ways.

use crate::{
    config::Fields,
    error::ConfigError,
    schedule::{FinalSigmas, Spacing, TimestepSpacing},
};

/// A class of diffusers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::samplers) enum Family {
    Multistep,
    Singlestep,
    Deis,
    UniPc,
    SaSolver,
}

impl Family {
    /// Whether it reads `rescale_betas_zero_snr`.
    pub(super) fn has_zero_snr(self) -> bool {
        matches!(self, Self::Multistep | Self::UniPc)
    }

    /// Whether the last sigma of a rule is that of the result, too, where that is not zero.
    pub(super) fn repeats_the_last(self) -> bool {
        !matches!(self, Self::Multistep | Self::Singlestep)
    }

    /// DEIS and SA-Solver end at the least sigma of training, whatever the key says.
    pub(super) fn final_sigmas(self, fields: Fields<'_>) -> Result<FinalSigmas, ConfigError> {
        match self {
            Self::Deis | Self::SaSolver => Ok(FinalSigmas::SigmaMin),
            _ => fields.name("final_sigmas_type", FinalSigmas::Zero),
        }
    }

    pub(super) fn lambda_min_clipped(self, fields: Fields<'_>) -> Result<f64, ConfigError> {
        match self {
            Self::Deis | Self::UniPc => Ok(f64::NEG_INFINITY),
            _ => fields.number("lambda_min_clipped", f64::NEG_INFINITY),
        }
    }

    /// Singlestep knows linspace only, whatever the key says.
    pub(super) fn spacing(self, fields: Fields<'_>) -> Result<Spacing, ConfigError> {
        match self {
            Self::Singlestep => Ok(Spacing { kind: TimestepSpacing::Linspace, steps_offset: 0 }),
            _ => Spacing::read(fields, TimestepSpacing::Linspace),
        }
    }
}
