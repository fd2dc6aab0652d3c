//! Normalisations, with statistics in f32.

use burn::tensor::{Tensor, backend::Backend};

use super::{activate, materialise, vectors::with_vector, widen};
use crate::{Affine, ConvInput, GroupNormOptions, LayerNormOptions, Modulation};

/// See [`DiffusionBackend::fused_group_norm`](crate::DiffusionBackend::fused_group_norm).
pub fn group_norm<B: Backend>(input: ConvInput<B>, options: GroupNormOptions<B>) -> Tensor<B, 4> {
    let input = materialise(input);
    let dtype = input.dtype();
    let [batch, height, width, channels] = input.dims();
    let groups = options.groups;

    // Axis by axis: CubeCL 0.10 sums along one axis with one thread for each result.
    let mean = |x: Tensor<B, 5>| x.mean_dim(1).mean_dim(2).mean_dim(4);
    let x = widen(input).reshape([batch, height, width, groups, channels / groups]);
    let centred = x.clone() - mean(x);
    let variance = mean(centred.clone() * centred.clone());
    let x = centred / (variance + options.eps).sqrt();
    let x = x.reshape([batch, height * width, channels]);

    let mut x = modulate(x, options.affine, options.modulation);
    if let Some(activation) = options.activation {
        x = activate(x, activation);
    }
    x.cast(dtype).reshape([batch, height, width, channels])
}

/// See [`DiffusionBackend::fused_layer_norm`](crate::DiffusionBackend::fused_layer_norm).
pub fn layer_norm<B: Backend>(input: Tensor<B, 3>, options: LayerNormOptions<B>) -> Tensor<B, 3> {
    let dtype = input.dtype();
    let x = widen(input);
    let centred = x.clone() - x.mean_dim(2);
    let variance = (centred.clone() * centred.clone()).mean_dim(2);
    let x = centred / (variance + options.eps).sqrt();
    modulate(x, options.affine, options.modulation).cast(dtype)
}

/// See [`DiffusionBackend::fused_rms_norm`](crate::DiffusionBackend::fused_rms_norm).
pub fn rms_norm<B: Backend>(input: Tensor<B, 3>, weight: Tensor<B, 1>, eps: f64) -> Tensor<B, 3> {
    let dtype = input.dtype();
    let x = widen(input);
    let mean_square = (x.clone() * x.clone()).mean_dim(2);
    let x = x / (mean_square + eps).sqrt();
    (x * widen(weight).unsqueeze()).cast(dtype)
}

fn modulate<B: Backend>(
    x: Tensor<B, 3>,
    affine: Option<Affine<B>>,
    modulation: Option<Modulation<B>>,
) -> Tensor<B, 3> {
    let x = match affine {
        Some(affine) => {
            let x = with_vector(x, widen(affine.weight).unsqueeze(), |x, factor| x * factor);
            with_vector(x, widen(affine.bias).unsqueeze(), |x, summand| x + summand)
        }
        None => x,
    };
    match modulation {
        Some(modulation) => {
            let channels = x.dims()[2];
            let scale = widen(modulation.scale.to_tensor(channels)) + 1.0;
            let shift = widen(modulation.shift.to_tensor(channels));
            let x = with_vector(x, scale, |x, factor| x * factor);
            with_vector(x, shift, |x, summand| x + summand)
        }
        None => x,
    }
}
