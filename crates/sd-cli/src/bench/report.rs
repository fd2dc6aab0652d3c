//! What was measured, as a table or as JSON.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{memory, stages::Stage};
use crate::arguments::{Bench, DeviceKind};

/// Milliseconds of the runs of a stage.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Times {
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    warm_up_ms: Vec<f64>,
}

impl Times {
    /// Figures of at least one run.
    pub(super) fn new(warm_up_ms: Vec<f64>, mut runs: Vec<f64>) -> Self {
        runs.sort_by(f64::total_cmp);
        let at = |index: usize| runs.get(index).copied().unwrap_or(f64::NAN);
        let (half, last) = (runs.len() / 2, runs.len().saturating_sub(1));
        let median = match runs.len() % 2 {
            0 => (at(half.saturating_sub(1)) + at(half)) / 2.0,
            _ => at(half),
        };
        Self { median_ms: median, min_ms: at(0), max_ms: at(last), warm_up_ms }
    }
}

/// All figures.
pub(super) struct Report {
    device: String,
    dtype: String,
    size: [usize; 2],
    batch: usize,
    load: Duration,
    stages: Vec<(Stage, Times)>,
}

impl Report {
    pub(super) fn new(arguments: &Bench, device: DeviceKind, load: Duration) -> Self {
        Self {
            device: format!("{device:?}").to_lowercase(),
            dtype: arguments.dtype.to_string(),
            size: arguments.image_size(),
            batch: arguments.batch,
            load,
            stages: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, stage: Stage, times: Times) {
        self.stages.push((stage, times));
    }

    pub(super) fn print(&self, as_json: bool) {
        let (load_ms, threads) = (self.load.as_secs_f64() * 1e3, rayon::current_num_threads());
        let peak = memory::peak();
        if as_json {
            let stages: Map<String, Value> = (self.stages.iter())
                .map(|(stage, times)| (stage.key().to_owned(), json!(times)))
                .collect();
            let report = json!({
                "device": self.device,
                "dtype": self.dtype,
                "width": self.size[0],
                "height": self.size[1],
                "batch": self.batch,
                "threads": threads,
                "stages": stages,
                "peak_memory_bytes": peak,
                "load_ms": load_ms,
            });
            println!("{report}");
            return;
        }
        let [width, height] = self.size;
        println!("{} {}, {threads} threads, {width}×{height}", self.device, self.dtype);
        println!("{:<12}{:>12}{:>12}{:>12}{:>12}", "ms", "median", "min", "max", "first");
        for (stage, times) in &self.stages {
            let Times { median_ms, min_ms, max_ms, warm_up_ms } = times;
            let first = warm_up_ms.first().map_or(String::new(), |first| format!("{first:.1}"));
            let key = stage.key();
            println!("{key:<12}{median_ms:>12.1}{min_ms:>12.1}{max_ms:>12.1}{first:>12}");
        }
        println!("{:<12}{load_ms:>12.1}", "load");
        if let Some(peak) = peak {
            println!("{:<12}{:>12} MiB", "peak memory", peak >> 20);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_few_runs() {
        let median = |runs: &[f64]| Times::new(Vec::new(), runs.to_vec()).median_ms;
        assert_eq!(
            [median(&[3.0]), median(&[1.0, 3.0]), median(&[9.0, 1.0, 2.0])],
            [3.0, 2.0, 2.0]
        );
    }
}
