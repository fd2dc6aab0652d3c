//! Where the noise of a run comes from.

use std::sync::Arc;

use sd_schedulers::{
    BatchGenerator, IntervalNoise, NoiseGenerator, Plan, SchedulerConfig, rng::BrownianNoise,
};

use crate::{Error, Seeds, TextToImage};

/// The sampler whose noise diffusers takes from a Brownian motion. Others draw it anew in each step there.
const BROWNIAN: &str = "DPMSolverSDEScheduler";

/// The key of its configuration by which a file fixes the seed of that motion.
const SEED: &str = "noise_sampler_seed";

/// What draws the first latents, and the noise of the steps.
pub(super) fn generator(request: &TextToImage) -> Box<dyn NoiseGenerator> {
    match &request.seeds {
        Seeds::Batch(seed) => request.generator.seeded(*seed),
        Seeds::PerImage(seeds) => Box::new(BatchGenerator::seeded(request.generator, seeds)),
    }
}

/// The noise of the steps where it belongs to intervals of sigmas. Its seed is the file's; without one, where diffusers takes any,
/// that of the request.
pub(super) fn interval_noise(
    request: &TextToImage,
    config: &SchedulerConfig,
    plan: &Plan,
    count: usize,
) -> Result<Option<Arc<dyn IntervalNoise>>, Error> {
    let Some(range) = plan.noise_range().filter(|_| config.class_name() == BROWNIAN) else {
        return Ok(None);
    };
    let seeds = match (config.get(SEED).and_then(serde_json::Value::as_u64), &request.seeds) {
        (Some(seed), _) => vec![seed],
        (None, Seeds::Batch(seed)) => vec![*seed],
        (None, Seeds::PerImage(seeds)) => seeds.clone(),
    };
    let noise = BrownianNoise::new(range, count, &seeds)?.generator(request.generator);
    Ok(Some(Arc::new(noise)))
}
