//! Models preconditioned as in EDM: "Elucidating the Design Space of Diffusion-Based Generative Models",
//! <https://arxiv.org/abs/2206.00364>, table 1 and algorithm 2 (without churn), and DPM-Solver++
//! (<https://arxiv.org/abs/2211.01095>) over them.

use super::{
    Configured, Method, NO_SAMPLE,
    dpm::{Algorithm, OrderRule, Rungs, SolverType, UpdateRule, algorithm, solver_type, update},
    thresholding,
};
use crate::{
    SchedulerConfig,
    combination::{
        Combination,
        Value::{Denoised, Output, Sample, Stored},
    },
    config::{Fields, out_of_range},
    error::{ConfigError, PlanError},
    plan::Plan,
    program::{Limit, Stage},
    request::{CustomSchedule, PlanRequest},
    schedule::{
        FinalSigmas, NoiseLevel, PredictionType, SigmaSchedule, exponential_sigmas, karras_sigmas,
    },
};

/// `EDMEulerScheduler`.
pub type EdmEuler = Configured<EdmEulerMethod>;

/// `EDMDPMSolverMultistepScheduler`.
pub type EdmDpm = Configured<EdmDpmMethod>;

/// The method of [`EdmEuler`].
#[derive(Debug, Clone)]
pub struct EdmEulerMethod {
    model: EdmModel,
}

/// The method of [`EdmDpm`].
#[derive(Debug, Clone)]
pub struct EdmDpmMethod {
    model: EdmModel,
    algorithm: Algorithm,
    solver_type: SolverType,
    orders: OrderRule,
    limit: Limit,
}

/// How the model is preconditioned, and where its sigmas lie.
#[derive(Debug, Clone)]
struct EdmModel {
    prediction: PredictionType,
    sigma_min: f64,
    sigma_max: f64,
    sigma_data: f64,
    rho: f64,
    schedule: SigmaSchedule,
    /// Of the result, if it is not clean; `None` for the last of the steps again.
    last: Option<f64>,
    final_sigmas: FinalSigmas,
}

impl EdmModel {
    fn read(fields: Fields<'_>) -> Result<Self, ConfigError> {
        let schedule = fields.name("sigma_schedule", SigmaSchedule::Karras)?;
        if !matches!(schedule, SigmaSchedule::Karras | SigmaSchedule::Exponential) {
            return Err(fields.unsupported("sigma_schedule", schedule));
        }
        let prediction = fields.name("prediction_type", PredictionType::Epsilon)?;
        if !NO_SAMPLE.contains(&prediction) {
            return Err(fields.unsupported("prediction_type", prediction));
        }
        let positive = |key, default| -> Result<f64, ConfigError> {
            Ok(fields.optional_number_above(key, 0.0)?.unwrap_or(default))
        };
        let (sigma_min, sigma_max) = (positive("sigma_min", 0.002)?, positive("sigma_max", 80.0)?);
        if sigma_min > sigma_max {
            return Err(out_of_range("sigma_min", format!("at most {sigma_max}"), sigma_min));
        }
        Ok(Self {
            prediction,
            sigma_min,
            sigma_max,
            sigma_data: positive("sigma_data", 0.5)?,
            rho: positive("rho", 7.0)?,
            schedule,
            last: None,
            final_sigmas: fields.name("final_sigmas_type", FinalSigmas::Zero)?,
        })
    }

