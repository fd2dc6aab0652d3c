//! Data that are Gaussian: the model is known in closed form, and so are the probability flow and the reverse diffusion.

use std::sync::Arc;

use sd_schedulers::{
    Evaluation, HostRun, IntervalNoise, NoiseGenerator, NoiseLevel, Plan, PredictionType,
    TorchCpuGenerator,
};

/// Mean of the data.
pub(crate) const MEAN: f64 = 0.5;
/// Standard deviation of the data.
pub(crate) const DEVIATION: f64 = 0.8;

/// How a model is asked and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// By a prediction of diffusers.
    Prediction(PredictionType),
    /// Preconditioned as in EDM, with `sigma_data` 0.5.
    Edm,
}

/// Mean and standard deviation of noisy data.
pub(crate) fn marginal(level: NoiseLevel, mean: f64) -> (f64, f64) {
    (level.signal * mean, (level.signal * DEVIATION).hypot(level.noise))
}

/// The output of the model that knows the data, for noisy data whose mean is `mean`.
fn output(answer: Answer, evaluation: Evaluation, input: f64, mean: f64) -> f64 {
    let NoiseLevel { signal, noise } = evaluation.level;
    let x = input / evaluation.input_scale;
    let (center, spread) = marginal(evaluation.level, mean);
    let gain = signal * DEVIATION * DEVIATION / (spread * spread);
    let clean = mean + gain * (x - center);
    // not (x - signal * clean) / noise, which loses digits and fails without noise
    let epsilon = noise * (x - center) / (spread * spread);
    match answer {
        Answer::Prediction(PredictionType::Sample) => clean,
        Answer::Prediction(PredictionType::VPrediction) => signal * epsilon - noise * clean,
        Answer::Prediction(PredictionType::FlowPrediction) => epsilon - clean,
        Answer::Prediction(_) => epsilon,
        Answer::Edm => {
            let variance = noise * noise + 0.25;
            (clean - 0.25 / variance * x) / (noise * 0.5 / variance.sqrt())
        }
    }
}

/// Runs a plan from these starts, each of data with its own mean.
fn finish(
    plan: &Plan,
    answer: Answer,
    starts: Vec<f64>,
    means: &[f64],
    noise: &mut dyn NoiseGenerator,
    tree: Option<Arc<dyn IntervalNoise>>,
) -> Vec<f64> {
    let mut run = HostRun::new(plan, starts);
    if let Some(tree) = tree {
        run = run.with_interval_noise(tree);
    }
    while let Some((input, evaluation)) = run.evaluation() {
        let outputs =
            input.iter().zip(means).map(|(&x, &mean)| output(answer, evaluation, x, mean));
        run.advance(outputs.collect(), noise).unwrap();
    }
    run.latents().to_vec()
}

/// How far the end of a deterministic run is from the probability flow, in standard deviations of the data there.
pub(crate) fn flow_error(plan: &Plan, answer: Answer, last: NoiseLevel) -> f64 {
    let places = [-1.5, 0.3, 2.0];
    let (mean, spread) = marginal(plan.level(), MEAN);
    let starts = places.iter().map(|place| mean + place * spread).collect();
    let means = [MEAN; 3];
    let ends = finish(plan, answer, starts, &means, &mut TorchCpuGenerator::new(0), None);
    let (mean, spread) = marginal(last, MEAN);
    let errors = ends.iter().zip(places).map(|(end, place)| ((end - mean) / spread - place).abs());
    errors.fold(0.0, f64::max)
}

/// Noise that is 1 at one place in each draw, at the next place in the next draw; place 0 gets none.
#[derive(Debug, Default)]
struct Impulses(usize);

impl NoiseGenerator for Impulses {
    fn fill(&mut self, values: &mut [f32]) {
        self.0 += 1;
        values.fill(0.0);
        values[self.0] = 1.0;
    }
}

/// A Brownian motion whose increment over each of the smallest intervals is its own place.
#[derive(Debug)]
struct ImpulseTree {
    sigmas: Vec<f64>,
    count: usize,
}

impl IntervalNoise for ImpulseTree {
    fn noise(&self, sigma: f64, sigma_next: f64) -> Vec<f32> {
        let mut values = vec![0.0; self.count];
        let inside =
            |pair: &[f64]| pair[0] <= sigma * (1.0 + 1e-9) && pair[1] >= sigma_next * (1.0 - 1e-9);
        for (index, pair) in self.sigmas.windows(2).enumerate().filter(|(_, pair)| inside(pair)) {
            values[1 + index] = ((pair[0] - pair[1]) / (sigma - sigma_next)).sqrt() as f32;
        }
        values
    }
}

/// Every sigma of a plan, falling, with those half way (by logarithms).
fn with_middles(plan: &Plan) -> Vec<f64> {
    let mut sigmas = plan.sigmas().to_vec();
    sigmas.extend(plan.sigmas().windows(2).map(|pair| (pair[0] * pair[1]).sqrt()));
    sigmas.sort_by(|a, b| b.total_cmp(a));
    sigmas.dedup_by(|a, b| (*a - *b).abs() <= 1e-9 * a.abs());
    sigmas
}

/// The law of a stochastic run's end given its start: factor of the start, and variance.
///
/// The model is linear, so that both follow exactly from what a unit start and a unit of each noise come to.
pub(crate) fn law(plan: &Plan, answer: Answer, by_tree: bool) -> (f64, f64) {
    let sigmas = with_middles(plan);
    let count = 2 + 2 * sigmas.len() + 2 * plan.timesteps().len();
    let mut starts = vec![0.0; count];
    starts[0] = 1.0;
    let tree = by_tree.then(|| Arc::new(ImpulseTree { sigmas, count }) as Arc<dyn IntervalNoise>);
    let means = vec![0.0; count];
    let ends = finish(plan, answer, starts, &means, &mut Impulses::default(), tree);
    (ends[0], ends[1..].iter().map(|end| end * end).sum())
}

/// The same of the reverse diffusion that ancestral samplers follow: data that were noised on from the last level to the
/// first are Gaussian together.
pub(crate) fn exact_law(first: NoiseLevel, last: NoiseLevel) -> (f64, f64) {
    let variance = |level: NoiseLevel| marginal(level, 0.0).1.powi(2);
    // x_first = (signal_first / signal_last) x_last + independent noise
    let covariance = first.signal / last.signal * variance(last);
    let factor = covariance / variance(first);
    (factor, variance(last) - covariance * factor)
}

/// Mean and variance of the ends of many seeds, from one start.
pub(crate) fn statistics(plan: &Plan, answer: Answer, start: f64, seeds: usize) -> (f64, f64) {
    let mut noise = TorchCpuGenerator::new(11);
    let means = vec![0.0; seeds];
    let ends = finish(plan, answer, vec![start; seeds], &means, &mut noise, None);
    let mean = ends.iter().sum::<f64>() / seeds as f64;
    (mean, ends.iter().map(|end| (end - mean).powi(2)).sum::<f64>() / (seeds - 1) as f64)
}
