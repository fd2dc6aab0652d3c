//! The scheduler classes, by the name that `_class_name` has.

use crate::{Scheduler, SchedulerConfig, error::ConfigError, names::UnknownName, samplers::*};

type Build = fn(SchedulerConfig) -> Result<Box<dyn Scheduler>, ConfigError>;

trait New: Scheduler + Sized + 'static {
    fn new(config: SchedulerConfig) -> Result<Self, ConfigError>;
}

impl<M: Method> New for Configured<M> {
    fn new(config: SchedulerConfig) -> Result<Self, ConfigError> {
        Self::new(config)
    }
}

fn boxed<S: New>(config: SchedulerConfig) -> Result<Box<dyn Scheduler>, ConfigError> {
    Ok(Box::new(<S as New>::new(config)?))
}

/// Every class; the last five are this crate's own.
const CLASSES: &[(&str, Build)] = &[
    ("DDIMScheduler", boxed::<Ddim>),
    ("DDIMParallelScheduler", boxed::<Ddim>),
    ("DDIMInverseScheduler", boxed::<DdimInverse>),
    ("DDPMScheduler", boxed::<Ddpm>),
    ("DDPMParallelScheduler", boxed::<Ddpm>),
    ("PNDMScheduler", boxed::<Pndm>),
    ("IPNDMScheduler", boxed::<Ipndm>),
    ("LMSDiscreteScheduler", boxed::<Lms>),
    ("EulerDiscreteScheduler", boxed::<Euler>),
    ("EulerAncestralDiscreteScheduler", boxed::<EulerAncestral>),
    ("HeunDiscreteScheduler", boxed::<Heun>),
    ("KDPM2DiscreteScheduler", boxed::<Dpm2>),
    ("KDPM2AncestralDiscreteScheduler", boxed::<Dpm2Ancestral>),
    ("DPMSolverMultistepScheduler", boxed::<DpmMultistep>),
    ("DPMSolverSinglestepScheduler", boxed::<DpmSinglestep>),
    ("DPMSolverSDEScheduler", boxed::<DpmSde>),
    ("DEISMultistepScheduler", boxed::<Deis>),
    ("UniPCMultistepScheduler", boxed::<UniPc>),
    ("SASolverScheduler", boxed::<SaSolver>),
    ("LCMScheduler", boxed::<Lcm>),
    ("TCDScheduler", boxed::<Tcd>),
    ("EDMEulerScheduler", boxed::<EdmEuler>),
    ("EDMDPMSolverMultistepScheduler", boxed::<EdmDpm>),
    ("FlowMatchEulerDiscreteScheduler", boxed::<FlowEuler>),
    ("FlowMatchHeunDiscreteScheduler", boxed::<FlowHeun>),
    ("FlowMatchLCMScheduler", boxed::<FlowLcm>),
    ("RestartScheduler", boxed::<Restart>),
    ("DPMPP2SAncestralScheduler", boxed::<DpmPlusPlus2SAncestral>),
    ("DPMPP3MSDEScheduler", boxed::<DpmPlusPlus3MSde>),
    ("EulerCFGPPScheduler", boxed::<EulerCfg>),
    ("DPMPP2MCFGPPScheduler", boxed::<DpmPlusPlus2MCfg>),
];

/// The scheduler of a configuration's class.
pub(crate) fn build(config: SchedulerConfig) -> Result<Box<dyn Scheduler>, ConfigError> {
    match CLASSES.iter().find(|(name, _)| *name == config.class_name()) {
        Some((_, build)) => build(config),
        None => {
            let names = || CLASSES.iter().map(|(name, _)| *name);
            let class = config.class_name();
            Err(UnknownName::new("scheduler class", class, names().collect(), names()).into())
        }
    }
}

/// Keys that say which of several samplers a class is, with the values that it has without them.
pub(super) fn distinguishing_keys(class: &str) -> &'static [(&'static str, &'static str)] {
    match class {
        "DPMSolverMultistepScheduler"
        | "DPMSolverSinglestepScheduler"
        | "EDMDPMSolverMultistepScheduler" => &[
            ("algorithm_type", "\"dpmsolver++\""),
            ("solver_order", "2"),
            ("solver_type", "\"midpoint\""),
        ],
        "DEISMultistepScheduler" => {
            &[("algorithm_type", "\"deis\""), ("solver_order", "2"), ("solver_type", "\"logrho\"")]
        }
        "SASolverScheduler" => &[("algorithm_type", "\"data_prediction\"")],
        "UniPCMultistepScheduler" => &[("solver_order", "2"), ("solver_type", "\"bh2\"")],
        _ => &[],
    }
}
