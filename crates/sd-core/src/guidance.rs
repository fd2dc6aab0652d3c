//! Guidance: from predictions under several conditionings to one.

use burn::tensor::{Tensor, backend::Backend};
use sd_kernels::{DiffusionBackend, ops};

use crate::component::{Guidance, PromptRole};

/// Where a run stands and what its request asked for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GuidanceContext {
    /// Steps finished.
    pub index: usize,
    /// Steps of the run.
    pub total: usize,
    /// Timestep of the evaluation.
    pub timestep: f64,
    /// The request's guidance scale.
    pub guidance_scale: f64,
    /// The request's guidance rescale.
    pub guidance_rescale: f64,
}

/// Classifier-free guidance (<https://arxiv.org/abs/2207.12598>): `negative + scale · (positive − negative)`.
///
/// With a guidance scale of at most 1 only the positive prompt is evaluated, as diffusers has it. A guidance rescale of
/// `φ` brings the standard deviation of the result towards that of the positive prediction
/// (<https://arxiv.org/abs/2305.08891>, section 3.4).
#[derive(Debug, Clone, Copy, Default)]
pub struct ClassifierFree;

impl<B: DiffusionBackend> Guidance<B> for ClassifierFree {
    fn branches(&self, context: &GuidanceContext) -> Vec<PromptRole> {
        match context.guidance_scale > 1.0 {
            true => vec![PromptRole::Negative, PromptRole::Positive],
            false => vec![PromptRole::Positive],
        }
    }

    fn combine(&self, context: &GuidanceContext, predictions: Vec<Tensor<B, 4>>) -> Tensor<B, 4> {
        let scale = context.guidance_scale;
        let mut predictions = predictions.into_iter();
        match (predictions.next(), predictions.next()) {
            (Some(negative), Some(positive)) => {
                let guided =
                    ops::linear_combination([(1.0 - scale, negative), (scale, positive.clone())]);
                rescale(guided, positive, context.guidance_rescale)
            }
            (Some(positive), None) => positive,
            _ => unreachable!("there is one prediction for each branch, and at least one branch"),
        }
    }
}

/// `φ · guided · σ(positive) / σ(guided) + (1 − φ) · guided`, with the deviation of each picture.
fn rescale<B: Backend>(guided: Tensor<B, 4>, positive: Tensor<B, 4>, phi: f64) -> Tensor<B, 4> {
    if phi == 0.0 {
        return guided;
    }
    let factor = deviation(positive) / deviation(guided.clone());
    guided * (factor * phi + (1.0 - phi))
}

/// Standard deviation of each picture, of n − 1 degrees of freedom as PyTorch has it: `[batch, 1, 1, 1]`.
fn deviation<B: Backend>(tensor: Tensor<B, 4>) -> Tensor<B, 4> {
    let [batch, channels, height, width] = tensor.dims();
    let rows = tensor.reshape([batch, channels * height * width]);
    rows.var(1).sqrt().reshape([batch, 1, 1, 1])
}
