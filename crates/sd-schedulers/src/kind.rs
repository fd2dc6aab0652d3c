//! The schedulers by name.

use std::str::FromStr;

use crate::{
    Scheduler, SchedulerConfig,
    error::ConfigError,
    names::{UnknownName, string_conversions},
    samplers::{DEFAULT_BETAS, Ddim, DpmMultistep, Euler, EulerAncestral, HEUN_BETAS, Heun, Pndm},
};

/// A sampler by the name that users know.
///
/// Names are read without regard to case, spaces, `-` and `_`: the short name (`dpm++2m-karras`), the class of diffusers
/// (`DPMSolverMultistepScheduler`) or the name in web interfaces (`DPM++ 2M Karras`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum SchedulerKind {
    /// DDIM.
    Ddim,
    /// PNDM (PLMS).
    Pndm,
    /// Euler.
    Euler,
    /// Euler ancestral.
    EulerAncestral,
    /// Heun.
    Heun,
    /// DPM-Solver++ 2M.
    DpmPlusPlus2M,
    /// DPM-Solver++ 2M with Karras' sigmas.
    DpmPlusPlus2MKarras,
}

impl SchedulerKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Ddim,
        Self::Pndm,
        Self::Euler,
        Self::EulerAncestral,
        Self::Heun,
        Self::DpmPlusPlus2M,
        Self::DpmPlusPlus2MKarras,
    ];

    /// The short name.
    pub const fn name(self) -> &'static str {
        self.spellings()[0]
    }

    /// The name in web interfaces and in their picture files.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ddim => "DDIM",
            Self::Pndm => "PLMS",
            Self::Euler => "Euler",
            Self::EulerAncestral => "Euler a",
            Self::Heun => "Heun",
            Self::DpmPlusPlus2M => "DPM++ 2M",
            Self::DpmPlusPlus2MKarras => "DPM++ 2M Karras",
        }
    }

    /// The kind that a configuration describes, if it is one of them.
    pub fn of(config: &SchedulerConfig) -> Option<Self> {
        let karras = config.get("use_karras_sigmas").is_some_and(|value| *value == true);
        match config.class_name().parse().ok()? {
            Self::DpmPlusPlus2M if karras => Some(Self::DpmPlusPlus2MKarras),
            kind => Some(kind),
        }
    }

    /// The class in diffusers.
    pub const fn class_name(self) -> &'static str {
        match self {
            Self::Ddim => "DDIMScheduler",
            Self::Pndm => "PNDMScheduler",
            Self::Euler => "EulerDiscreteScheduler",
            Self::EulerAncestral => "EulerAncestralDiscreteScheduler",
            Self::Heun => "HeunDiscreteScheduler",
            Self::DpmPlusPlus2M | Self::DpmPlusPlus2MKarras => "DPMSolverMultistepScheduler",
        }
    }

    const fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::Ddim => &["ddim"],
            Self::Pndm => &["pndm", "plms"],
            Self::Euler => &["euler"],
            Self::EulerAncestral => &["euler-a", "euler-ancestral"],
            Self::Heun => &["heun"],
            Self::DpmPlusPlus2M => &["dpm++2m", "dpmpp-2m"],
            Self::DpmPlusPlus2MKarras => &["dpm++2m-karras", "dpmpp-2m-karras"],
        }
    }

    /// This sampler with every key at its class default, for models trained on those.
    ///
    /// # Errors
    /// Never for the defaults of this version.
    pub fn default_scheduler(self) -> Result<Box<dyn Scheduler>, ConfigError> {
        self.with_config_of(&SchedulerConfig::new(self.class_name()))
    }

    /// This sampler over the training configuration of another, as diffusers' `from_config` does it: keys that were
    /// given explicitly are kept, those that only had the default of the other class get the default of this one.
    ///
    /// The two names of DPM++ 2M say which sigmas and which order they mean and override the keys for them.
    ///
    /// # Errors
    /// If this sampler cannot do what a key asks for.
    pub fn with_config_of(
        self,
        existing: &SchedulerConfig,
    ) -> Result<Box<dyn Scheduler>, ConfigError> {
        self.config_from(existing).build()
    }

    /// The configuration that [`with_config_of`](Self::with_config_of) builds.
    pub fn config_from(self, existing: &SchedulerConfig) -> SchedulerConfig {
        let config = existing.clone().for_class(self.class_name());
        match self {
            Self::DpmPlusPlus2M | Self::DpmPlusPlus2MKarras => {
                let karras = self == Self::DpmPlusPlus2MKarras;
                let others =
                    ["algorithm_type", "solver_order", "use_exponential_sigmas", "use_beta_sigmas"];
                let config = others.into_iter().fold(config, SchedulerConfig::without);
                config.with("use_karras_sigmas", karras)
            }
            _ => config,
        }
    }
}

