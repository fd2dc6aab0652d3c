//! Gradients of a layer norm.

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    super::{
        reduce::{Fold, fold_lanes, sum},
        rows::{Grid, UNITS, address_type, dims, empty_like, row_major},
    },
    Geometry, Launch, LayerNorm, LayerNormGradients, Layout, normalise, read,
};

#[cube(launch_unchecked, address_type = "dynamic")]
fn backward_kernel<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    weight: &Tensor<Vector<F, N>>,
    grad: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    weight_grad: &mut Tensor<Vector<f32, N>>,
    bias_grad: &mut Tensor<Vector<f32, N>>,
    geometry: Geometry,
    #[comptime] layout: Layout,
    #[define(F)] _dtype: StorageType,
) {
    let unit = UNIT_POS as usize;
    let lane = unit % comptime!(layout.width);
    let block = CUBE_POS * geometry.steps * comptime!(layout.rows());
    if block >= geometry.rows {
        terminate!();
    }
    let mut shared = SharedMemory::<Vector<f32, N>>::new(UNITS);
    let mut weight_sums = Array::<Vector<f32, N>>::new(comptime!(layout.kept()));
    let mut bias_sums = Array::<Vector<f32, N>>::new(comptime!(layout.kept()));
    #[unroll]
    for index in 0..comptime!(layout.kept()) {
        weight_sums[index] = Vector::<f32, N>::new(0.0f32);
        bias_sums[index] = Vector::<f32, N>::new(0.0f32);
    }
    for step in 0..geometry.steps {
        let row = block + step * comptime!(layout.rows()) + unit / comptime!(layout.width);
        let inside = row < geometry.rows;
        let mut normals = read::<F, N>(input, row * geometry.pitch, inside, layout);
        let rate = normalise::<N>(&mut shared, &mut normals, &geometry, layout);
        let mut grads = read::<F, N>(grad, row * geometry.grad_pitch, inside, layout);
        let mut total = Vector::<f32, N>::new(0.0f32);
        let mut products = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for index in 0..comptime!(layout.kept()) {
            let column = lane + comptime!(index * layout.width);
            if comptime!(layout.affine) && column < comptime!(layout.vectors) {
                weight_sums[index] += grads[index] * normals[index];
                bias_sums[index] += grads[index];
                grads[index] *= Vector::<f32, N>::cast_from(weight[column]);
            }
            total += grads[index];
            products += grads[index] * normals[index];
        }
        let lanes = comptime!(layout.row());
        let mean = sum::<N>(&mut shared, total, lane, lanes) / geometry.count;
        let mean = Vector::<f32, N>::new(mean);
        let product = sum::<N>(&mut shared, products, lane, lanes) / geometry.count;
        let product = Vector::<f32, N>::new(product);
        #[unroll]
        for index in 0..comptime!(layout.kept()) {
            let column = lane + comptime!(index * layout.width);
            if inside && column < comptime!(layout.vectors) {
                let value = rate * (grads[index] - mean - normals[index] * product);
                output[row * comptime!(layout.vectors) + column] = Vector::cast_from(value);
            }
        }
    }
    if comptime!(layout.affine) {
        let group = unit / comptime!(layout.width);
        let lanes = comptime!(layout.column());
        #[unroll]
        for index in 0..comptime!(layout.kept()) {
            let column = lane + comptime!(index * layout.width);
            let weight = fold_lanes::<N>(&mut shared, weight_sums[index], group, lanes, Fold::Sum);
            let bias = fold_lanes::<N>(&mut shared, bias_sums[index], group, lanes, Fold::Sum);
            if group == 0 && column < comptime!(layout.vectors) {
                weight_grad[CUBE_POS * comptime!(layout.vectors) + column] = weight;
                bias_grad[CUBE_POS * comptime!(layout.vectors) + column] = bias;
            }
        }
    }
}

/// Gradients of [`forward`](super::forward) for that of its output. The statistics are computed anew.
pub(crate) fn backward<R: CubeRuntime>(
    input: CubeTensor<R>,
    options: LayerNorm<R>,
    grad: CubeTensor<R>,
) -> LayerNormGradients<R> {
    let grad = row_major(grad);
    let launch = Launch::new(input, options, Some(&grad));
    let shape @ [_, _, channels] = dims(&launch.input);
    let output = empty_like(&launch.input, shape, launch.input.dtype);
    let (blocks, has_affine) = (launch.blocks, launch.layout.affine);
    let sums = if has_affine { [blocks, channels] } else { [1, 1] };
    let affine = [(); 2].map(|()| empty_like(&launch.input, sums, DType::F32));
    if output.meta.num_elements() > 0 {
        let [weight_grad, bias_grad] = affine.clone();
        let grid = Grid::cubes(&output.client, blocks, UNITS);
        // SAFETY: a unit reads inside of the tensors, and writes elements of its own.
        unsafe {
            backward_kernel::launch_unchecked(
                &output.client,
                grid.count,
                grid.dim,
                address_type(&[&launch.input, &grad, &output]),
                launch.vector,
                launch.input.into_tensor_arg(),
                launch.weight.into_tensor_arg(),
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
    LayerNormGradients { input: output, affine: has_affine.then_some(affine) }
}
