//! What a run says of itself.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use sd_kernels::DiffusionBackend;
use serde::{Deserialize, Serialize};

use super::output::Output;
use crate::{StepReport, TrainError};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Steps made.
    pub step: u64,
    /// The loss of the last one.
    pub loss: f32,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Pictures a second since the last entry.
    pub pictures_per_second: f64,
    /// Terms of the loss, and the norm of the gradients.
    pub terms: Vec<(&'static str, f32)>,
}

/// What a curve needs of an entry.
#[derive(Deserialize)]
struct Point {
    step: u64,
    loss: f32,
}

/// Watches a run.
pub trait Observer {
    /// After a line was written.
    fn entry(&mut self, entry: Entry) {
        let _ = entry;
    }

    /// Whether the run is to save its state and end; asked after every step.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Nobody watches.
impl Observer for () {}

/// `log.jsonl`: one object a line. A resumed run appends to it.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    since: (Instant, u64),
}

/// Takes out what a run wrote after the state that it goes on from; it will write that again.
fn forget_after(path: &Path, step: u64) -> Result<(), TrainError> {
    #[derive(Deserialize)]
    struct Any {
        step: u64,
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(TrainError::io("read", path)(error)),
    };
    let kept: String = text
        .lines()
        .filter(|line| serde_json::from_str(line).is_ok_and(|line: Any| line.step <= step))
        .flat_map(|line| [line, "\n"])
        .collect();
    if kept != text {
        sd_core::write_atomically(path, kept.as_bytes())?;
    }
    Ok(())
}

impl Log {
    pub(super) fn open(output: &Output, step: u64) -> Result<Self, TrainError> {
        let path = output.log();
        forget_after(&path, step)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(TrainError::io("write", &path))?;
        Ok(Self { path, file, since: (Instant::now(), step) })
    }

    /// Reads a step's figures, which waits for the device.
    pub(super) fn write<I: DiffusionBackend>(
        &mut self,
        report: &StepReport<I>,
        pictures: usize,
    ) -> Result<Entry, TrainError> {
        let (loss, terms) = (report.loss()?, report.terms());
        let step = report.step + 1;
        let steps = step.saturating_sub(self.since.1);
        let seconds = self.since.0.elapsed().as_secs_f64().max(1e-9);
        self.since = (Instant::now(), step);
        let entry = Entry {
            step,
            loss,
            learning_rate: report.learning_rate,
            pictures_per_second: (steps as usize * pictures) as f64 / seconds,
            terms,
        };
        self.line(&entry)?;
        Ok(entry)
    }

    pub(super) fn figures(
        &mut self,
        step: u64,
        figures: &[(&'static str, f64)],
    ) -> Result<(), TrainError> {
        if !figures.is_empty() {
            let figures: std::collections::BTreeMap<_, _> = figures.iter().copied().collect();
            self.line(&serde_json::json!({ "step": step, "validation": figures }))?;
        }
        // What validation took is no part of the training's speed.
        self.since = (Instant::now(), step);
        Ok(())
    }

    /// Losses by step, also those of the runs before an interruption. Lines that are no entries are left out.
    pub(super) fn losses(&self) -> Result<Vec<(u64, f32)>, TrainError> {
        let text =
            std::fs::read_to_string(&self.path).map_err(TrainError::io("read", &self.path))?;
        let point = |line: &str| {
            let Point { step, loss } = serde_json::from_str(line).ok()?;
            Some((step, loss))
        };
        Ok(text.lines().filter_map(point).collect())
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), TrainError> {
        let line = serde_json::to_string(value).unwrap_or_default();
        writeln!(self.file, "{line}").map_err(TrainError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_be_written_again_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.jsonl");
        forget_after(&path, 3).unwrap();
        let line = |step: u64| format!("{{\"step\":{step},\"loss\":0.5}}\n");
        std::fs::write(&path, [line(2), line(3), line(4), "{\"st".to_owned()].concat()).unwrap();
        forget_after(&path, 3).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line(2) + &line(3));
    }
}
