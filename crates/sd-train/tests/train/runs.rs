//! Whole runs: the loss falls, and a run that was interrupted goes on to the same numbers.

use std::path::Path;

use burn::{
    module::{Module, Param},
    tensor::{DType, Tensor, backend::Backend},
};
use image::RgbImage;
use sd_clip::{EosToken, TextFeatures};
use sd_nn::checkpoint::{
    FileDtype, Parameters, SafetensorsFile, TensorToSave, WeightSource, save_file,
};
use sd_schedulers::SchedulerConfig;
use sd_train::{
    AutoencoderObjective, AutoencoderTask, ContextTable, Contexts, Decay, DiffusionTask,
    LatentTable, Latents, Losses, Share, Task, TrainError, TrainOptions, Trainer,
    data::{Framing, ImageFolder, Pictures},
    objective::{Diffusion, DiffusionOptions, Loss},
};

use crate::fixtures::{self, B};

/// Eight pictures, half of each in one colour, with their captions.
pub(crate) fn folder(directory: &Path) {
    let mut lines = String::new();
    for index in 0..8u32 {
        let [red, green, blue] =
            [index & 1, index >> 1 & 1, index >> 2 & 1].map(|on| on as u8 * 200);
        let image = RgbImage::from_fn(16, 16, |x, _| {
            image::Rgb(if x < 4 + index { [red, green, blue] } else { [128; 3] })
        });
        image.save(directory.join(format!("{index}.png"))).unwrap();
        let text = format!("colour {red} {green} {blue}");
        lines += &format!(
            "{}\n",
            serde_json::json!({"file_name": format!("{index}.png"), "text": text})
        );
    }
    std::fs::write(directory.join("metadata.jsonl"), lines).unwrap();
}

fn pictures(directory: &Path) -> Pictures {
    Pictures::new(ImageFolder::open(directory).unwrap(), Framing::new(16, 16))
}

fn options(steps: u64) -> TrainOptions {
    let mut options = TrainOptions::default();
    options.steps = steps;
    options.batch = 4;
    options.learning_rate = 3e-3;
    options.warmup = 3;
    options.decay = Decay::Cosine;
    options.ema_decay = 0.9;
    options
}

fn autoencoder(directory: &Path) -> AutoencoderTask<B> {
    AutoencoderTask {
        model: fixtures::vae(),
        pictures: pictures(directory),
        objective: AutoencoderObjective::default(),
        device: Default::default(),
    }
}

fn diffusion(directory: &Path, train_text_encoder: bool) -> DiffusionTask<B> {
    use burn::module::AutodiffModule;
    let (vae, pictures) = (fixtures::vae().valid(), pictures(directory));
    let training = SchedulerConfig::new("DDIMScheduler").training().unwrap();
    let schedule = training.schedule().unwrap();
    let table = LatentTable::encode(&vae, &pictures, &Default::default()).unwrap();
    DiffusionTask {
        unet: fixtures::unet(),
        text_encoder: fixtures::text_encoder(),
        train_text_encoder,
        tokenizer: fixtures::tokenizer(),
        vae,
        pictures,
        latents: Latents::Table(table),
        contexts: Contexts::Fresh,
        objective: Diffusion::new(schedule, training.prediction_type, DiffusionOptions::default())
            .unwrap(),
        scheduler: SchedulerConfig::new("DDIMScheduler"),
        loss: Loss::Mse,
        caption_dropout: 0.1,
        device: Default::default(),
    }
}

fn weights(trainer: &Trainer<B, impl Task<B>>) -> Vec<f32> {
    let mut values = Vec::new();
    for (_, part) in trainer.task().parts() {
        part.visit_parameters(&mut |view| {
            values.extend(view.tensor().inner().try_into_data().unwrap().iter::<f32>());
        });
    }
    values
}

