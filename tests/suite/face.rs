//! The pipeline as its user sees it: runs, hooks, guidance, parts of one's own.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use burn::tensor::{Tensor, backend::Backend};
use sd_core::{
    Conditioning, Error, Latents, LoadOptions, Pipeline, SchedulerKind, StepState, TextToImage,
    backend::Cpu,
    component::{
        Denoiser, DenoiserInput, Guidance, Hook, LatentCodec, PosteriorDraw, PromptRole,
        TextEncoder, TextInput,
    },
    guidance::GuidanceContext,
    sd_nn::checkpoint::Parameters,
};

use crate::common::fixture;

fn pipeline() -> Pipeline<Cpu> {
    Pipeline::from_pretrained(fixture("tiny-sd1"), &LoadOptions::default()).unwrap()
}

fn request() -> TextToImage {
    TextToImage::new("a cat").size(32, 16).steps(4).seed(7)
}

#[test]
fn a_run_is_an_iterator_of_steps() {
    let pipeline = pipeline();
    let mut run = pipeline.run(&request()).unwrap();
    assert_eq!(run.len(), 4);
    let first = run.next().unwrap().unwrap();
    assert_eq!((first.index, first.total, run.len()), (0, 4, 3));
    assert_eq!(first.latents.dims(), [1, 4, 2, 4]);
    assert_eq!(first.preview().unwrap()[0].dimensions(), (4, 2));
    let rest: Vec<_> = run.by_ref().map(|step| step.unwrap().index).collect();
    assert_eq!(rest, [1, 2, 3]);
    assert!(run.next().is_none());
    let image = run.finish().unwrap().remove(0);
    assert_eq!(image.dimensions(), (32, 16));
    assert_eq!(image, pipeline.generate(&request()).unwrap()[0]);
}

/// Samplers of the CFG++ kind step along the prediction under the negative prompt: without guidance they are the plain ones.
#[test]
fn cfg_plus_plus_sees_both_predictions() {
    let pipeline = pipeline();
    let latents = |name: &str, scale: f64| {
        let kind: SchedulerKind = name.parse().unwrap();
        let request = request().negative_prompt("a dog").scheduler(kind).guidance_scale(scale);
        let latents = pipeline.run(&request).unwrap().finish_latents().unwrap();
        latents.values().to_vec()
    };
    let distance = |scale: f64| {
        crate::common::relative_l2(&latents("Euler CFG++", scale), &latents("Euler", scale))
    };
    assert!(distance(1.0) < 1e-5, "without guidance: {}", distance(1.0));
    assert!(distance(3.0) > 1e-3, "with guidance: {}", distance(3.0));
}

/// Noise that belongs to intervals of sigmas follows the seeds, as all noise does.
#[test]
fn brownian_noise_follows_the_seeds() {
    let pipeline = pipeline();
    let kind: SchedulerKind = "DPM++ SDE".parse().unwrap();
    let latents = |seeds: Vec<u64>| {
        let request = request().scheduler(kind).images_per_prompt(seeds.len()).seed(seeds);
        pipeline.run(&request).unwrap().finish_latents().unwrap().values().to_vec()
    };
    let both = latents(vec![3, 4]);
    let (first, second) = both.split_at(both.len() / 2);
    for (seed, expected) in [(3, first), (4, second)] {
        assert!(crate::common::relative_l2(&latents(vec![seed]), expected) < 1e-5);
    }
    assert!(crate::common::relative_l2(first, second) > 0.1);
}

#[test]
fn a_picture_of_a_batch_can_be_made_alone() {
    let pipeline = pipeline();
    let batch = request().scheduler(SchedulerKind::EulerAncestral).images_per_prompt(2);
    let both = pipeline.generate(&batch.seed(vec![3, 4])).unwrap();
    for (seed, expected) in [3, 4].into_iter().zip(both) {
        let alone = request().scheduler(SchedulerKind::EulerAncestral).seed(vec![seed]);
        let alone = pipeline.generate(&alone).unwrap().remove(0);
        // The batch goes through other matrix products, so the last bit may differ.
        let pairs = alone.as_raw().iter().zip(expected.as_raw());
        assert!(pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap() <= 1);
    }
}