    fn rungs(&self, request: &PlanRequest, class: &'static str) -> Result<Rungs, PlanError> {
        let sigmas = match &request.custom {
            Some(CustomSchedule::Sigmas(sigmas)) => sigmas.to_vec(),
            _ => {
                request.refuse_custom(class)?;
                let (least, most, count) = (self.sigma_min, self.sigma_max, request.steps);
                let mut sigmas = match self.schedule {
                    SigmaSchedule::Karras => karras_sigmas(least, most, count, self.rho),
                    // torch counts up and turns the list, so that one step is the least
                    _ if count == 1 => vec![least],
                    _ => exponential_sigmas(least, most, count),
                };
                sigmas.push(match self.final_sigmas {
                    FinalSigmas::Zero => 0.0,
                    FinalSigmas::SigmaMin => self.last.or(sigmas.last().copied()).unwrap_or(least),
                });
                sigmas
            }
        };
        let timesteps = sigmas.iter().take(request.steps).map(|sigma| 0.25 * sigma.ln()).collect();
        let levels = sigmas.into_iter().map(NoiseLevel::variance_exploding).collect();
        Ok(Rungs { timesteps, levels })
    }

    /// An evaluation: input and output are scaled so that the model works on unit variances.
    fn stage(&self, timestep: f64, level: NoiseLevel) -> Stage {
        let (sigma, data) = (level.noise, self.sigma_data);
        let variance = sigma * sigma + data * data;
        let out = match self.prediction {
            PredictionType::VPrediction => -sigma * data / variance.sqrt(),
            _ => sigma * data / variance.sqrt(),
        };
        let denoised: Combination = (data * data / variance) * Sample + out * Output;
        Stage::new(timestep, level, self.prediction)
            .input_scale(1.0 / variance.sqrt())
            .denoised(denoised)
    }

    fn plan(
        &self,
        request: &PlanRequest,
        rungs: &Rungs,
        stage: impl FnMut(usize) -> Stage,
    ) -> Result<Plan, PlanError> {
        let stages = (request.begin..request.steps).map(stage).collect();
        let plan = Plan::from_stages(request, stages, rungs.levels[request.steps])?;
        // The caller's sigmas begin where they say.
        let most = match &request.custom {
            Some(_) => rungs.levels[0].noise,
            None => self.sigma_max,
        };
        Ok(plan.with_init_noise_sigma((most * most + 1.0).sqrt()))
    }
}

impl Method for EdmEulerMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        Ok(Self { model: EdmModel::read(config.fields())? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.model.rungs(request, "EDMEulerScheduler")?;
        self.model.plan(request, &rungs, |index| {
            let ratio = rungs.levels[index + 1].noise / rungs.levels[index].noise;
            self.model
                .stage(rungs.timesteps[index], rungs.levels[index])
                .next(ratio * Sample + (1.0 - ratio) * Denoised)
                .finish_step()
        })
    }
}

impl Method for EdmDpmMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        let mut model = EdmModel::read(fields)?;
        model.last = Some(model.sigma_min);
        let algorithm = algorithm(fields, &[Algorithm::PlusPlus, Algorithm::SdePlusPlus])?;
        let orders = OrderRule::read_with_end(fields, model.final_sigmas)?;
        if algorithm == Algorithm::SdePlusPlus && orders.most == 3 {
            return Err(fields.unsupported("solver_order", format!("3 for {algorithm}")));
        }
        let limit = thresholding(fields)?.unwrap_or_default();
        Ok(Self { model, algorithm, solver_type: solver_type(fields)?, orders, limit })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.model.rungs(request, "EDMDPMSolverMultistepScheduler")?;
        let rule =
            UpdateRule { algorithm: self.algorithm, solver_type: self.solver_type, curve: 1.0 };
        self.model.plan(request, &rungs, |index| {
            let made = index - request.begin;
            let (from, to) = (rungs.levels[index], rungs.levels[index + 1]);
            let order = self.orders.order(&rungs, index, made);
            let values = [1.0 * Denoised, 1.0 * Stored(0), 1.0 * Stored(1)];
            self.model
                .stage(rungs.timesteps[index], from)
                .limit(self.limit)
                .remember(&[0, 1][..self.orders.most - 1], made, 1.0 * Denoised)
                .next(update(&rungs, index, order, rule, values))
                .noise_between(from.noise, to.noise)
                .finish_step()
        })
    }
}
