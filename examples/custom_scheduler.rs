//! A sampler of one's own: the second-order Adams-Bashforth method over noise levels.
//!
//! Samplers are linear programs over named values, so there are no tensors here, and every coefficient is an `f64`.
//!
//! ```sh
//! cargo run --release --example custom_scheduler -- MODEL_DIR "a lighthouse at dusk"
//! ```

use sd_core::{
    LoadOptions, Pipeline, TextToImage,
    backend::DefaultBackend,
    sd_schedulers::{
        NoiseLevel, Plan, PlanError, PlanRequest, PredictionType, Scheduler, SchedulerConfig,
        Stage, Value,
    },
};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-sd1");

/// `x += (σ' − σ) · (3/2 d − 1/2 d_before)` with `d = (x − denoised) / σ`, on a cubic schedule of noise levels.
#[derive(Debug)]
struct AdamsBashforth {
    config: SchedulerConfig,
    sigma_max: f64,
}

impl Scheduler for AdamsBashforth {
    fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.validate()?;
        let left = |step: usize| 1.0 - step as f64 / request.steps as f64;
        let sigma = |step: usize| self.sigma_max * left(step).powi(3);
        let stages = (request.begin..request.steps).map(|step| {
            let (now, next) = (sigma(step), sigma(step + 1));
            let (first, delta) = (step == request.begin, next - now);
            // The derivative is a combination of the latents and the clean latents.
            let derivative = (1.0 / now) * Value::Sample + (-1.0 / now) * Value::Denoised;
            let update = if first {
                (1.0 + delta / now) * Value::Sample + (-delta / now) * Value::Denoised
            } else {
                let weight = 1.5 * delta / now;
                (1.0 + weight) * Value::Sample
                    + (-weight) * Value::Denoised
                    + (-0.5 * delta) * Value::Stored(0)
            };
            Stage::new(
                999.0 * left(step),
                NoiseLevel::variance_exploding(now),
                PredictionType::Epsilon,
            )
            .store(0, derivative)
            .next(update)
            .finish_step()
        });
        let plan = Plan::from_stages(request, stages.collect(), NoiseLevel::CLEAN)?;
        Ok(plan.with_init_noise_sigma(sigma(0)))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| FIXTURE.to_owned());
    let prompt = arguments.next().unwrap_or_else(|| "a lighthouse at dusk".to_owned());

    let pipeline = Pipeline::<DefaultBackend>::from_pretrained(&model, &LoadOptions::default())?;
    // The configuration says how the model was trained, and by its class name who samples.
    let config = pipeline.scheduler().config().clone().for_class("AdamsBashforth");
    let scheduler = AdamsBashforth { config, sigma_max: 14.6 };
    let pipeline = pipeline.with_scheduler(scheduler);

    let image = pipeline.generate(&TextToImage::new(prompt).steps(10).seed(42))?.remove(0);
    println!(
        "{}×{} by {:?}",
        image.width(),
        image.height(),
        pipeline.scheduler().config().class_name()
    );
    Ok(())
}
