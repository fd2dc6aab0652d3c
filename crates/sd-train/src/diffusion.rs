//! Training of the denoiser, with or without the text encoder.

use burn::tensor::Tensor;
use sd_kernels::DiffusionBackend;
use sd_unet::{UNet2DConditionModel, UNetInput, UNetInputError};

use crate::objective::{Loss, Spoilt};

/// The loss of a denoiser on spoilt latents, `[1]`.
///
/// # Shapes
/// - context: `[batch, keys, cross_attention_dim]`
///
/// # Errors
/// When an input does not fit the model.
pub fn denoising_loss<B: DiffusionBackend>(
    unet: &UNet2DConditionModel<B>,
    spoilt: Spoilt<B>,
    context: Tensor<B, 3>,
    loss: Loss,
) -> Result<Tensor<B, 1>, UNetInputError> {
    let Spoilt { input, timesteps, target, weights } = spoilt;
    let mut input = UNetInput::new(input, 0.0, context);
    input.timesteps = timesteps;
    let prediction = unet.forward(input)?;
    Ok(loss.of(prediction, target, &weights))
}
