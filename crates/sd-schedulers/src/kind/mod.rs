//! The schedulers by name.

mod classes;
mod sampler;

use std::{str::FromStr, sync::LazyLock};

pub(crate) use classes::build;
pub use sampler::Sampler;

use crate::{
    Scheduler, SchedulerConfig,
    error::ConfigError,
    names::{UnknownName, string_conversions},
    schedule::SigmaSchedule,
};

/// A sampler by the name that users know, with the rule that places its sigmas where the name has one.
///
/// Names are read without regard to case, spaces, `-` and `_`: the short name (`dpm++2m-karras`), the class of diffusers
/// (`DPMSolverMultistepScheduler`), the name in web interfaces (`DPM++ 2M Karras`) or the function of k-diffusion
/// (`sample_dpmpp_2m`). Any of them may be followed by the name of a [`SigmaSchedule`].
///
/// ```
/// use sd_schedulers::{Sampler, SchedulerKind, schedule::SigmaSchedule};
///
/// let kind: SchedulerKind = "DPM++ 2M SDE Exponential".parse()?;
/// assert_eq!(kind, SchedulerKind::DpmPlusPlus2MSde.with_schedule(SigmaSchedule::Exponential));
/// assert_eq!(kind.to_string(), "dpm++2m-sde-exponential");
/// assert_eq!("k_euler_ancestral".parse::<SchedulerKind>()?.sampler(), Sampler::EulerAncestral);
/// # Ok::<(), sd_schedulers::UnknownName>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchedulerKind {
    sampler: Sampler,
    schedule: Option<SigmaSchedule>,
}

/// The names of every combination, made once.
struct Name {
    kind: SchedulerKind,
    short: String,
    title: String,
}

static NAMES: LazyLock<Vec<Name>> = LazyLock::new(|| {
    let combinations = Sampler::ALL.iter().flat_map(|&sampler| {
        let named = SigmaSchedule::ALL.iter().copied().map(Some);
        [None].into_iter().chain(named).map(move |schedule| SchedulerKind { sampler, schedule })
    });
    let name = |kind: SchedulerKind| {
        let row = kind.sampler.row();
        let (mut short, mut title) = (row.names[0].to_string(), row.title.to_string());
        if let Some(schedule) = kind.schedule {
            short += &format!("-{}", schedule.name().replace('_', "-"));
            title += &format!(" {}", schedule.title());
        }
        Name { kind, short, title }
    };
    combinations.map(name).collect()
});

impl SchedulerKind {
    /// DPM-Solver++ 2M with Karras' sigmas.
    #[allow(non_upper_case_globals)]
    pub const DpmPlusPlus2MKarras: Self = Self::DpmPlusPlus2M.with_schedule(SigmaSchedule::Karras);

    /// Every sampler, and the combinations with sigmas that web interfaces list.
    pub const ALL: &'static [Self] = &const {
        const KARRAS: [SchedulerKind; 9] = [
            SchedulerKind::Lms,
            SchedulerKind::Dpm2,
            SchedulerKind::Dpm2Ancestral,
            SchedulerKind::DpmPlusPlus2SAncestral,
            SchedulerKind::DpmPlusPlus2M,
            SchedulerKind::DpmPlusPlusSde,
            SchedulerKind::DpmPlusPlus2MSde,
            SchedulerKind::DpmPlusPlus2MSdeHeun,
            SchedulerKind::DpmPlusPlus3MSde,
        ];
        const EXPONENTIAL: [SchedulerKind; 3] = [
            SchedulerKind::DpmPlusPlus2MSde,
            SchedulerKind::DpmPlusPlus2MSdeHeun,
            SchedulerKind::DpmPlusPlus3MSde,
        ];
        const ALONE: usize = Sampler::ALL.len();
        let mut all = [SchedulerKind::Ddim; ALONE + KARRAS.len() + EXPONENTIAL.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = if index < ALONE {
                SchedulerKind::new(Sampler::ALL[index])
            } else if index < ALONE + KARRAS.len() {
                KARRAS[index - ALONE].with_schedule(SigmaSchedule::Karras)
            } else {
                EXPONENTIAL[index - ALONE - KARRAS.len()].with_schedule(SigmaSchedule::Exponential)
            };
            index += 1;
        }
        all
    };

    /// A sampler over the sigmas of its class' default.
    pub const fn new(sampler: Sampler) -> Self {
        Self { sampler, schedule: None }
    }

    /// The same over sigmas by this rule.
    pub const fn with_schedule(self, schedule: SigmaSchedule) -> Self {
        Self { schedule: Some(schedule), ..self }
    }

    /// The sampler.
    pub const fn sampler(self) -> Sampler {
        self.sampler
    }

    /// The rule that places the sigmas, if the name says one.
    pub const fn schedule(self) -> Option<SigmaSchedule> {
        self.schedule
    }

    /// The short name.
    pub fn name(self) -> &'static str {
        self.names().map_or(self.sampler.row().names[0], |name| &name.short)
    }

    /// The name in web interfaces and in their picture files.
    pub fn title(self) -> &'static str {
        self.names().map_or(self.sampler.row().title, |name| &name.title)
    }

    /// The function in k-diffusion (`sample_dpmpp_2m`), or in programs that follow it, if there is one.
    pub fn k_diffusion_name(self) -> Option<String> {
        self.sampler.row().k_diffusion.map(|name| format!("sample_{name}"))
    }

    fn names(self) -> Option<&'static Name> {
        NAMES.iter().find(|name| name.kind == self)
    }

    /// The kind that a configuration describes, if it is one of them.
    pub fn of(config: &SchedulerConfig) -> Option<Self> {
        let class = config.class_name();
        let is_described = |sampler: &&Sampler| {
            let row = sampler.row();
            row.class == class
                && classes::distinguishing_keys(class).iter().all(|(key, default)| {
                    let own = row.keys.iter().find(|(name, _)| name == key);
                    let expected = json(own.map_or(default, |(_, value)| value));
                    config.get(key).is_none_or(|value| *value == expected)
                        && (config.get(key).is_some() || own.is_none())
                })
        };
        let sampler = *Sampler::ALL.iter().find(is_described)?;
        let is_on = |key: &str| config.get(key).is_some_and(|value| *value == true);
        let switched = SWITCHES.iter().find(|(key, _)| is_on(key)).map(|(_, schedule)| *schedule);
        let named = config.get("sigma_schedule").and_then(|value| value.as_str()?.parse().ok());
        let schedule = match sampler.has_switches() {
            true => switched.or(named),
            false => named,
        };
        Some(Self { sampler, schedule })
    }

    /// The class in diffusers, or this crate's own.
    pub const fn class_name(self) -> &'static str {
        self.sampler.row().class
    }

    /// This sampler with every key at its class default, for models trained on those.
    ///
    /// # Errors
    /// If the sampler does not take sigmas by the rule that the name says.
    pub fn default_scheduler(self) -> Result<Box<dyn Scheduler>, ConfigError> {
        self.with_config_of(&SchedulerConfig::new(self.class_name()))
    }

    /// This sampler over the training configuration of another, as diffusers' `from_config` does it: keys that were
    /// given explicitly are kept, those that only had the default of the other class get the default of this one.
    ///
    /// Keys that belong to the sampler and not to the model (which sigmas, which algorithm) are those that the name says.
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
        let row = self.sampler.row();
        let mut config = without_own_keys(existing).for_class(row.class);
        for (key, _) in classes::distinguishing_keys(row.class) {
            config = config.without(key);
        }
        for (key, value) in row.keys {
            config = config.with(*key, json(value));
        }
        if self.schedule.is_some() || !self.sampler.is_edm() {
            config = config.without("sigma_schedule");
        }
        // Those of other rules are written as off, not left out: an explicit key is what a reader looks for.
        for (key, schedule) in SWITCHES {
            let on = self.sampler.has_switches() && self.schedule == Some(*schedule);
            if on || config.get(key).is_some() {
                config = config.with(*key, on);
            }
        }
        let switched = SWITCHES.iter().any(|(_, schedule)| Some(*schedule) == self.schedule);
        match self.schedule {
            Some(schedule) if !(switched && self.sampler.has_switches()) => {
                config.with("sigma_schedule", schedule.name())
            }
            _ => config,
        }
    }
}

