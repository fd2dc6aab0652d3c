//! Layer norm and affine.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    super::rows::{Grid, UNITS, address_type, dims, empty_like},
    Geometry, Launch, LayerNorm, Layout, normalise, read,
};

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward_kernel<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    weight: &Tensor<Vector<F, N>>,
    bias: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    geometry: Geometry,
    #[comptime] layout: Layout,
    #[define(F)] _dtype: StorageType,
) {
    let lane = UNIT_POS as usize % comptime!(layout.width);
    let first = CUBE_POS * comptime!(layout.rows());
    if first >= geometry.rows {
        terminate!();
    }
    let row = first + UNIT_POS as usize / comptime!(layout.width);
    let inside = row < geometry.rows;
    let mut shared = SharedMemory::<Vector<f32, N>>::new(UNITS);
    let mut kept = read::<F, N>(input, row * geometry.pitch, inside, layout);
    normalise::<N>(&mut shared, &mut kept, &geometry, layout);
    #[unroll]
    for index in 0..comptime!(layout.kept()) {
        let column = lane + comptime!(index * layout.width);
        if inside && column < comptime!(layout.vectors) {
            let mut y = kept[index];
            if comptime!(layout.affine) {
                y = y * Vector::<f32, N>::cast_from(weight[column])
                    + Vector::<f32, N>::cast_from(bias[column]);
            }
            output[row * comptime!(layout.vectors) + column] = Vector::cast_from(y);
        }
    }
}

/// Layer norm and affine.
///
/// # Shapes
/// - input, output: `[batch, tokens, channels]`
pub(crate) fn forward<R: CubeRuntime>(
    input: CubeTensor<R>,
    options: LayerNorm<R>,
) -> CubeTensor<R> {
    let launch = Launch::new(input, options, None);
    let shape: [usize; 3] = dims(&launch.input);
    let output = empty_like(&launch.input, shape, launch.input.dtype);
    if output.meta.num_elements() == 0 {
        return output;
    }
    let cubes = launch.rows.div_ceil(launch.layout.rows());
    let grid = Grid::cubes(&output.client, cubes, UNITS);
    // SAFETY: a unit reads inside of the tensors, and writes elements of its own.
    unsafe {
        forward_kernel::launch_unchecked(
            &output.client,
            grid.count,
            grid.dim,
            address_type(&[&launch.input, &output]),
            launch.vector,
            launch.input.into_tensor_arg(),
            launch.weight.into_tensor_arg(),
            launch.bias.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            launch.geometry,
            launch.layout,
            output.dtype.into(),
        );
    }
    output
}
