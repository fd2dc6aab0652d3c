//! The gradient of an epilogue's activation.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::{prelude::*, std::FastDivmod};

use super::super::{
    activation::{activate, derivative},
    rows::{Grid, address_type, dims, empty_like, pitch, row_major, vector_size},
};
use crate::{Activation, Gate};

#[derive(CubeLaunch, CubeType)]
struct BackwardGeometry {
    /// Of the output's gradient.
    total: usize,
    vectors: FastDivmod<usize>,
    /// Of the input.
    channels: usize,
    pitch: usize,
    grad_pitch: usize,
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn backward_kernel<F: Float, N: Size>(
    pre: &Tensor<Vector<F, N>>,
    grad: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    geometry: BackwardGeometry,
    #[comptime] activation: Option<Activation>,
    #[comptime] paired: bool,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS >= geometry.total {
        terminate!();
    }
    let (row, channel) = geometry.vectors.div_mod(ABSOLUTE_POS);
    let grad = Vector::<f32, N>::cast_from(grad[row * geometry.grad_pitch + channel]);
    let x = Vector::<f32, N>::cast_from(pre[row * geometry.pitch + channel]);
    let place = row * geometry.channels + channel;
    if comptime!(paired) {
        let half = geometry.channels / 2;
        let gate = Vector::<f32, N>::cast_from(pre[row * geometry.pitch + channel + half]);
        output[place] = Vector::cast_from(grad * activate::<N>(gate, activation));
        output[place + half] = Vector::cast_from(grad * x * derivative::<N>(gate, activation));
    } else {
        output[place] = Vector::cast_from(grad * derivative::<N>(x, activation));
    }
}

/// Gradient of `pre` in `activation(pre)`, or in `value · activation(gate)` of its halves.
///
/// # Shapes
/// - pre, output: `[batch, positions, channels]`
/// - grad: the same, or half of the channels with a gated pair
pub(crate) fn activation_backward<R: CubeRuntime>(
    pre: CubeTensor<R>,
    activation: Option<Activation>,
    gate: Gate,
    grad: CubeTensor<R>,
) -> CubeTensor<R> {
    let (pre, grad) = (row_major(pre), row_major(grad));
    let shape @ [_, _, channels] = dims(&pre);
    let [_, _, out] = dims(&grad);
    let output = empty_like(&pre, shape, pre.dtype);
    let pitches = [pitch(&pre), pitch(&grad)];
    let vector = vector_size([out, pitches[0], pitches[1]]);
    let total = grad.meta.num_elements() / vector;
    if total == 0 {
        return output;
    }
    let [pitch, grad_pitch] = pitches.map(|pitch| pitch / vector);
    let geometry =
        BackwardGeometryLaunch::new(total, out / vector, channels / vector, pitch, grad_pitch);
    let grid = Grid::elementwise(&pre.client, total);
    // SAFETY: a unit writes elements of its own, and reads inside of the tensors.
    unsafe {
        backward_kernel::launch_unchecked(
            &output.client,
            grid.count,
            grid.dim,
            address_type(&[&pre, &output]),
            vector,
            pre.into_tensor_arg(),
            grad.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            geometry,
            activation,
            gate == Gate::Pair,
            output.dtype.into(),
        );
    }
    output
}
