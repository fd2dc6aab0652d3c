//! Gradients of a group norm.

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    super::{
        activation::derivative,
        reduce::{Fold, fold_lanes, sum},
        rows::{address_type, dims, empty_like, row_major},
    },
    Geometry, GroupNorm, GroupNormGradients, Launch, Layout, Place, affine_at, place, statistics,
};

/// What the gradient at a pixel depends on besides the pixel.
#[derive(CubeType, Clone, Copy)]
struct Around<N: Size> {
    mean: Vector<f32, N>,
    /// 1 / standard deviation.
    rate: Vector<f32, N>,
    weight: Vector<f32, N>,
    bias: Vector<f32, N>,
}

/// Normalised input, and the gradient before the activation.
#[cube]
fn before_activation<F: Float, N: Size>(
    x: Vector<F, N>,
    grad: Vector<F, N>,
    around: Around<N>,
    #[comptime] layout: Layout,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let normal = (Vector::<f32, N>::cast_from(x) - around.mean) * around.rate;
    let y = normal * around.weight + around.bias;
    let slope = derivative::<N>(y, comptime!(layout.activation));
    (normal, Vector::<f32, N>::cast_from(grad) * slope)
}

/// Σ gradient and Σ gradient · x̂ over what this unit reads of a vector of channels.
#[cube]
fn channel_sums<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    grad: &Tensor<Vector<F, N>>,
    channel: usize,
    place: Place,
    around: Around<N>,
    geometry: &Geometry,
    #[comptime] layout: Layout,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut product = Vector::<f32, N>::new(0.0f32);
    for pixel in range_stepped(place.lane, place.pixels, comptime!(layout.lanes)) {
        let pixel = place.first_pixel + pixel;
        let x = input[pixel * geometry.pitch + channel];
        let grad = grad[pixel * geometry.grad_pitch + channel];
        let (normal, grad) = before_activation::<F, N>(x, grad, around, layout);
        sum += grad;
        product += grad * normal;
    }
    (sum, product)
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn backward_kernel<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    weight: &Tensor<Vector<F, N>>,
    bias: &Tensor<Vector<F, N>>,
    grad: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    weight_grad: &mut Tensor<Vector<f32, N>>,
    bias_grad: &mut Tensor<Vector<f32, N>>,
    geometry: Geometry,
    #[comptime] layout: Layout,
    #[define(F)] _dtype: StorageType,
) {
    if CUBE_POS >= geometry.cubes {
        terminate!();
    }
    let mut shared = SharedMemory::<Vector<f32, N>>::new(comptime!(layout.units));
    let place = place(&geometry, layout);
    let (mean, rate) = statistics::<F, N>(input, &mut shared, place, &geometry, layout);
    let mean = Vector::<f32, N>::new(mean);
    let rate = Vector::<f32, N>::new(rate);
    let dense = geometry.groups * comptime!(layout.vectors);
    let start = CUBE_POS / geometry.groups * dense;

    // By channel, then over the group.
    let mut sums = Vector::<f32, N>::new(0.0f32);
    let mut products = Vector::<f32, N>::new(0.0f32);
    for chunk in 0..comptime!(layout.chunks) {
        let column = chunk * comptime!(layout.width) + place.column;
        let channel = place.group * comptime!(layout.vectors) + column;
        let here = place.lane < comptime!(layout.lanes) && column < comptime!(layout.vectors);
        let mut channel_sum = Vector::<f32, N>::new(0.0f32);
        let mut channel_product = Vector::<f32, N>::new(0.0f32);
        let mut factor = Vector::<f32, N>::new(0.0f32);
        if here {
            let (weight, bias) = affine_at::<F, N>(weight, bias, channel, layout);
            let around = Around::<N> { mean, rate, weight, bias };
            let (sum, product) =
                channel_sums::<F, N>(input, grad, channel, place, around, &geometry, layout);
            channel_sum = sum;
            channel_product = product;
            factor = weight;
        }
        let lanes = comptime!(layout.pixels());
        let sum = fold_lanes::<N>(&mut shared, channel_sum, place.lane, lanes, Fold::Sum);
        let product = fold_lanes::<N>(&mut shared, channel_product, place.lane, lanes, Fold::Sum);
        if here && place.lane == 0 {
            weight_grad[start + channel] = product;
            bias_grad[start + channel] = sum;
            sums += sum * factor;
            products += product * factor;
        }
    }
    let unit = UNIT_POS as usize;
    let all = comptime!(layout.all());
    let sum_mean = sum::<N>(&mut shared, sums, unit, all) / geometry.count;
    let sum_mean = Vector::<f32, N>::new(sum_mean);
    let product_mean = sum::<N>(&mut shared, products, unit, all) / geometry.count;
    let product_mean = Vector::<f32, N>::new(product_mean);

    if place.lane < comptime!(layout.lanes) {
        for chunk in 0..comptime!(layout.chunks) {
            let column = chunk * comptime!(layout.width) + place.column;
            if column < comptime!(layout.vectors) {
                let channel = place.group * comptime!(layout.vectors) + column;
                let (weight, bias) = affine_at::<F, N>(weight, bias, channel, layout);
                let around = Around::<N> { mean, rate, weight, bias };
                for pixel in range_stepped(place.lane, place.pixels, comptime!(layout.lanes)) {
                    let pixel = place.first_pixel + pixel;
                    let x = input[pixel * geometry.pitch + channel];
                    let grad = grad[pixel * geometry.grad_pitch + channel];
                    let (normal, grad) = before_activation::<F, N>(x, grad, around, layout);
                    let value = rate * (grad * weight - sum_mean - normal * product_mean);
                    output[pixel * dense + channel] = Vector::cast_from(value);
                }
            }
        }
    }
}

/// Gradients of [`forward`](super::forward) for that of its output. The statistics are computed anew.
pub(crate) fn backward<R: CubeRuntime>(
    input: CubeTensor<R>,
    options: GroupNorm<R>,
    grad: CubeTensor<R>,
) -> GroupNormGradients<R> {
    let grad = row_major(grad);
    let has_affine = options.affine.is_some();
    let launch = Launch::new(input, options, Some(&grad));
    let shape @ [batch, _, _, channels] = dims(&launch.input);
    let output = empty_like(&launch.input, shape, launch.input.dtype);
    let affine = [(); 2].map(|()| empty_like(&launch.input, [batch, channels], DType::F32));
    if output.meta.num_elements() > 0 {
        let [weight_grad, bias_grad] = affine.clone();
        // SAFETY: a unit reads inside of the tensors, and writes elements of its own.
        unsafe {
            backward_kernel::launch_unchecked(
                &output.client,
                launch.grid.count,
                launch.grid.dim,
                address_type(&[&launch.input, &grad, &output]),
                launch.vector,
                launch.input.into_tensor_arg(),
                launch.weight.into_tensor_arg(),
                launch.bias.into_tensor_arg(),
                grad.into_tensor_arg(),
                output.clone().into_tensor_arg(),
                weight_grad.into_tensor_arg(),
                bias_grad.into_tensor_arg(),
                launch.geometry,
                launch.layout,
                output.dtype.into(),
            );
        }
    }
    GroupNormGradients { input: output, affine: has_affine.then_some(affine) }
}