fn losses(trainer: &mut Trainer<B, impl Task<B>>, steps: u64) -> Vec<f32> {
    (0..steps).map(|_| trainer.step().unwrap().loss().unwrap()).collect()
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

#[test]
fn an_autoencoder_learns_its_pictures() {
    let directory = tempfile::tempdir().unwrap();
    folder(directory.path());
    let mut trainer = Trainer::new(autoencoder(directory.path()), options(20));
    let losses = losses(&mut trainer, 20);
    let (first, last) = (mean(&losses[..4]), mean(&losses[16..]));
    assert!(last < 0.85 * first && last < 0.65, "{first} became {last}");
}

#[test]
fn a_denoiser_learns_with_its_text_encoder() {
    let directory = tempfile::tempdir().unwrap();
    folder(directory.path());
    let mut trainer = Trainer::new(diffusion(directory.path(), true), options(24));
    let before = weights(&trainer);
    let losses = losses(&mut trainer, 24);
    let (first, last) = (mean(&losses[..8]), mean(&losses[16..]));
    assert!(last < 0.9 * first && last < 1.55, "{first} became {last}");
    let moved = before.iter().zip(weights(&trainer)).filter(|(a, b)| *a != b).count();
    assert!(moved > before.len() / 2, "{moved} of {} weights moved", before.len());
}

/// Bit for bit: weights, and the losses on the way.
#[test]
fn an_interrupted_run_goes_on_to_the_same_numbers() {
    let directory = tempfile::tempdir().unwrap();
    folder(directory.path());
    let task = || diffusion(directory.path(), true);
    let mut whole = Trainer::new(task(), options(6));
    let expected = losses(&mut whole, 6);

    let state = directory.path().join("state.safetensors");
    let mut first = Trainer::new(task(), options(6));
    losses(&mut first, 3);
    first.save(&state).unwrap();
    drop(first);
    let mut second = Trainer::new(task(), options(6));
    second.resume(&state).unwrap();
    assert_eq!(second.step_index(), 3);
    assert_eq!(losses(&mut second, 3), expected[3..]);
    assert_eq!(weights(&second), weights(&whole));
    let file = |trainer: &Trainer<B, _>, name: &str| {
        let path = directory.path().join(name);
        Trainer::save(trainer, &path).unwrap();
        std::fs::read(path).unwrap()
    };
    // Moments and averages, too.
    assert!(file(&second, "second.safetensors") == file(&whole, "whole.safetensors"));
}

#[test]
fn a_state_of_another_run_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    folder(directory.path());
    let state = directory.path().join("state.safetensors");
    let mut trainer = Trainer::new(autoencoder(directory.path()), options(6));
    losses(&mut trainer, 1);
    trainer.save(&state).unwrap();

    let mut other = options(6);
    other.seed = 1;
    let error = Trainer::new(autoencoder(directory.path()), other).resume(&state).unwrap_err();
    assert!(matches!(error, TrainError::State { .. }), "{error}");
    let error =
        Trainer::new(diffusion(directory.path(), false), options(6)).resume(&state).unwrap_err();
    assert!(error.to_string().contains("unet."), "{error}");
    std::fs::write(&state, "<html>").unwrap();
    let mut trainer = Trainer::new(autoencoder(directory.path()), options(6));
    assert!(matches!(trainer.resume(&state), Err(TrainError::Checkpoint(_))));
}

/// A state from which one tensor is gone is refused as a whole.
#[test]
fn a_broken_state_leaves_the_run_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    folder(directory.path());
    let path = |name: &str| directory.path().join(name);
    let mut trainer = Trainer::new(autoencoder(directory.path()), options(6));
    losses(&mut trainer, 2);
    trainer.save(path("good.safetensors")).unwrap();
    losses(&mut trainer, 1);
    trainer.save(path("before.safetensors")).unwrap();

    let file = SafetensorsFile::open(path("good.safetensors")).unwrap();
    for kind in ["weight", "moment_1", "moment_2", "ema"] {
        let mut names = file.names();
        let last = names.iter().rposition(|name| name.starts_with(kind)).unwrap();
        let gone = names.remove(last);
        let tensors = names.iter().map(|name| {
            let data = file.read(name, DType::F32).unwrap();
            TensorToSave {
                name: name.clone(),
                dtype: FileDtype::F32,
                shape: data.shape.to_vec(),
                bytes: Box::new(move || Ok(data.bytes.to_vec().into())),
            }
        });
        save_file(path("bad.safetensors"), tensors.collect(), file.metadata()).unwrap();
        let error = trainer.resume(path("bad.safetensors")).unwrap_err();
        assert!(error.to_string().contains(&gone), "{error} does not name {gone}");
        trainer.save(path("after.safetensors")).unwrap();
        let [before, after] = ["before.safetensors", "after.safetensors"]
            .map(|name| std::fs::read(path(name)).unwrap());
        assert!(before == after, "{gone}");
    }
}

