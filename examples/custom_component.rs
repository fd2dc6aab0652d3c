//! Guidance and a hook of one's own.
//!
//! ```sh
//! cargo run --release --example custom_component -- MODEL_DIR "a lighthouse at dusk"
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Tensor, backend::Backend};
use sd_core::{
    Error, LoadOptions, Pipeline, StepState, TextToImage,
    backend::DefaultBackend,
    component::{Guidance, Hook, PromptRole},
    guidance::GuidanceContext,
};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-sd1");

/// Guidance only in the middle of the run (<https://arxiv.org/abs/2404.07724>): outside, the negative prompt is not even
/// evaluated, which saves half of the work.
struct LimitedInterval {
    from: f64,
    to: f64,
}

impl<B: Backend> Guidance<B> for LimitedInterval {
    fn branches(&self, context: &GuidanceContext) -> Vec<PromptRole> {
        let progress = context.index as f64 / context.total as f64;
        match (self.from..self.to).contains(&progress) {
            true => vec![PromptRole::Negative, PromptRole::Positive],
            false => vec![PromptRole::Positive],
        }
    }

    fn combine(&self, context: &GuidanceContext, predictions: Vec<Tensor<B, 4>>) -> Tensor<B, 4> {
        match predictions.as_slice() {
            [negative, positive] => {
                let difference = positive.clone() - negative.clone();
                negative.clone() + difference * context.guidance_scale
            }
            predictions => predictions[0].clone(),
        }
    }
}

/// Keeps the mean of the latents at zero, and counts its calls.
struct Centre<'a> {
    calls: &'a AtomicUsize,
}

impl<B: Backend> Hook<B> for Centre<'static> {
    fn after_step(&self, step: &mut StepState<'_, B>) -> Result<(), Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mean = step.latents.clone().mean_dims(&[1, 2, 3]);
        *step.latents = step.latents.clone() - mean;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| FIXTURE.to_owned());
    let prompt = arguments.next().unwrap_or_else(|| "a lighthouse at dusk".to_owned());

    let pipeline = Pipeline::<DefaultBackend>::from_pretrained(&model, &LoadOptions::default())?
        .with_guidance(LimitedInterval { from: 0.2, to: 0.8 })
        .with_hook(Centre { calls: &CALLS });
    let image = pipeline.generate(&TextToImage::new(prompt).steps(10).seed(42))?.remove(0);
    println!(
        "{}×{}, {} steps centred",
        image.width(),
        image.height(),
        CALLS.load(Ordering::Relaxed)
    );
    Ok(())
}