#[test]
fn a_request_that_does_not_fit_the_model_is_refused() {
    let pipeline = pipeline();
    let error = |request: TextToImage| pipeline.run(&request).unwrap_err().to_string();
    assert!(error(request().size(30, 16)).contains("multiple of 8"));
    assert!(error(request().steps(2000).scheduler(SchedulerKind::Ddim)).contains("2000"));
    assert!(error(request().clip_skip(9)).contains("9"));
    let latents = Latents::new([1, 4, 4, 4], vec![0.0; 64]).unwrap();
    assert!(error(request().latents(latents)).contains("[1, 4, 2, 4]"));
}

/// Records what it sees, and keeps the latents from growing.
#[derive(Clone, Default)]
struct Witness {
    rows: Arc<Mutex<Vec<usize>>>,
    steps: Arc<AtomicUsize>,
}

impl Hook<Cpu> for Witness {
    fn before_denoiser(
        &self,
        _context: &GuidanceContext,
        input: &mut DenoiserInput<Cpu>,
    ) -> Result<(), Error> {
        self.rows.lock().unwrap().push(input.sample.dims()[0]);
        Ok(())
    }

    fn after_step(&self, step: &mut StepState<'_, Cpu>) -> Result<(), Error> {
        assert_eq!(step.index, self.steps.fetch_add(1, Ordering::Relaxed));
        *step.latents = step.latents.clone().clamp(-1.0, 1.0);
        Ok(())
    }
}

#[test]
fn hooks_see_and_change_the_run() {
    let witness = Witness::default();
    let pipeline = pipeline().with_hook(witness.clone());
    let latents = pipeline.run(&request()).unwrap().finish_latents().unwrap();
    assert!(latents.values().iter().all(|value| value.abs() <= 1.0));
    assert_eq!(witness.steps.load(Ordering::Relaxed), 4);
    // PNDM evaluates once more than it steps, each time under both prompts.
    assert_eq!(*witness.rows.lock().unwrap(), [2; 5]);
}

struct Failing;

impl Hook<Cpu> for Failing {
    fn after_step(&self, step: &mut StepState<'_, Cpu>) -> Result<(), Error> {
        match step.index {
            1 => Err(Error::component("hook", "enough")),
            _ => Ok(()),
        }
    }
}

#[test]
fn an_error_ends_the_run() {
    let mut run = pipeline().with_hook(Failing).run(&request()).unwrap();
    assert!(run.next().unwrap().is_ok());
    assert_eq!(run.next().unwrap().unwrap_err().to_string(), "hook: enough");
    assert!(run.next().is_none() && run.len() == 0);
    // Half-denoised latents are no result.
    assert!(matches!(run.finish_latents(), Err(sd_core::Error::RunFailed { index: 1 })));
    assert!(run.finish().is_err());
}

/// Negative and positive in turns.
struct Alternating;

impl<B: Backend> Guidance<B> for Alternating {
    fn branches(&self, context: &GuidanceContext) -> Vec<PromptRole> {
        match context.index % 2 {
            0 => vec![PromptRole::Positive],
            _ => vec![PromptRole::Negative],
        }
    }

    fn combine(&self, _: &GuidanceContext, mut predictions: Vec<Tensor<B, 4>>) -> Tensor<B, 4> {
        predictions.remove(0)
    }
}

#[test]
fn a_guidance_decides_what_is_evaluated() {
    let pipeline = pipeline().with_guidance(Alternating);
    let plain = pipeline.generate(&request()).unwrap();
    let other = pipeline.generate(&request().negative_prompt("a dog")).unwrap();
    assert!(plain != other, "the negative prompt is used");
}

