//! Warnings on standard error, beside the progress bar.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// Shows warnings, or more: `SD_LOG` takes the filters of `tracing-subscriber`.
pub(crate) fn init(verbose: bool) {
    let default = if verbose { "info,sd_core=debug,sd_nn=debug" } else { "warn" };
    let filter = EnvFilter::try_from_env("SD_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // Drivers and the GPU stack warn about matters of their own.
    let filter =
        ["wgpu_hal", "wgpu_core", "naga", "cubecl"].iter().fold(filter, |filter, target| {
            match format!("{target}=error").parse() {
                Ok(directive) => filter.add_directive(directive),
                Err(_) => filter,
            }
        });
    let _ = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .try_init();
}
