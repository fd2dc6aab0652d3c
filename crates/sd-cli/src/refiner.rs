//! The model that goes on after the first, checked before the first begins.

use std::path::Path;

use sd_core::{
    DiffusionBackend, Latents, LoadOptions, ModelReport, Pipeline, TextToImage, inspect,
    inspect_file,
};

use crate::{arguments::Xl, error::CliError};

/// What a second model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// SDXL's refiner: one text encoder, and an aesthetic score.
    Refiner,
    /// Another model like SDXL's base, which reads what the first one does.
    Base,
}

/// Checks a second model by its configurations and headers, and what it will be asked for.
pub(crate) fn check<B: DiffusionBackend>(
    model: &Path,
    loading: &LoadOptions<B>,
    options: &Xl,
    request: &TextToImage,
) -> Result<Second, CliError> {
    let refused = |message: String| CliError::new(format!("{}: {message}", model.display()));
    let second = if model.is_file() {
        Pipeline::check_single_file(model, loading)?;
        let report = inspect_file(model)?;
        let has = |name: &str| report.components.iter().any(|component| component.name == name);
        match (has("text_encoder"), has("text_encoder_2")) {
            (false, true) => Second::Refiner,
            (true, true) => Second::Base,
            _ => {
                return Err(refused(format!(
                    "a refiner is a model of SDXL, found {}",
                    report.contents
                )));
            }
        }
    } else {
        let report = inspect::<B>(model)?;
        check_parts(&report).map_err(refused)?;
        if report.requires_aesthetics_score { Second::Refiner } else { Second::Base }
    };
    let scores = [options.aesthetic_score, options.negative_aesthetic_score];
    if second == Second::Base && scores.iter().any(Option::is_some) {
        return Err(refused("this model reads no aesthetic score".to_owned()));
    }
    if request.denoising_end.is_some_and(|end| end >= 1.0) {
        let message = "--denoising-end 1 leaves nothing to the refiner, expected less than 1";
        return Err(CliError::new(message));
    }
    // The latents are not there yet, and only their number is looked at.
    let latents = Latents::new([1, 1, 1, 1], vec![0.0])?;
    options.refinement(request, latents, second).validate()?;
    Ok(second)
}

fn check_parts(report: &ModelReport) -> Result<(), String> {
    let class = &report.class;
    if !report.supported {
        return Err(format!("unsupported pipeline class `{class}`"));
    }
    if !class.starts_with("StableDiffusionXL") {
        return Err(format!("a refiner is a pipeline of SDXL, found a `{class}`"));
    }
    match report.missing.as_slice() {
        [] => Ok(()),
        missing => Err(format!("missing {}", missing.join(", "))),
    }
}
