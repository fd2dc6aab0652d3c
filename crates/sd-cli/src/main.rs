//! The `sd` command: Stable Diffusion on the command line.

mod arguments;
mod bench;
mod convert;
mod device;
mod error;
mod inspect;
mod logging;
mod model;
mod refiner;
mod train;
mod txt2img;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Cli, Command};

// What a step allocates, the next one allocates again: on the CPU that is a large part of the time.
#[global_allocator]
static ALLOCATOR: sd_core::Recycler = sd_core::Recycler::new();

fn main() -> ExitCode {
    // Bad arguments leave with status 2, as clap does it.
    let cli = Cli::parse();
    logging::init(cli.verbose);
    device::keep_kernels();
    let result = match cli.command {
        Command::Txt2img(arguments) => txt2img::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
