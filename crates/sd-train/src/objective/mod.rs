//! What a denoiser is trained to predict, and how far off it is.

mod loss;
mod weighting;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use sd_schedulers::{NoiseGenerator, PredictionType, normal, schedule::NoiseSchedule};
use serde::{Deserialize, Serialize};

pub use loss::Loss;
pub use weighting::Weighting;

use crate::draws::Choices;

/// How clean latents are spoilt and what is asked of the model then. Flow matching is another one of these.
pub trait Objective: core::fmt::Debug + Send + Sync {
    /// Number of training timesteps.
    fn timesteps(&self) -> usize;

    /// Spoils latents at these timesteps.
    ///
    /// # Shapes
    /// - clean, noise: `[batch, channels, height, width]`, f32
    fn spoil<B: Backend>(
        &self,
        clean: Tensor<B, 4>,
        noise: Tensor<B, 4>,
        timesteps: &[usize],
    ) -> Spoilt<B>
    where
        Self: Sized;
}

/// Latents with noise, and what is to be predicted from them.
#[derive(Debug, Clone)]
pub struct Spoilt<B: Backend> {
    /// The model's input, `[batch, channels, height, width]`.
    pub input: Tensor<B, 4>,
    /// The timestep of each row.
    pub timesteps: Vec<f64>,
    /// What is to be predicted, of the input's shape.
    pub target: Tensor<B, 4>,
    /// Weight of each row in the loss.
    pub weights: Vec<f64>,
}

/// Options of [`Diffusion`] that its scheduler's configuration does not say.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DiffusionOptions {
    /// Weights of the timesteps. Default: all alike.
    pub weighting: Weighting,
    /// Standard deviation of a shift of the noise that is the same for all pixels of a channel, so that very dark and very
    /// bright pictures are learned (<https://www.crosslabs.org/blog/diffusion-with-offset-noise>). Default: 0.
    pub noise_offset: f64,
}

/// Denoising diffusion over a schedule of noise levels (<https://arxiv.org/abs/2006.11239>), with epsilon, v or sample
/// prediction as the scheduler's configuration says.
#[derive(Debug, Clone)]
pub struct Diffusion {
    schedule: NoiseSchedule,
    target: Target,
    options: DiffusionOptions,
}

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Noise,
    Velocity,
    Clean,
}

/// A prediction type that no objective is known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no objective for prediction type `{0}`, expected epsilon, v_prediction or sample")]
pub struct UnknownTarget(PredictionType);

impl Diffusion {
    /// The objective of a model that is sampled over this schedule.
    ///
    /// # Errors
    /// When the prediction type is another than epsilon, velocity or sample.
    pub fn new(
        schedule: NoiseSchedule,
        prediction: PredictionType,
        options: DiffusionOptions,
    ) -> Result<Self, UnknownTarget> {
        let target = match prediction {
            PredictionType::Epsilon => Target::Noise,
            PredictionType::VPrediction => Target::Velocity,
            PredictionType::Sample => Target::Clean,
            other => return Err(UnknownTarget(other)),
        };
        Ok(Self { schedule, target, options })
    }

    /// Draws a timestep for each row.
    pub fn draw_timesteps(&self, batch: usize, choices: &mut Choices) -> Vec<usize> {
        choices.each(batch, |choices| choices.below(self.timesteps()))
    }

    /// Draws noise, with its offset.
    pub fn draw_noise<B: Backend>(
        &self,
        shape: [usize; 4],
        generator: &mut dyn NoiseGenerator,
        device: &B::Device,
    ) -> Tensor<B, 4> {
        let noise = normal::<B, 4>(generator, shape, device);
        if self.options.noise_offset == 0.0 {
            return noise;
        }
        let [batch, channels, _, _] = shape;
        let offset = normal::<B, 4>(generator, [batch, channels, 1, 1], device);
        noise + offset * self.options.noise_offset
    }
}

impl Objective for Diffusion {
    fn timesteps(&self) -> usize {
        self.schedule.num_train_timesteps()
    }

    fn spoil<B: Backend>(
        &self,
        clean: Tensor<B, 4>,
        noise: Tensor<B, 4>,
        timesteps: &[usize],
    ) -> Spoilt<B> {
        let device = clean.device();
        let alphas: Vec<f64> =
            timesteps.iter().map(|&step| self.schedule.alphas_cumprod()[step]).collect();
        let column = |value: &dyn Fn(f64) -> f64| {
            let values: Vec<f32> = alphas.iter().map(|alpha| value(*alpha) as f32).collect();
            let data = TensorData::new(values, [alphas.len(), 1, 1, 1]);
            Tensor::<B, 4>::from_data(data, (&device, DType::F32))
        };
        let [signal, spread] =
            [column(&|alpha| alpha.sqrt()), column(&|alpha| (1.0 - alpha).sqrt())];
        let input = clean.clone() * signal.clone() + noise.clone() * spread.clone();
        let target = match self.target {
            Target::Noise => noise,
            Target::Velocity => noise * signal - clean * spread,
            Target::Clean => clean,
        };
        let weights =
            alphas.iter().map(|alpha| self.options.weighting.of(*alpha, self.target)).collect();
        let timesteps = timesteps.iter().map(|&step| step as f64).collect();
        Spoilt { input, timesteps, target, weights }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;
    use sd_schedulers::SchedulerConfig;

    use super::*;

    type B = burn_ndarray::NdArray<f32>;

    fn spoilt(prediction: PredictionType) -> (Tensor<B, 4>, Tensor<B, 4>, Spoilt<B>, Vec<f64>) {
        let training = SchedulerConfig::new("DDIMScheduler").training().unwrap();
        let schedule = training.schedule().unwrap();
        let alphas = [10, 700].map(|step| schedule.alphas_cumprod()[step]).to_vec();
        let objective = Diffusion::new(schedule, prediction, DiffusionOptions::default()).unwrap();
        let random =
            || Tensor::random([2, 1, 2, 2], Distribution::Normal(0.0, 1.0), &Default::default());
        let (clean, noise) = (random(), random());
        let spoilt = objective.spoil(clean.clone(), noise.clone(), &[10, 700]);
        (clean, noise, spoilt, alphas)
    }

    fn values(tensor: &Tensor<B, 4>) -> Vec<f64> {
        tensor.to_data().iter::<f32>().map(f64::from).collect()
    }

    /// The clean latents are found again from input and target, by the definition of each prediction.
    #[test]
    fn targets_lead_back_to_the_clean_latents() {
        let known = |prediction: &&PredictionType| **prediction != PredictionType::FlowPrediction;
        for prediction in PredictionType::ALL.iter().filter(known) {
            let (clean, noise, spoilt, alphas) = spoilt(*prediction);
            let (input, target) = (values(&spoilt.input), values(&spoilt.target));
            for (index, clean) in values(&clean).into_iter().enumerate() {
                let alpha = alphas[index / 4];
                let (signal, spread) = (alpha.sqrt(), (1.0 - alpha).sqrt());
                let found = match prediction {
                    PredictionType::Epsilon => (input[index] - spread * target[index]) / signal,
                    PredictionType::VPrediction => signal * input[index] - spread * target[index],
                    _ => target[index],
                };
                assert!((found - clean).abs() < 1e-4, "{prediction}: {found} for {clean}");
                let expected = signal * clean + spread * values(&noise)[index];
                assert!((input[index] - expected).abs() < 1e-5);
            }
        }
    }
}
