//! Sums over the positions of a sample.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    reduce::{Fold, Lanes, fold_lanes},
    rows::{Grid, UNITS, address_type, dims, empty_like, pitch, row_major, vector_size},
};

/// Vectors of channels that a cube has: with them it reads whole cache lines.
const WIDTH: usize = 8;

#[cube(launch_unchecked, address_type = "dynamic")]
fn sum_kernel<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    cubes: usize,
    positions: usize,
    vectors: usize,
    // Cubes of a sample.
    chunks: usize,
    pitch: usize,
    #[comptime] lanes: Lanes,
    #[define(F)] _dtype: StorageType,
) {
    if CUBE_POS >= cubes {
        terminate!();
    }
    let width = comptime!(lanes.stride);
    let sample = CUBE_POS / chunks;
    let column = CUBE_POS % chunks * width + UNIT_POS as usize % width;
    let lane = UNIT_POS as usize / width;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if column < vectors {
        for position in range_stepped(lane, positions, comptime!(lanes.lanes)) {
            let value = input[(sample * positions + position) * pitch + column];
            sum += Vector::<f32, N>::cast_from(value);
        }
    }
    let mut shared = SharedMemory::<Vector<f32, N>>::new(UNITS);
    let sum = fold_lanes::<N>(&mut shared, sum, lane, lanes, Fold::Sum);
    if lane == 0 && column < vectors {
        output[sample * vectors + column] = Vector::cast_from(sum);
    }
}

/// `[batch, positions, channels]` summed to `[batch, channels]`, in f32.
pub(crate) fn sum_positions<R: CubeRuntime>(input: CubeTensor<R>) -> CubeTensor<R> {
    let input = row_major(input);
    let [batch, positions, channels] = dims(&input);
    let pitch = pitch(&input);
    let vector = vector_size([channels, pitch]);
    let vectors = channels / vector;
    let output = empty_like(&input, [batch, channels], input.dtype);
    if output.meta.num_elements() == 0 {
        return output;
    }
    let width = vectors.next_power_of_two().min(WIDTH);
    let chunks = vectors.div_ceil(width);
    let cubes = batch * chunks;
    let grid = Grid::cubes(&input.client, cubes, UNITS);
    // SAFETY: a unit reads inside of the input, and writes an element of its own.
    unsafe {
        sum_kernel::launch_unchecked(
            &output.client,
            grid.count,
            grid.dim,
            address_type(&[&input, &output]),
            vector,
            input.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            cubes,
            positions,
            vectors,
            chunks,
            pitch / vector,
            Lanes { lanes: UNITS / width, stride: width },
            output.dtype.into(),
        );
    }
    output
}
