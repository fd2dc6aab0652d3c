//! Gradients of normalisations.

use burn::tensor::{Tensor, backend::Backend};

use super::{super::widen, activation_backward, sum_positions};
use crate::{Affine, Gate, GroupNormOptions, LayerNormOptions, NormGradients};

/// See [`DiffusionBackend::group_norm_backward`](crate::DiffusionBackend::group_norm_backward).
pub fn group_norm_backward<B: Backend>(
    input: Tensor<B, 4>,
    options: GroupNormOptions<B>,
    gradient: Tensor<B, 4>,
) -> NormGradients<B, 4> {
    let dtype = input.dtype();
    let shape @ [batch, height, width, channels] = input.dims();
    let (positions, groups) = (height * width, options.groups);
    let grouped = [batch, height, width, groups, channels / groups];
    let flat = [batch, positions, channels];

    // Axis by axis: CubeCL 0.10 sums along one axis with one thread for each result.
    let mean = |x: Tensor<B, 5>| x.mean_dim(1).mean_dim(2).mean_dim(4);
    let (normal, deviation) = normalised(widen(input).reshape(grouped), options.eps, mean);
    let normal = normal.reshape(flat);
    let mut gradient = widen(gradient).reshape(flat);
    if options.activation.is_some() {
        let before = match &options.affine {
            Some(Affine { weight, bias }) => {
                normal.clone() * widen(weight.clone()).unsqueeze() + widen(bias.clone()).unsqueeze()
            }
            None => normal.clone(),
        };
        gradient = activation_backward(before, options.activation, Gate::None, gradient);
    }
    let (gradient, affine) = through_affine(gradient, &normal, options.affine);
    let gradient =
        through_normal(gradient.reshape(grouped), normal.reshape(grouped), deviation, mean);
    NormGradients { input: gradient.reshape(shape).cast(dtype), affine }
}

/// See [`DiffusionBackend::layer_norm_backward`](crate::DiffusionBackend::layer_norm_backward).
pub fn layer_norm_backward<B: Backend>(
    input: Tensor<B, 3>,
    options: LayerNormOptions<B>,
    gradient: Tensor<B, 3>,
) -> NormGradients<B, 3> {
    let dtype = input.dtype();
    let mean = |x: Tensor<B, 3>| x.mean_dim(2);
    let (normal, deviation) = normalised(widen(input), options.eps, mean);
    let (gradient, affine) = through_affine(widen(gradient), &normal, options.affine);
    let gradient = through_normal(gradient, normal, deviation, mean);
    NormGradients { input: gradient.cast(dtype), affine }
}

/// The normalised values, and the standard deviation, by which is divided: the reciprocals of burn-ndarray 0.21 are of 14 bits.
fn normalised<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    eps: f64,
    mean: impl Fn(Tensor<B, D>) -> Tensor<B, D>,
) -> (Tensor<B, D>, Tensor<B, D>) {
    let centred = x.clone() - mean(x);
    let variance = mean(centred.clone() * centred.clone());
    let deviation = (variance + eps).sqrt();
    (centred / deviation.clone(), deviation)
}

/// From the gradient behind the affine to that before it, and those of its own.
fn through_affine<B: Backend>(
    gradient: Tensor<B, 3>,
    normal: &Tensor<B, 3>,
    affine: Option<Affine<B>>,
) -> (Tensor<B, 3>, Option<Affine<B>>) {
    let Some(Affine { weight, bias }) = affine else { return (gradient, None) };
    let total =
        |x: Tensor<B, 3>| sum_positions(x).sum_dim(0).squeeze_dim::<1>(0).cast(bias.dtype());
    let affine =
        Affine { weight: total(gradient.clone() * normal.clone()), bias: total(gradient.clone()) };
    (gradient * widen(weight).unsqueeze(), Some(affine))
}

/// From the gradient of the normalised values to that of the input.
fn through_normal<B: Backend, const D: usize>(
    gradient: Tensor<B, D>,
    normal: Tensor<B, D>,
    deviation: Tensor<B, D>,
    mean: impl Fn(Tensor<B, D>) -> Tensor<B, D>,
) -> Tensor<B, D> {
    let along = mean(gradient.clone() * normal.clone());
    (gradient.clone() - mean(gradient) - normal * along) / deviation
}
