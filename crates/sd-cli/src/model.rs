//! Where a model is: on this machine, or at the Hugging Face Hub.

use std::path::{Path, PathBuf};

use sd_core::{DiffusionBackend, LoadOptions};

use crate::error::CliError;

/// What `--model` takes.
#[cfg(feature = "hub")]
pub(crate) const MODEL: &str = "Model directory in diffusers' layout, or a whole model in one file: .safetensors, .ckpt, .gguf; or OWNER/MODEL[/FILE][@REVISION] of the Hugging Face Hub, unless that is a path that exists";
#[cfg(not(feature = "hub"))]
pub(crate) const MODEL: &str = "Model directory in diffusers' layout, or a whole model in one file: .safetensors, .ckpt, .gguf";

/// The path that a model is at. One that does not exist may name a model of the Hub, which is downloaded, if it is not in
/// the cache; whatever is neither is left to be told as a path.
#[cfg(feature = "hub")]
pub(crate) fn find<B: DiffusionBackend>(
    name: &Path,
    options: &LoadOptions<B>,
) -> Result<PathBuf, CliError> {
    use sd_core::hub::{Hub, HubModel, HubOptions};

    let model = name.to_str().and_then(|name| name.parse::<HubModel>().ok());
    let (false, Some(model)) = (name.exists(), model) else { return Ok(name.into()) };
    let hub = Hub::new(HubOptions::from_env()?.progress(progress::Bar::default()));
    hub.fetch(&model, options).map_err(|error| {
        CliError::new(format!("{model}: no such directory or file; at the Hub: {error}"))
    })
}

/// The path itself: this build knows no other place.
#[cfg(not(feature = "hub"))]
pub(crate) fn find<B: DiffusionBackend>(
    name: &Path,
    _: &LoadOptions<B>,
) -> Result<PathBuf, CliError> {
    Ok(name.into())
}

#[cfg(feature = "hub")]
mod progress {
    use std::sync::{Mutex, PoisonError};

    use indicatif::{ProgressBar, ProgressStyle};
    use sd_core::hub::{DownloadProgress, Transfer};

    /// Files below this size are there before a bar would be seen.
    const SMALL: u64 = 1 << 20;

    /// A bar for each large file.
    #[derive(Debug, Default)]
    pub(super) struct Bar(Mutex<Option<ProgressBar>>);

    impl Bar {
        fn set(&self, bar: Option<ProgressBar>) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bar;
        }

        fn with(&self, act: impl FnOnce(&ProgressBar)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(act);
        }
    }

    impl DownloadProgress for Bar {
        fn begin(&self, Transfer { file, total, already, .. }: Transfer<'_>) {
            if total.is_some_and(|total| total < SMALL) {
                return self.set(None);
            }
            let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
            if let Ok(style) = ProgressStyle::with_template(
                "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec} [{elapsed} < {eta}]",
            ) {
                bar.set_style(style);
            }
            bar.set_message(file.to_owned());
            // What was there before says nothing of the speed.
            bar.set_position(already);
            bar.reset_eta();
            self.set(Some(bar));
        }

        fn advance(&self, bytes: u64) {
            self.with(|bar| bar.inc(bytes));
        }

        fn end(&self) {
            // A bar that jumps to its end would say that all of it is there.
            self.with(|bar| match bar.length() == Some(bar.position()) {
                true => bar.finish(),
                false => bar.abandon(),
            });
        }
    }
}