/// diffusers' switches for rules.
const SWITCHES: &[(&str, SigmaSchedule)] = &[
    ("use_karras_sigmas", SigmaSchedule::Karras),
    ("use_exponential_sigmas", SigmaSchedule::Exponential),
    ("use_beta_sigmas", SigmaSchedule::Beta),
];

/// The configuration without what its own sampler's name put into it, which says nothing of the model.
fn without_own_keys(existing: &SchedulerConfig) -> SchedulerConfig {
    let own = SchedulerKind::of(existing).map_or(&[][..], |kind| kind.sampler.row().keys);
    let is_own = |(key, value): &&(&str, &str)| existing.get(key) == Some(&json(value));
    own.iter().filter(is_own).fold(existing.clone(), |config, (key, _)| config.without(key))
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Lower case without separators, and `pp` for `++`.
fn simplified(name: &str) -> String {
    let letters = name.chars().filter(|c| !c.is_whitespace() && !"-_".contains(*c));
    letters.flat_map(char::to_lowercase).collect::<String>().replace("++", "pp")
}

/// Every name of a sampler; that of the class is only of the one that the class is by default.
fn spellings(sampler: Sampler) -> impl Iterator<Item = &'static str> {
    let row = sampler.row();
    let class = row.keys.is_empty().then_some(row.class);
    row.names.iter().copied().chain([row.title]).chain(class).chain(row.k_diffusion)
}

fn sampler_by_name(wanted: &str) -> Option<Sampler> {
    let bare = wanted.strip_prefix("sample").or_else(|| wanted.strip_prefix("k"));
    let named = |wanted: &str| {
        let matches =
            |sampler: &&Sampler| spellings(**sampler).any(|name| simplified(name) == wanted);
        Sampler::ALL.iter().find(matches).copied()
    };
    named(wanted).or_else(|| named(bare?))
}

fn unknown(found: &str) -> UnknownName {
    let names = Sampler::ALL.iter().map(|sampler| sampler.row().names[0]).collect();
    let alone = Sampler::ALL.iter().flat_map(|&sampler| spellings(sampler));
    let known = alone.chain(NAMES.iter().flat_map(|name| [&*name.short, &*name.title]));
    UnknownName::new("scheduler", found, names, known)
}

impl FromStr for SchedulerKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let wanted = simplified(text);
        if let Some(sampler) = sampler_by_name(&wanted) {
            return Ok(Self::new(sampler));
        }
        let with_schedule = |schedule: &SigmaSchedule| {
            let rest = wanted.strip_suffix(&simplified(schedule.name()))?;
            Some(Self::new(sampler_by_name(rest)?).with_schedule(*schedule))
        };
        SigmaSchedule::ALL.iter().find_map(with_schedule).ok_or_else(|| unknown(text))
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

#[cfg(test)]
mod tests;