#[test]
fn parameters_are_visited_and_mapped() {
    let mut pipeline = pipeline();
    let before = pipeline.generate(&request()).unwrap();
    let mut names = Vec::new();
    pipeline.visit_parameters(&mut |component, view| {
        names.push(format!("{component}.{}", view.path()));
    });
    for expected in [
        "text_encoder.text_model.embeddings.token_embedding.weight",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0.bias",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2.weight",
        "vae.decoder.conv_in.weight",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected}");
    }

    let clone = pipeline.clone();
    let error = pipeline.map_parameters(&mut |_, _, value| value).unwrap_err();
    assert!(error.to_string().contains("in use"));
    drop(clone);
    pipeline
        .map_parameters(&mut |component, path, value| match (component, path) {
            ("unet", "conv_out.bias") => (value.into_tensor::<1>().unwrap() + 1.0).into(),
            _ => value,
        })
        .unwrap();
    assert!(pipeline.generate(&request()).unwrap() != before, "the change has an effect");
}

/// Parts without parameters: a pipeline that paints the conditioning.
struct Length;
struct Towards;
struct Enlarge;

impl<B: Backend> Parameters<B> for Length {}
impl<B: Backend> Parameters<B> for Towards {}
impl<B: Backend> Parameters<B> for Enlarge {}

impl TextEncoder<Cpu> for Length {
    fn encode(&self, input: &TextInput<'_>) -> Result<Conditioning<Cpu>, Error> {
        let lengths: Vec<f32> = input.prompts.iter().map(|prompt| prompt.len() as f32).collect();
        let context = Tensor::<Cpu, 1>::from_floats(lengths.as_slice(), &Default::default());
        Ok(Conditioning::new(context.reshape([input.prompts.len(), 1, 1])))
    }
}

impl Denoiser<Cpu> for Towards {
    fn latent_channels(&self) -> usize {
        3
    }

    fn sample_size(&self) -> [usize; 2] {
        [2, 3]
    }

    fn predict(&self, input: DenoiserInput<Cpu>) -> Result<Tensor<Cpu, 4>, Error> {
        let [batch, ..] = input.sample.dims();
        let target = input.conditioning.context.reshape([batch, 1, 1, 1]) / 10.0;
        Ok(input.sample.zeros_like() + target)
    }
}

impl LatentCodec<Cpu> for Enlarge {
    fn factor(&self) -> usize {
        4
    }

    fn latent_channels(&self) -> usize {
        3
    }

    fn decode(&self, latents: Tensor<Cpu, 4>) -> Result<Tensor<Cpu, 4>, Error> {
        Ok(latents.repeat_dim(2, 4).repeat_dim(3, 4))
    }

    fn encode(&self, _: Tensor<Cpu, 4>, _: PosteriorDraw<Cpu>) -> Result<Tensor<Cpu, 4>, Error> {
        Err(Error::component("vae", "one way only"))
    }
}

#[test]
fn a_pipeline_is_built_of_parts_of_ones_own() {
    let sample = sd_core::sd_schedulers::from_json(
        r#"{"_class_name": "EulerDiscreteScheduler", "prediction_type": "sample"}"#,
    );
    let pipeline = Pipeline::builder()
        .text_encoder(Length)
        .denoiser(Towards)
        .vae(Enlarge)
        .scheduler(sample.unwrap())
        .build()
        .unwrap();
    assert_eq!(pipeline.default_size(), [12, 8]);
    let request = TextToImage::new("12345").guidance_scale(1.0).steps(3);
    let image = pipeline.generate(&request).unwrap().remove(0);
    assert_eq!(image.dimensions(), (12, 8));
    // 0.5 of −1..1.
    assert!(image.pixels().all(|pixel| pixel.0.iter().all(|byte| byte.abs_diff(191) <= 1)));

    let missing = Pipeline::<Cpu>::builder().text_encoder(Length).build().unwrap_err();
    assert!(missing.to_string().contains("denoiser"));
}