/// Captions that were encoded once give the losses of captions that are encoded anew.
#[test]
fn a_frozen_text_encoder_is_asked_once() {
    use burn::module::AutodiffModule;
    let directory = tempfile::tempdir().unwrap();
    folder(directory.path());
    let run = |contexts: Contexts| {
        let mut task = diffusion(directory.path(), false);
        (task.contexts, task.caption_dropout) = (contexts, 0.3);
        losses(&mut Trainer::new(task, options(4)), 4)
    };
    let (tokenizer, text_encoder) = (fixtures::tokenizer(), fixtures::text_encoder().valid());
    let path = directory.path().join("contexts.safetensors");
    let table =
        ContextTable::open_or_encode(&path, "", pictures(directory.path()).folder(), |texts| {
            let ids: Vec<_> =
                texts.iter().map(|text| tokenizer.encode(text).unwrap().ids).collect();
            let output = text_encoder.forward(&ids, EosToken::Id(tokenizer.eos_id())).unwrap();
            Ok(text_encoder.features(&output, TextFeatures::LastNormalized, None).unwrap())
        });
    let (once, anew) = (run(Contexts::Table(table.unwrap())), run(Contexts::Fresh));
    for (once, anew) in once.iter().zip(&anew) {
        assert!((once - anew).abs() < 1e-5 * anew, "{once} is not {anew}");
    }
}

/// A line through points, without anything random.
struct Line {
    slope: Slope<B>,
}

#[derive(Module, Debug)]
struct Slope<B: Backend> {
    weight: Param<Tensor<B, 1>>,
}

sd_nn::impl_parameters!(Slope);

impl Task<B> for Line {
    fn examples(&self) -> usize {
        8
    }

    fn parts(&self) -> Vec<(&'static str, &dyn Parameters<B>)> {
        vec![("line", &self.slope)]
    }

    fn parts_mut(&mut self) -> Vec<(&'static str, &mut dyn Parameters<B>)> {
        vec![("line", &mut self.slope)]
    }

    fn losses(&self, share: Share) -> Result<Losses<B>, TrainError> {
        let points: Vec<f32> = share.examples.iter().map(|index| *index as f32).collect();
        let points = Tensor::<B, 1>::from_floats(points.as_slice(), &Default::default());
        let error = points.clone() * self.slope.weight.val() - points * 3.0 - 1.0;
        Ok(Losses { total: (error.clone() * error).mean(), terms: Vec::new() })
    }
}

/// Two passes over halves of a batch are one over the whole.
#[test]
fn accumulated_gradients_are_those_of_the_whole_batch() {
    let run = |batch: usize, accumulate: usize| {
        let slope = Slope { weight: Param::from_data([0.5], &Default::default()) };
        let mut options = options(5);
        (options.batch, options.accumulate, options.warmup) = (batch, accumulate, 0);
        options.clip_norm = 0.0;
        let mut trainer = Trainer::new(Line { slope }, options);
        let losses = losses(&mut trainer, 5);
        (losses[4], weights(&trainer)[0])
    };
    let (whole, halves) = (run(8, 1), run(4, 2));
    assert!((whole.0 - halves.0).abs() < 1e-4 && (whole.1 - halves.1).abs() < 1e-6);
    assert!(whole.1 > 0.5, "it moves towards 3");
}