fn simplified(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace() && !"-_".contains(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

fn unknown(found: &str) -> UnknownName {
    let names = SchedulerKind::ALL.iter().map(|kind| kind.name()).collect();
    let known = SchedulerKind::ALL
        .iter()
        .flat_map(|kind| kind.spellings().iter().copied().chain([kind.class_name()]));
    UnknownName::new("scheduler", found, names, known)
}

impl FromStr for SchedulerKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let wanted = simplified(text);
        let matches = |kind: &&Self| {
            simplified(kind.class_name()) == wanted
                || kind.spellings().iter().any(|name| simplified(name) == wanted)
        };
        Self::ALL.iter().find(matches).copied().ok_or_else(|| unknown(text))
    }
}

string_conversions!(SchedulerKind);

/// Reads a `scheduler_config.json` and builds the scheduler of its class.
///
/// # Errors
/// If the text is malformed, the class unknown or a value unusable.
pub fn from_json(text: &str) -> Result<Box<dyn Scheduler>, ConfigError> {
    SchedulerConfig::from_json(text)?.build()
}

pub(crate) fn build(config: SchedulerConfig) -> Result<Box<dyn Scheduler>, ConfigError> {
    let class = config.class_name();
    let Some(kind) = SchedulerKind::ALL.iter().find(|kind| kind.class_name() == class) else {
        let classes = SchedulerKind::ALL.iter().map(|kind| kind.class_name());
        let mut expected: Vec<_> = classes.clone().collect();
        expected.dedup();
        return Err(UnknownName::new("scheduler class", class, expected, classes).into());
    };
    Ok(match kind {
        SchedulerKind::Ddim => Box::new(Ddim::new(config)?),
        SchedulerKind::Pndm => Box::new(Pndm::new(config)?),
        SchedulerKind::Euler => Box::new(Euler::new(config)?),
        SchedulerKind::EulerAncestral => Box::new(EulerAncestral::new(config)?),
        SchedulerKind::Heun => Box::new(Heun::new(config)?),
        SchedulerKind::DpmPlusPlus2M | SchedulerKind::DpmPlusPlus2MKarras => {
            Box::new(DpmMultistep::new(config)?)
        }
    })
}

