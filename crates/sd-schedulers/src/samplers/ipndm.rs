//! IPNDM: the multistep method of "Pseudo Numerical Methods for Diffusion Models on Manifolds"
//! (<https://arxiv.org/abs/2202.09778>) with lower orders at the start instead of a warm-up, over the schedule of its
//! author (<https://github.com/crowsonkb/v-diffusion-pytorch>): models of continuous time that predict the velocity.

use super::{Configured, Method};
use crate::{
    SchedulerConfig,
    combination::Value::{Sample, Stored},
    error::{ConfigError, PlanError},
    plan::Plan,
    program::Stage,
    request::PlanRequest,
    schedule::{NoiseLevel, PredictionType, linspace},
};

/// Slots of the earlier predictions of noise, the newest first.
const HISTORY: [usize; 3] = [0, 1, 2];

/// `IPNDMScheduler`: its schedule reads no keys, its timesteps fall from 1, and models predict the velocity.
pub type Ipndm = Configured<IpndmMethod>;

/// The method of [`Ipndm`].
#[derive(Debug, Clone)]
pub struct IpndmMethod;

/// The level at a time from 1 (noise) to 0 (clean), in f32 as models saw it: next to 1 the signal has few digits.
fn level(time: f64) -> NoiseLevel {
    let noise = (time as f32 * std::f32::consts::FRAC_PI_2).sin().powi(2);
    let signal = (1.0 - noise * noise).max(0.0).sqrt();
    NoiseLevel { signal: f64::from(signal), noise: f64::from(noise) }
}

impl Method for IpndmMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        super::refuse_sigma_schedule(fields)?;
        // diffusers does not read the key, and would take the output of any model for a velocity.
        if let Some(prediction) = fields.optional_name::<PredictionType>("prediction_type")?
            && prediction != PredictionType::VPrediction
        {
            return Err(fields.unsupported("prediction_type", prediction));
        }
        match fields.optional_numbers("trained_betas")? {
            Some(_) => Err(fields.unsupported("trained_betas", "an array")),
            None => Ok(Self),
        }
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.refuse_custom("IPNDMScheduler")?;
        let levels: Vec<NoiseLevel> =
            linspace(1.0, 0.0, request.steps + 1).into_iter().map(level).collect();
        let [one, two, three] = HISTORY.map(Stored);
        let stages = levels.windows(2).skip(request.begin).enumerate().map(|(made, pair)| {
            let (from, to) = (pair[0], pair[1]);
            let noise = from.epsilon(PredictionType::VPrediction);
            let mean = match made {
                0 => noise.clone(),
                1 => 0.5 * (3.0 * noise.clone() - 1.0 * one),
                2 => (1.0 / 12.0) * (23.0 * noise.clone() - 16.0 * one + 5.0 * two),
                _ => {
                    let earlier = 59.0 * one - 37.0 * two + 9.0 * three;
                    (1.0 / 24.0) * (55.0 * noise.clone() - earlier)
                }
            };
            let clean = (1.0 / from.signal.max(1e-8)) * (1.0 * Sample - from.noise * mean.clone());
            let timestep = from.noise.atan2(from.signal) / std::f64::consts::FRAC_PI_2;
            Stage::new(timestep, from, PredictionType::VPrediction)
                .input_scale(1.0)
                .remember(&HISTORY, made, noise)
                .next(to.signal * clean + to.noise * mean)
                .finish_step()
        });
        Plan::from_stages(request, stages.collect(), NoiseLevel::CLEAN)
    }
}
