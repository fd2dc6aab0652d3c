//! Runs on several peers, which share the one device that there is, against runs on one.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use burn::tensor::DType;
use sd_nn::checkpoint::{SafetensorsFile, WeightSource};
use sd_train::{
    TrainError,
    run::{Ended, Entry, Observer, Resume, RunFile, run},
};

use crate::{
    fixtures::{B, fixture},
    runs::folder,
};

/// Losses, and whether to stop after a step.
#[derive(Default)]
struct Watch {
    losses: Vec<f32>,
    stop_after: Option<usize>,
}

impl Observer for Watch {
    fn entry(&mut self, entry: Entry) {
        self.losses.push(entry.loss);
    }

    fn stop(&mut self) -> bool {
        self.stop_after.is_some_and(|count| self.losses.len() >= count)
    }
}

/// A run file on this many peers. From scratch: the gradients of the tiny model, whose weights are large, are uncertain by 1e-4. And
/// with the usual constant of AdamW, a gradient that is zero but for rounding would move its weight by a whole step this way or
/// that.
fn run_file(directory: &Path, task: &str, peers: usize) -> RunFile {
    let output = format!("{task}-{peers}");
    let path = directory.join(format!("{output}.toml"));
    let text = format!(
        "task = '{task}'\nmodel = '{}'\noutput = '{output}'\nlog_every = 1\nfrom_scratch = true\ndevices = {:?}\n\
         [data]\nfolder = 'data'\nframing = {{ size = [16, 16], random_flip = true }}\n\
         [train]\nsteps = 3\nbatch = 6\naccumulate = 2\nlearning_rate = 1e-2\nema_decay = 0.9\n\
         adamw = {{ eps = 0.1 }}\n\
         [diffusion]\ntrain_text_encoder = true\ncaption_dropout = 0.3\nobjective = {{ noise_offset = 0.1 }}\n",
        fixture("tiny-sd1").display(),
        vec![0; peers],
    );
    std::fs::write(&path, text).unwrap();
    RunFile::open(path).unwrap()
}

fn data() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    folder(&directory.path().join("data"));
    directory
}

fn state(file: &RunFile, step: u64) -> PathBuf {
    file.output.join(format!("states/state-{step:08}.safetensors"))
}

/// Weights from scratch come from a generator that the whole process shares.
static GENERATOR: Mutex<()> = Mutex::new(());

/// Relative L2 of all tensors of a kind.
fn difference(found: &Path, expected: &Path, kind: &str) -> f64 {
    let [found, expected] = [found, expected].map(|path| SafetensorsFile::open(path).unwrap());
    let (mut difference, mut reference) = (0.0, 0.0);
    let names = expected.names();
    assert_eq!(names, found.names());
    for name in names.iter().filter(|name| name.starts_with(kind)) {
        let [found, expected] =
            [&found, &expected].map(|file| file.read(name, DType::F32).unwrap());
        for (a, b) in found.iter::<f64>().zip(expected.iter::<f64>()) {
            difference += (a - b).powi(2);
            reference += b * b;
        }
    }
    assert!(reference > 0.0, "no {kind}");
    f64::sqrt(difference / reference)
}

#[test]
fn several_peers_make_the_run_of_one() {
    let _generator = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = data();
    for task in ["diffusion", "autoencoder"] {
        let mut watch = Watch::default();
        let one = run_file(directory.path(), task, 1);
        run::<B>(&one, &Default::default(), Resume::No, &mut watch).unwrap();
        for peers in [2, 3] {
            let several = run_file(directory.path(), task, peers);
            let mut watched = Watch::default();
            run::<B>(&several, &Default::default(), Resume::No, &mut watched).unwrap();
            for (found, expected) in watched.losses.iter().zip(&watch.losses) {
                assert!((found - expected).abs() <= 1e-5 * expected.abs(), "{found} {expected}");
            }
            for (kind, limit) in [("weight", 1e-6), ("ema", 1e-6), ("moment_1", 1e-3)] {
                let difference = difference(&state(&several, 3), &state(&one, 3), kind);
                println!("{task}, {peers} peers, {kind}: {difference:.1e}");
                assert!(difference <= limit, "{task}, {peers} peers, {kind}: {difference:e}");
            }
        }
    }
}

/// Two peers, whose sums have but one order: bit for bit.
#[test]
fn two_peers_that_were_stopped_go_on_to_the_same_numbers() {
    let _generator = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = data();
    let file = run_file(directory.path(), "autoencoder", 2);
    run::<B>(&file, &Default::default(), Resume::No, &mut ()).unwrap();
    let whole = std::fs::read(state(&file, 3)).unwrap();
    std::fs::remove_dir_all(&file.output).unwrap();

    let mut watch = Watch { stop_after: Some(2), ..Watch::default() };
    let ended = run::<B>(&file, &Default::default(), Resume::No, &mut watch).unwrap();
    assert_eq!((ended, state(&file, 2).is_file()), (Ended::Stopped, true));
    let ended = run::<B>(&file, &Default::default(), Resume::Yes, &mut ()).unwrap();
    assert_eq!(ended, Ended::Finished);
    assert!(std::fs::read(state(&file, 3)).unwrap() == whole);
}

#[test]
fn a_model_that_is_missing_ends_all_peers() {
    let _generator = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = data();
    let mut file = run_file(directory.path(), "autoencoder", 3);
    file.model = "no/such/model".into();
    let error = run::<B>(&file, &Default::default(), Resume::No, &mut ()).unwrap_err();
    assert!(matches!(error, TrainError::Config(_)), "{error}");
}
