//! An epilogue in one launch.

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::{prelude::*, std::FastDivmod};

use super::{
    super::{
        activation::activate,
        rows::{Grid, address_type, dims, empty_like, pitch, row_major, vector_size},
    },
    Tail, View,
};
use crate::{Activation, Gate};

/// What of an epilogue there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Parts {
    bias: bool,
    add: bool,
    mul: bool,
    residual: bool,
    activation: Option<Activation>,
    paired: bool,
}

/// Lengths and places, in vectors.
#[derive(CubeLaunch, CubeType)]
struct Geometry {
    /// Of the output.
    total: usize,
    vectors: FastDivmod<usize>,
    positions: FastDivmod<usize>,
    /// From a value to its gate.
    half: usize,
    pitch: usize,
    add_offset: usize,
    add_pitch: usize,
    mul_offset: usize,
    mul_pitch: usize,
    residual_pitch: usize,
    scale: f32,
    output_scale: f32,
}

/// The product with bias and summand of its sample.
#[cube]
fn shifted<P: Float, F: Float, N: Size>(
    product: Vector<P, N>,
    bias: &Tensor<Vector<F, N>>,
    add: &Tensor<Vector<F, N>>,
    channel: usize,
    add_start: usize,
    #[comptime] parts: Parts,
) -> Vector<f32, N> {
    let mut x = Vector::<f32, N>::cast_from(product);
    if comptime!(parts.bias) {
        x += Vector::<f32, N>::cast_from(bias[channel]);
    }
    if comptime!(parts.add) {
        x += Vector::<f32, N>::cast_from(add[add_start + channel]);
    }
    x
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward_kernel<P: Float, F: Float, O: Float, N: Size>(
    input: &Tensor<Vector<P, N>>,
    bias: &Tensor<Vector<F, N>>,
    add: &Tensor<Vector<F, N>>,
    mul: &Tensor<Vector<F, N>>,
    residual: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<O, N>>,
    geometry: Geometry,
    #[comptime] parts: Parts,
    #[define(P, F, O)] _dtypes: [StorageType; 3],
) {
    if ABSOLUTE_POS >= geometry.total {
        terminate!();
    }
    let (row, channel) = geometry.vectors.div_mod(ABSOLUTE_POS);
    let sample = geometry.positions.div(row);
    let start = row * geometry.pitch;
    let add_start = sample * geometry.add_pitch + geometry.add_offset;

    let x = shifted::<P, F, N>(input[start + channel], bias, add, channel, add_start, parts);
    let mut y = match comptime!(parts.paired) {
        true => {
            let channel = channel + geometry.half;
            let product = input[start + channel];
            let gate = shifted::<P, F, N>(product, bias, add, channel, add_start, parts);
            x * activate::<N>(gate, comptime!(parts.activation))
        }
        false => activate::<N>(x, comptime!(parts.activation)),
    };
    if comptime!(parts.mul) {
        let place = sample * geometry.mul_pitch + geometry.mul_offset + channel;
        y *= Vector::<f32, N>::cast_from(mul[place]);
    }
    y *= Vector::<f32, N>::new(geometry.scale);
    if comptime!(parts.residual) {
        let place = row * geometry.residual_pitch + channel;
        y += Vector::<f32, N>::cast_from(residual[place]);
    }
    y *= Vector::<f32, N>::new(geometry.output_scale);
    output[ABSOLUTE_POS] = Vector::cast_from(y);
}

/// Row-major tensors for all that an epilogue may read. The input takes the place of what there is not, which is not read.
struct Operands<R: CubeRuntime> {
    bias: CubeTensor<R>,
    add: View<R>,
    mul: View<R>,
    residual: CubeTensor<R>,
    /// Of those that are there.
    dtype: DType,
}

impl<R: CubeRuntime> Operands<R> {
    fn new(input: &CubeTensor<R>, tail: Tail<R>) -> Self {
        let given = [
            tail.bias.as_ref(),
            tail.channel_add.as_ref().map(|view| &view.projection),
            tail.channel_mul.as_ref().map(|view| &view.projection),
            tail.residual.as_ref(),
        ];
        let dtype = given.into_iter().flatten().next().unwrap_or(input).dtype;
        let or_input =
            |tensor: Option<CubeTensor<R>>| tensor.map_or_else(|| input.clone(), row_major);
        let view = |view: Option<View<R>>| View {
            offset: view.as_ref().map_or(0, |view| view.offset),
            projection: or_input(view.map(|view| view.projection)),
        };
        Self {
            bias: or_input(tail.bias),
            add: view(tail.channel_add),
            mul: view(tail.channel_mul),
            residual: or_input(tail.residual),
            dtype,
        }
    }

    /// How many elements can be read at once of rows of so many, and where.
    fn geometry(
        &self,
        input: &CubeTensor<R>,
        scales: [f64; 2],
        [rows, out, positions]: [usize; 3],
    ) -> (usize, usize, GeometryLaunch<R>) {
        let Self { add, mul, .. } = self;
        let tensors = [input, &add.projection, &mul.projection, &self.residual];
        let pitches = tensors.map(pitch);
        let vector = vector_size([out, add.offset, mul.offset].into_iter().chain(pitches));
        let [input_pitch, add_pitch, mul_pitch, residual_pitch] =
            pitches.map(|pitch| pitch / vector);
        let total = rows * (out / vector);
        let geometry = GeometryLaunch::new(
            total,
            out / vector,
            positions,
            out / vector,
            input_pitch,
            add.offset / vector,
            add_pitch,
            mul.offset / vector,
            mul_pitch,
            residual_pitch,
            scales[0] as f32,
            scales[1] as f32,
        );
        (vector, total, geometry)
    }
}

/// Applies an epilogue; the output is of `dtype`.
///
/// # Shapes
/// - input: `[batch, positions, channels]`
/// - output: the same, or half of the channels with a gated pair
pub(crate) fn forward<R: CubeRuntime>(
    input: CubeTensor<R>,
    tail: Tail<R>,
    dtype: DType,
) -> CubeTensor<R> {
    let input = row_major(input);
    let [batch, positions, channels] = dims(&input);
    let parts = Parts {
        bias: tail.bias.is_some(),
        add: tail.channel_add.is_some(),
        mul: tail.channel_mul.is_some(),
        residual: tail.residual.is_some(),
        activation: tail.activation,
        paired: tail.gate == Gate::Pair,
    };
    let out = if parts.paired { channels / 2 } else { channels };
    let output = empty_like(&input, [batch, positions, out], dtype);
    if output.meta.num_elements() == 0 {
        return output;
    }
    let scales = [tail.scale, tail.output_scale];
    let operands = Operands::new(&input, tail);
    let (vector, total, geometry) =
        operands.geometry(&input, scales, [batch * positions, out, positions]);
    let dtypes = [input.dtype, operands.dtype, dtype].map(Into::into);
    let grid = Grid::elementwise(&input.client, total);
    let Operands { bias, add, mul, residual, .. } = operands;
    // SAFETY: a unit writes an element of the output, and reads inside of the tensors.
    unsafe {
        forward_kernel::launch_unchecked(
            &output.client,
            grid.count,
            grid.dim,
            address_type(&[&input, &output, &add.projection, &mul.projection, &residual]),
            vector,
            input.into_tensor_arg(),
            bias.into_tensor_arg(),
            add.projection.into_tensor_arg(),
            mul.projection.into_tensor_arg(),
            residual.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            geometry,
            parts,
            dtypes,
        );
    }
    output
}
