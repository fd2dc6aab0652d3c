//! `sd convert`.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use sd_core::{ConvertOptions, convert};

use crate::{arguments::SingleFile, error::CliError};

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// A single file (.safetensors, .ckpt, .gguf), or a model directory in diffusers' layout
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// A directory to make, or a single file if it ends in .safetensors
    #[arg(value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    single_file: SingleFile,
    /// Variant of a directory's weights, such as fp16 [default: the plain ones, or what is there]
    #[arg(long)]
    variant: Option<String>,
}

/// Writes a model in the other layout, and says what is written.
pub(crate) fn run(arguments: &Convert) -> Result<(), CliError> {
    let mut options = ConvertOptions::default();
    options.single_file = arguments.single_file.understood();
    options.tokenizer.clone_from(&arguments.single_file.tokenizer);
    options.variant.clone_from(&arguments.variant);
    let converted = convert(&arguments.input, &arguments.output, &options)?;
    println!("{}: {}", converted.path.display(), converted.family);
    println!("  {}", converted.components.join(", "));
    if !converted.missing.is_empty() {
        println!("  missing: {}", converted.missing.join(", "));
    }
    if !converted.unused.is_empty() {
        println!("  left out: {}", summary(&converted.unused));
    }
    Ok(())
}

/// Names by what they start with, and how many those are where they are several.
fn summary(names: &[String]) -> String {
    let mut starts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        let start = name.split_once('.').map_or(name.as_str(), |(start, _)| start);
        *starts.entry(start).or_default() += 1;
    }
    let text = |(start, count): (&str, usize)| match count {
        1 => start.to_owned(),
        count => format!("{start} ({count} tensors)"),
    };
    starts.into_iter().map(text).collect::<Vec<_>>().join(", ")
}
