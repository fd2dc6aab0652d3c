//! `sd inspect`.

use sd_core::{backend::DefaultBackend, inspect};

use crate::{arguments::Inspect, error::CliError};

/// Prints what a model directory holds.
pub(crate) fn run(arguments: &Inspect) -> Result<(), CliError> {
    let report = inspect::<DefaultBackend>(&arguments.model)?;
    match arguments.json {
        true => println!("{}", report.to_json()),
        false => println!("{report}"),
    }
    Ok(())
}
