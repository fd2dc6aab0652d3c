//! DPM-Solver++ (multistep): "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
//! <https://arxiv.org/abs/2211.01095>, algorithm 2, with its third-order sibling.

mod ladder;
mod update;

use crate::{
    Scheduler, SchedulerConfig,
    config::{Fields, TrainingConfig},
    error::{ConfigError, PlanError},
    names::named_enum,
    plan::{Plan, PlanRequest},
    program::Limit,
    samplers::{DEFAULT_BETAS, sigma_schedule, thresholding},
    schedule::{FinalSigmas, NoiseLevel, NoiseSchedule, SigmaRule, Spacing, TimestepSpacing},
};

named_enum! {
    /// The form of the second-order correction.
    pub enum SolverType ("solver type") {
        /// By the midpoint rule.
        Midpoint = "midpoint",
        /// By Heun's rule.
        Heun = "heun",
    }
}

/// `DPMSolverMultistepScheduler` with `algorithm_type` `dpmsolver++`: "DPM++ 2M" at its default order.
#[derive(Debug, Clone)]
pub struct DpmMultistep {
    config: SchedulerConfig,
    training: TrainingConfig,
    schedule: NoiseSchedule,
    spacing: Spacing,
    solver_order: usize,
    solver_type: SolverType,
    lower_order_final: bool,
    euler_at_final: bool,
    rule: SigmaRule,
    final_sigmas: FinalSigmas,
    lambda_min_clipped: f64,
    limit: Limit,
}

impl DpmMultistep {
    /// # Errors
    /// If a key has the wrong type or an impossible value, or asks for another algorithm than DPM-Solver++.
    pub fn new(config: SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        refuse_other_algorithms(fields)?;
        let training = TrainingConfig::read(fields, DEFAULT_BETAS)?;
        Ok(Self {
            schedule: sigma_schedule(&training)?,
            spacing: Spacing::read(fields, TimestepSpacing::Linspace)?,
            solver_order: fields.count("solver_order", 2, 1, 3)?,
            solver_type: solver_type(fields)?,
            lower_order_final: fields.flag("lower_order_final", true)?,
            euler_at_final: fields.flag("euler_at_final", false)?,
            rule: SigmaRule::read(fields)?,
            final_sigmas: fields.name("final_sigmas_type", FinalSigmas::Zero)?,
            lambda_min_clipped: fields.number("lambda_min_clipped", f64::NEG_INFINITY)?,
            limit: thresholding(fields)?.unwrap_or_default(),
            training,
            config,
        })
    }
}

fn refuse_other_algorithms(fields: Fields<'_>) -> Result<(), ConfigError> {
    for key in ["use_lu_lambdas", "use_flow_sigmas", "use_dynamic_shifting"] {
        fields.refuse_switch(key)?;
    }
    let algorithm = fields.text("algorithm_type", "dpmsolver++")?;
    // DEIS names its own algorithm; diffusers reads it as DPM-Solver++, so that configurations can be swapped.
    if !["dpmsolver++", "deis"].contains(&algorithm.as_str()) {
        return Err(fields.unsupported("algorithm_type", algorithm));
    }
    match fields.values.get("variance_type") {
        None | Some(serde_json::Value::Null) => Ok(()),
        Some(_) => Err(fields.unsupported("variance_type", fields.text("variance_type", "")?)),
    }
}

/// The names that DEIS and UniPC use stand for the midpoint rule, as in diffusers.
fn solver_type(fields: Fields<'_>) -> Result<SolverType, ConfigError> {
    match fields.text("solver_type", "midpoint")?.as_str() {
        "logrho" | "bh1" | "bh2" => Ok(SolverType::Midpoint),
        _ => fields.name("solver_type", SolverType::Midpoint),
    }
}

impl Scheduler for DpmMultistep {
    fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.validate()?;
        self.spacing.check_steps(self.training.num_train_timesteps, request.steps)?;
        let (timesteps, sigmas) = self.ladder(request.steps);
        // Trailing timesteps under a clipped lambda can be fewer than the steps asked for.
        let steps = timesteps.len();
        let request = PlanRequest { steps, ..*request };
        request.validate()?;
        let stages = (request.begin..steps)
            .map(|index| {
                let made = index - request.begin;
                self.stage(timesteps[index], &sigmas, index, self.order(index, steps, made), made)
            })
            .collect();
        let last = NoiseLevel::variance_preserving_sigma(sigmas[steps]);
        Plan::from_stages(&request, stages, last)
    }
}
