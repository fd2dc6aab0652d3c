//! Many tensors in one row.

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::rows::{Grid, address_type, dims, row_major, vector_size};

#[cube(launch_unchecked, address_type = "dynamic")]
fn place_kernel<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<f32, N>>,
    total: usize,
    first: usize,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    output[first + ABSOLUTE_POS] = Vector::cast_from(input[ABSOLUTE_POS]);
}

/// Writes values, `[length]`, into a row of f32 from `start` on, where it is. The row must be the caller's own: nothing else may
/// look at its memory.
///
/// Burn's own assignment copies the whole row, since CubeCL takes it to be shared while earlier launches are queued.
pub(crate) fn place<R: CubeRuntime>(row: &CubeTensor<R>, start: usize, values: CubeTensor<R>) {
    let values = row_major(values);
    let ([length], [total]) = (dims(&values), dims(row));
    assert!(start + length <= total, "{length} values from {start} on in a row of {total}");
    assert_eq!(row.dtype, DType::F32, "a row of f32");
    if length == 0 {
        return;
    }
    let vector = vector_size([length, start]);
    let grid = Grid::elementwise(&row.client, length / vector);
    let address = address_type(&[row, &values]);
    let dtype = values.dtype;
    // SAFETY: a unit reads inside of the values, and writes an element of its own, inside of the row by the assertion above.
    unsafe {
        place_kernel::launch_unchecked(
            &row.client,
            grid.count,
            grid.dim,
            address,
            vector,
            values.into_tensor_arg(),
            row.clone().into_tensor_arg(),
            length / vector,
            start / vector,
            dtype.into(),
        );
    }
}
