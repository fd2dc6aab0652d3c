//! `sd bench`.

mod arch;
mod memory;
mod report;
mod stages;

pub(crate) use arch::Arch;
pub(crate) use stages::Stage;

use std::time::Instant;

use sd_core::{
    DiffusionBackend, LoadOptions, Pipeline, Precision,
    component::{Denoiser, LatentCodec, TextEncoder},
};

use crate::{
    arguments::{Bench, DeviceKind},
    device::{self, Job},
    error::CliError,
};
use report::{Report, Times};

/// Times the stages of a generation.
pub(crate) fn run(arguments: &Bench) -> Result<(), CliError> {
    if arguments.runs == 0 || arguments.batch == 0 {
        return Err(CliError::new("--runs and --batch must be at least 1"));
    }
    let device = device::choose(arguments.device)?;
    device::dispatch(device, arguments.dtype, Measure { arguments, device })
}

/// The parts that are timed.
struct Models<'a, B: DiffusionBackend> {
    text_encoder: &'a dyn TextEncoder<B>,
    denoiser: &'a dyn Denoiser<B>,
    vae: &'a dyn LatentCodec<B>,
}

struct Measure<'a> {
    arguments: &'a Bench,
    /// Where, which is never `auto`.
    device: DeviceKind,
}

impl Job for Measure<'_> {
    fn run<B: DiffusionBackend>(self, device: B::Device, dtype: Precision) -> Result<(), CliError> {
        let Self { arguments, device: kind } = self;
        let start = Instant::now();
        match (&arguments.model, arguments.arch) {
            (Some(model), _) => {
                let options = LoadOptions::<B>::default().device(device.clone()).dtypes(dtype);
                let pipeline = Pipeline::<B>::from_pretrained(model, &options)?;
                let models = Models {
                    text_encoder: pipeline.text_encoder().as_ref(),
                    denoiser: pipeline.denoiser().as_ref(),
                    vae: pipeline.vae().as_ref(),
                };
                let report = Report::new(arguments, kind, start.elapsed());
                measure(arguments, &models, &device, report)
            }
            (None, arch) => {
                let parts = arch.unwrap_or_default().init::<B>(&device, dtype)?;
                let models = Models {
                    text_encoder: &parts.text_encoder,
                    denoiser: &parts.denoiser,
                    vae: &parts.vae,
                };
                let report = Report::new(arguments, kind, start.elapsed());
                measure(arguments, &models, &device, report)
            }
        }
    }
}

fn measure<B: DiffusionBackend>(
    arguments: &Bench,
    models: &Models<'_, B>,
    device: &B::Device,
    mut report: Report,
) -> Result<(), CliError> {
    let setting = stages::Setting::new(arguments, models, device)?;
    for stage in arguments.stage.stages() {
        let once = || -> Result<f64, CliError> {
            let start = Instant::now();
            setting.run(*stage, models)?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        };
        let warm_up: Vec<f64> = (0..arguments.warm_up).map(|_| once()).collect::<Result<_, _>>()?;
        let runs: Vec<f64> = (0..arguments.runs).map(|_| once()).collect::<Result<_, _>>()?;
        report.add(*stage, Times::new(warm_up, runs));
    }
    report.print(arguments.json);
    Ok(())
}
