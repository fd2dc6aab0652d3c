//! DPM-Solver and DPM-Solver++: "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10
//! Steps", <https://arxiv.org/abs/2206.00927>, and "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion
//! Probabilistic Models", <https://arxiv.org/abs/2211.01095>, with their stochastic forms.

mod family;
mod flow_sigmas;
mod ladder;
mod multistep;
mod singlestep;
mod weights;

pub use multistep::DpmMultistep;
pub use singlestep::DpmSinglestep;
pub use weights::{Algorithm, SolverType};

pub(super) use family::Family;
pub(super) use ladder::{LogSnrLadder, Rungs};
pub(super) use multistep::{OrderRule, UpdateRule, update};
pub(super) use weights::{divided, weights};

use crate::{config::Fields, error::ConfigError, schedule::FinalSigmas};

/// The names that DEIS and UniPC use stand for the midpoint rule, as in diffusers.
pub(super) fn solver_type(fields: Fields<'_>) -> Result<SolverType, ConfigError> {
    match fields.text("solver_type", "midpoint")?.as_str() {
        "logrho" | "bh1" | "bh2" => Ok(SolverType::Midpoint),
        _ => fields.name("solver_type", SolverType::Midpoint),
    }
}

/// `algorithm_type`; what a class does not know is an error, and so is noise prediction down to zero noise.
pub(super) fn algorithm(fields: Fields<'_>, known: &[Algorithm]) -> Result<Algorithm, ConfigError> {
    let text = fields.text("algorithm_type", "dpmsolver++")?;
    // DEIS names its own algorithm; diffusers reads it as DPM-Solver++, so that configurations can be swapped.
    let algorithm = match text.as_str() {
        "deis" => Algorithm::PlusPlus,
        _ => fields.name("algorithm_type", Algorithm::PlusPlus)?,
    };
    if !known.contains(&algorithm) {
        return Err(fields.unsupported("algorithm_type", algorithm));
    }
    let last = fields.name("final_sigmas_type", FinalSigmas::Zero)?;
    if algorithm.predicts_noise() && last == FinalSigmas::Zero {
        // diffusers refuses it, too
        return Err(fields.unsupported("final_sigmas_type", format!("zero for {algorithm}")));
    }
    Ok(algorithm)
}

/// An error for models that predict their variance, too.
pub(super) fn refuse_learned_variance(fields: Fields<'_>) -> Result<(), ConfigError> {
    match fields.values.get("variance_type") {
        None | Some(serde_json::Value::Null) => Ok(()),
        Some(_) => match fields.text("variance_type", "")?.as_str() {
            // what DDPM's configurations say of fixed variances does not concern these samplers
            fixed if fixed.starts_with("fixed") => Ok(()),
            learned => Err(fields.unsupported("variance_type", learned)),
        },
    }
}
