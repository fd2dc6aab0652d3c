//! The file that describes a run.

use std::path::{Path, PathBuf};

use sd_nn::Precision;
use serde::{Deserialize, Serialize};

use crate::{
    AutoencoderObjective, TrainError, TrainOptions,
    data::Framing,
    objective::{DiffusionOptions, Loss},
};

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskKind {
    /// The autoencoder (`vae`).
    Autoencoder,
    /// The denoiser (`unet`), with or without the text encoder.
    Diffusion,
}

/// A run, as TOML. Paths are relative to the file's own directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RunFile {
    /// What is trained.
    pub task: TaskKind,
    /// A model directory in diffusers' layout. Of parts that begin from scratch only the configurations have to be there.
    pub model: PathBuf,
    /// Where states, logs, pictures and the trained model go.
    pub output: PathBuf,
    /// Whether what is trained begins with random weights. Default: with the model's.
    #[serde(default)]
    pub from_scratch: bool,
    /// The precision of the models while they are trained, `"f32"` or `"bf16"`. The optimiser, the averages and the states are in
    /// f32 either way. Default: `"f32"`.
    #[serde(default)]
    pub dtype: Precision,
    /// The element type of the weights that are published at the end. Default: `"f32"`.
    #[serde(default)]
    pub publish_as: Precision,
    /// The devices to train on, by their numbers from 0, each with an equal part of the batch. Default: the backend's first.
    #[serde(default)]
    pub devices: Vec<u16>,
    /// The data.
    pub data: DataSection,
    /// How the training goes.
    #[serde(default)]
    pub train: TrainOptions,
    /// What an autoencoder is trained for.
    #[serde(default)]
    pub autoencoder: AutoencoderObjective,
    /// What a denoiser is trained for.
    #[serde(default)]
    pub diffusion: DiffusionSection,
    /// States on the way.
    #[serde(default)]
    pub checkpoints: CheckpointSection,
    /// Pictures on the way.
    #[serde(default)]
    pub validation: Validation,
    /// Steps between two lines of the log. Default: 10.
    #[serde(default = "ten")]
    pub log_every: u64,
}

fn ten() -> u64 {
    10
}

/// The data of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DataSection {
    /// A folder with `metadata.jsonl`.
    pub folder: PathBuf,
    /// How its pictures are framed.
    pub framing: Framing,
}

/// What a denoiser is trained for.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DiffusionSection {
    /// Weights of the timesteps, and the offset of the noise.
    pub objective: DiffusionOptions,
    /// The distance. Default: squares.
    pub loss: Loss,
    /// Share of captions that are left empty. Default: 0.
    pub caption_dropout: f64,
    /// Whether the text encoder is trained with the denoiser. Default: no.
    pub train_text_encoder: bool,
}

/// States on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CheckpointSection {
    /// Steps between two states; 0 means only at the end. Default: 500.
    pub every: u64,
    /// How many of the newest are kept, at least one. Default: 2.
    pub keep: usize,
}

impl Default for CheckpointSection {
    fn default() -> Self {
        Self { every: 500, keep: 2 }
    }
}

/// Pictures on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Validation {
    /// Steps between two of them; 0 means only at the end. Default: 0.
    pub every: u64,
    /// Prompts for a denoiser; none means no pictures.
    pub prompts: Vec<String>,
    /// Steps of the sampler. Default: 25.
    pub steps: usize,
    /// Strength of the guidance. Default: 5.
    pub guidance_scale: f64,
    /// Seed of the noise. Default: 0.
    pub seed: u64,
    /// Pictures that an autoencoder brings back. Default: 8.
    pub pictures: usize,
    /// Columns of the sheet. Default: 8.
    pub columns: usize,
}

impl Default for Validation {
    fn default() -> Self {
        Self {
            every: 0,
            prompts: Vec::new(),
            steps: 25,
            guidance_scale: 5.0,
            seed: 0,
            pictures: 8,
            columns: 8,
        }
    }
}

impl RunFile {
    /// Reads a run.
    ///
    /// # Errors
    /// [`TrainError::RunFile`] with the line, when it is no such file, or a value makes no sense.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TrainError> {
        let path = path.as_ref();
        let wrong = |message: String| TrainError::RunFile { path: path.into(), message };
        let text = sd_nn::config::read_text(path)?;
        let mut file: Self = toml::from_str(&text).map_err(|error| {
            // The library draws the place over several lines.
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            wrong(format!("{place}{}", error.message()))
        })?;
        file.check().map_err(wrong)?;
        let base = path.parent().unwrap_or(Path::new(""));
        for path in [&mut file.model, &mut file.output, &mut file.data.folder] {
            *path = base.join(&path);
        }
        Ok(file)
    }

    fn check(&self) -> Result<(), String> {
        let train = &self.train;
        let positive = [
            ("train.steps", train.steps > 0),
            ("train.batch", train.batch > 0),
            (
                "data.framing.size",
                self.data.framing.size.iter().all(|side| (1..=16_384).contains(side)),
            ),
            ("train.learning_rate", train.learning_rate > 0.0 && train.learning_rate.is_finite()),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, fine)| !fine) {
            return Err(format!("`{key}` has to be more than 0"));
        }
        let shares = [
            ("train.ema_decay", train.ema_decay),
            ("diffusion.caption_dropout", self.diffusion.caption_dropout),
        ];
        let peers = self.devices.len();
        if peers > 0 && !train.batch.is_multiple_of(peers) {
            let error = TrainError::Batch { batch: train.batch, peers };
            return Err(format!("`train.batch`: {error}"));
        }
        match shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            Some((key, share)) => Err(format!("`{key}` is {share}, expected 0 to 1")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<RunFile, TrainError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        RunFile::open(path)
    }

    const SHORT: &str = "task = \"autoencoder\"\nmodel = \"m\"\noutput = \"o\"\n\
        [data]\nfolder = \"f\"\nframing = { size = [64, 64] }\n";

    #[test]
    fn what_is_left_out_has_its_default() {
        let file = open(SHORT).unwrap();
        assert_eq!(file.train, TrainOptions::default());
        assert!(file.model.ends_with("m") && file.model.parent().unwrap().is_absolute());
        let more = "[train]\nlearning_rate = 3e-4\ndecay = \"cosine\"\n[train.adamw]\nbeta_2 = 0.99\n\
            [diffusion.objective]\nweighting = { min_snr = { gamma = 5.0 } }\n";
        let file = open(&format!("{SHORT}{more}")).unwrap();
        assert_eq!((file.train.learning_rate, file.train.adamw.beta_2), (3e-4, 0.99));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let error = |text: &str| open(text).unwrap_err().to_string();
        assert!(
            error("task = \"autoencoder\"\nmodle = 1\n").contains("line 2"),
            "{}",
            error("task = \"autoencoder\"\nmodle = 1\n")
        );
        let top = |line: &str| error(&format!("{line}\n{SHORT}"));
        assert!(
            top("devices = [0, 1, 2]").contains("a batch of 8 cannot be shared evenly by 3 peers")
        );
        assert!(top("dtype = \"f64\"").contains("line 1"), "{}", top("dtype = \"f64\""));
        assert!(error(&format!("{SHORT}[train]\nbatch = 0\n")).contains("train.batch"));
        assert!(error(&format!("{SHORT}[train]\nlearning_rate = nan\n")).contains("learning_rate"));
        assert!(error(&format!("{SHORT}[diffusion]\ncaption_dropout = 2.0\n")).contains("0 to 1"));
        assert!(RunFile::open("no/such/run.toml").is_err());
    }
}
