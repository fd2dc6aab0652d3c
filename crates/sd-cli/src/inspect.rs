//! `sd inspect`.

use sd_core::{backend::DefaultBackend, inspect, inspect_file};

use crate::{arguments::Inspect, error::CliError};

/// Prints what a model directory or a file holds.
pub(crate) fn run(arguments: &Inspect) -> Result<(), CliError> {
    let text = if arguments.model.is_file() {
        let report = inspect_file(&arguments.model)?;
        if arguments.json { report.to_json() } else { report.to_string() }
    } else {
        let report = inspect::<DefaultBackend>(&arguments.model)?;
        if arguments.json { report.to_json() } else { report.to_string() }
    };
    println!("{text}");
    Ok(())
}
