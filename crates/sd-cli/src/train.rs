//! `sd train`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use burn_autodiff::Autodiff;
use indicatif::{ProgressBar, ProgressStyle};
use sd_core::{DiffusionBackend, Precision};
use sd_train::run::{self, Ended, Entry, Observer, Resume, RunFile};

use crate::{
    arguments::Train,
    device::{self, Job},
    error::CliError,
};

/// Makes a training run.
pub(crate) fn run(arguments: &Train) -> Result<(), CliError> {
    let file = RunFile::open(&arguments.run)?;
    device::dispatch(arguments.device, Precision::F32, Training { arguments, file })
}

struct Training<'a> {
    arguments: &'a Train,
    file: RunFile,
}

impl Job for Training<'_> {
    fn run<B: DiffusionBackend>(self, device: B::Device, _: Precision) -> Result<(), CliError> {
        let resume = if self.arguments.resume { Resume::Yes } else { Resume::No };
        let mut progress = Progress::new(self.file.train.steps)?;
        let ended = run::run::<Autodiff<B>>(&self.file, &device, resume, &mut progress)?;
        progress.bar.finish();
        let output = self.file.output.display();
        match ended {
            Ended::Stopped => {
                eprintln!("stopped; {output} has the state: go on with --resume");
            }
            _ => eprintln!("{output}/model"),
        }
        Ok(())
    }
}

/// A progress bar, and Ctrl-C.
struct Progress {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

impl Progress {
    fn new(steps: u64) -> Result<Self, CliError> {
        let bar = ProgressBar::new(steps);
        let style =
            ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {msg} [{elapsed} < {eta}]");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        ctrlc::set_handler(move || {
            // The second time nobody waits for the step to end.
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\nsaving the state after this step; again to leave at once");
        })?;
        Ok(Self { bar, stop })
    }
}

impl Observer for Progress {
    fn entry(&mut self, entry: Entry) {
        self.bar.set_position(entry.step);
        let Entry { step, loss, pictures_per_second, learning_rate, .. } = entry;
        self.bar.set_message(format!("loss {loss:.4}, {pictures_per_second:.1} pictures/s"));
        // Without a terminal there is no bar.
        tracing::info!(step, loss, learning_rate, pictures_per_second, "trained");
    }

    fn stop(&mut self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
