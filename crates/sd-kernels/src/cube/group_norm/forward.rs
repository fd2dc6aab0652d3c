//! Group norm, affine and activation.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    super::{
        activation::activate,
        rows::{address_type, dims, empty_like},
    },
    Geometry, GroupNorm, Launch, Layout, affine_at, place, statistics,
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
    if CUBE_POS >= geometry.cubes {
        terminate!();
    }
    let mut shared = SharedMemory::<Vector<f32, N>>::new(comptime!(layout.units));
    let place = place(&geometry, layout);
    let (mean, rate) = statistics::<F, N>(input, &mut shared, place, &geometry, layout);
    let mean = Vector::<f32, N>::new(mean);
    let rate = Vector::<f32, N>::new(rate);
    let dense = geometry.groups * comptime!(layout.vectors);
    if place.lane < comptime!(layout.lanes) {
        for chunk in 0..comptime!(layout.chunks) {
            let column = chunk * comptime!(layout.width) + place.column;
            if column < comptime!(layout.vectors) {
                let channel = place.group * comptime!(layout.vectors) + column;
                let (factor, summand) = affine_at::<F, N>(weight, bias, channel, layout);
                for pixel in range_stepped(place.lane, place.pixels, comptime!(layout.lanes)) {
                    let pixel = place.first_pixel + pixel;
                    let x = Vector::<f32, N>::cast_from(input[pixel * geometry.pitch + channel]);
                    let y = (x - mean) * rate * factor + summand;
                    let y = activate::<N>(y, comptime!(layout.activation));
                    output[pixel * dense + channel] = Vector::cast_from(y);
                }
            }
        }
    }
}

/// Group norm, affine and activation.
///
/// # Shapes
/// - input, output: `[batch, height, width, channels]`
pub(crate) fn forward<R: CubeRuntime>(
    input: CubeTensor<R>,
    options: GroupNorm<R>,
) -> CubeTensor<R> {
    let launch = Launch::new(input, options, None);
    let shape: [usize; 4] = dims(&launch.input);
    let output = empty_like(&launch.input, shape, launch.input.dtype);
    if output.meta.num_elements() == 0 {
        return output;
    }
    // SAFETY: a unit reads inside of the tensors, and writes elements of its own.
    unsafe {
        forward_kernel::launch_unchecked(
            &output.client,
            launch.grid.count,
            launch.grid.dim,
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
