//! Tensors as the kernels read them: rows of channels, which may be padded.
//!
//! On CUDA, Burn pads the rows of what it makes, so a kernel is told how far apart the rows are. What the kernels make is dense.

use burn::tensor::{DType, Shape};
use burn_cubecl::{
    CubeRuntime, kernel::into_contiguous, ops::numeric::empty_device_contiguous_dtype,
    tensor::CubeTensor,
};
use cubecl::{prelude::*, std::tensor::is_contiguous_pitched};

/// Units of a cube.
pub(super) const UNITS: usize = 256;

/// Channels that a kernel reads at once, where it can.
const VECTOR: usize = 4;

/// The same values in row-major order; rows may be padded, as CubeCL's uploads are.
pub(crate) fn row_major<R: CubeRuntime>(tensor: CubeTensor<R>) -> CubeTensor<R> {
    match is_contiguous_pitched(tensor.meta.shape(), tensor.meta.strides()) {
        true => tensor,
        false => into_contiguous(tensor),
    }
}

/// The shape of a tensor whose rank is known.
pub(super) fn dims<R: CubeRuntime, const D: usize>(tensor: &CubeTensor<R>) -> [usize; D] {
    let shape = tensor.meta.shape();
    assert_eq!(shape.num_dims(), D, "rank of {shape:?}");
    core::array::from_fn(|axis| shape[axis])
}

/// Elements from the start of a row to that of the next.
pub(crate) fn pitch<R: CubeRuntime>(tensor: &CubeTensor<R>) -> usize {
    let strides = tensor.meta.strides();
    strides.len().checked_sub(2).map_or(0, |axis| strides[axis])
}

/// A dense tensor of unknown values, where another is.
pub(crate) fn empty_like<R: CubeRuntime, const D: usize>(
    tensor: &CubeTensor<R>,
    shape: [usize; D],
    dtype: DType,
) -> CubeTensor<R> {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, Shape::from(shape), dtype)
}

/// How many elements can be read at once when all of these (lengths of rows, pitches, offsets) are multiples of it.
pub(super) fn vector_size(multiples: impl IntoIterator<Item = usize>) -> usize {
    match multiples.into_iter().all(|count| count.is_multiple_of(VECTOR)) {
        true => VECTOR,
        false => 1,
    }
}

/// Values of f32 that the device has room for in one tensor. GPUs behind wgpu may have no more than 128 MiB.
pub(super) fn room<R: CubeRuntime>(tensor: &CubeTensor<R>) -> usize {
    let bytes = tensor.client.properties().memory.max_page_size;
    usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<f32>()
}

/// The integer type that indexes all of the tensors.
pub(super) fn address_type<R: CubeRuntime>(tensors: &[&CubeTensor<R>]) -> AddressType {
    let types = tensors.iter().map(|tensor| tensor.required_address_type());
    types.max().unwrap_or_default()
}

/// How a kernel is launched.
pub(super) struct Grid {
    pub(super) count: CubeCount,
    pub(super) dim: CubeDim,
}

impl Grid {
    /// One unit for each of so many elements. There may be more.
    pub(super) fn elementwise<R: CubeRuntime>(client: &ComputeClient<R>, elements: usize) -> Self {
        Self::cubes(client, elements.div_ceil(UNITS), UNITS)
    }

    /// So many cubes of so many units, spread over the axes of the grid. There may be more cubes.
    pub(super) fn cubes<R: CubeRuntime>(
        client: &ComputeClient<R>,
        cubes: usize,
        units: usize,
    ) -> Self {
        let single = CubeDim::new_single();
        let count = cubecl::calculate_cube_count_elemwise(client, cubes, single);
        Self { count, dim: CubeDim::new_1d(units as u32) }
    }
}