/// Class defaults of `beta_start` and `beta_end`.
pub(crate) fn default_betas(class_name: &str) -> (f64, f64) {
    if class_name == SchedulerKind::Heun.class_name() { HEUN_BETAS } else { DEFAULT_BETAS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read() {
        for (names, kind) in [
            (["ddim", "DDIM", "DDIMScheduler"], SchedulerKind::Ddim),
            (["pndm", "PLMS", "PNDMScheduler"], SchedulerKind::Pndm),
            (["euler", "Euler", "EulerDiscreteScheduler"], SchedulerKind::Euler),
            (
                ["euler-a", "Euler a", "EulerAncestralDiscreteScheduler"],
                SchedulerKind::EulerAncestral,
            ),
            (["heun", "Heun", "HeunDiscreteScheduler"], SchedulerKind::Heun),
            (["dpm++2m", "DPM++ 2M", "DPMSolverMultistepScheduler"], SchedulerKind::DpmPlusPlus2M),
            (
                ["dpm++2m-karras", "DPM++ 2M Karras", "dpmpp_2m_karras"],
                SchedulerKind::DpmPlusPlus2MKarras,
            ),
        ] {
            for name in names {
                assert_eq!(name.parse::<SchedulerKind>(), Ok(kind), "{name}");
            }
            assert_eq!(kind.to_string().parse::<SchedulerKind>(), Ok(kind));
        }
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        assert_eq!("eular-a".parse::<SchedulerKind>().unwrap_err().nearest, Some("euler-a"));
        let error = SchedulerConfig::new("DDIMSchedular").build().unwrap_err().to_string();
        assert!(
            error.contains("did you mean `DDIMScheduler`?")
                && error.contains("HeunDiscreteScheduler"),
            "{error}"
        );
    }

    // SD 1.5's PNDM as DPM++ gets linspace, since its own leading was only a default; SDXL's Euler as DDIM carries leading.
    #[test]
    fn swapping_keeps_explicit_keys_and_drops_defaults() {
        let pndm = SchedulerConfig::new("PNDMScheduler")
            .with("beta_schedule", "scaled_linear")
            .with("steps_offset", 1);
        let swapped = SchedulerKind::DpmPlusPlus2MKarras.with_config_of(&pndm).unwrap();
        assert_eq!(swapped.config().class_name(), "DPMSolverMultistepScheduler");
        assert_eq!(swapped.config().get("timestep_spacing"), None);
        assert_eq!(swapped.config().get("steps_offset"), Some(&1.into()));
        assert_eq!(swapped.config().get("use_karras_sigmas"), Some(&true.into()));
        assert_eq!(swapped.config().training().unwrap().beta_schedule.to_string(), "scaled_linear");
        let plain = SchedulerKind::DpmPlusPlus2M.with_config_of(swapped.config()).unwrap();
        assert_eq!(plain.config().get("use_karras_sigmas"), Some(&false.into()));

        let euler =
            SchedulerConfig::new("EulerDiscreteScheduler").with("timestep_spacing", "leading");
        let ddim =
            SchedulerKind::Ddim.with_config_of(&euler.with("set_alpha_to_one", false)).unwrap();
        assert_eq!(ddim.config().get("timestep_spacing"), Some(&"leading".into()));
        assert_eq!(ddim.config().get("set_alpha_to_one"), Some(&false.into()));
    }

    #[test]
    fn a_sampler_refuses_what_it_cannot_do() {
        let error = |class: &str, key: &str, value: serde_json::Value| {
            SchedulerConfig::new(class).with(key, value).build().unwrap_err().to_string()
        };
        let zero_snr = "rescale_betas_zero_snr";
        assert_eq!(
            error("PNDMScheduler", zero_snr, true.into()),
            "PNDMScheduler does not support `rescale_betas_zero_snr` = true"
        );
        assert!(error("HeunDiscreteScheduler", zero_snr, true.into()).contains("does not support"));
        for class in ["PNDMScheduler", "EulerAncestralDiscreteScheduler"] {
            assert!(
                error(class, "prediction_type", "sample".into())
                    .contains("`prediction_type` = sample")
            );
        }
        for (key, value) in
            [("algorithm_type", "sde-dpmsolver++"), ("variance_type", "learned_range")]
        {
            assert!(error("DPMSolverMultistepScheduler", key, value.into()).contains(value));
        }
        for key in ["use_exponential_sigmas", "use_beta_sigmas"] {
            assert!(error("EulerDiscreteScheduler", key, true.into()).contains("does not support"));
        }
        let two = SchedulerConfig::new("HeunDiscreteScheduler").with("use_karras_sigmas", true);
        assert_eq!(
            two.with("use_beta_sigmas", true).build().unwrap_err(),
            ConfigError::SeveralSigmaRules
        );
        assert!(
            error("DDIMScheduler", "timestep_spacing", "trail".into())
                .contains("did you mean `trailing`?")
        );
        assert!(
            error("DDIMScheduler", "prediction_type", "flow_prediction".into())
                .contains("`v_prediction`")
        );
        assert!(
            error("DPMSolverMultistepScheduler", "solver_order", 4.into()).contains("from 1 to 3")
        );
    }
}
