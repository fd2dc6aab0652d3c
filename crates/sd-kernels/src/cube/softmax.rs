//! Softmax of attention's scores, and its gradient. A few units of a cube have a row.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    reduce::{Fold, Lanes, fold_lanes, fold_vector, sum},
    rows::{Grid, UNITS, address_type, dims, empty_like, pitch, row_major, vector_size},
};

/// The keys that a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    /// All.
    All,
    /// Those at or before its own position.
    NotLater,
}

/// Vectors that a unit reads of a row, where a row is not too long for it.
const READ: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Layout {
    /// Units that have a row.
    width: usize,
    seen: Seen,
}

impl Layout {
    fn new(vectors: usize, seen: Seen) -> Self {
        Self { width: vectors.div_ceil(READ).next_power_of_two().min(UNITS), seen }
    }

    fn rows(self) -> usize {
        UNITS / self.width
    }

    fn row(self) -> Lanes {
        Lanes::neighbours(self.width)
    }
}

#[derive(CubeLaunch, CubeType)]
struct Geometry {
    rows: usize,
    queries: usize,
    /// Vectors of a row.
    vectors: usize,
    pitch: usize,
    grad_pitch: usize,
    scale: f32,
}

/// Scaled scores, far below all others where a key is hidden.
#[cube]
fn scores<F: Float, N: Size>(
    stored: Vector<F, N>,
    column: usize,
    query: usize,
    scale: f32,
    #[comptime] layout: Layout,
) -> Vector<f32, N> {
    let mut value = Vector::<f32, N>::cast_from(stored) * Vector::<f32, N>::new(scale);
    if comptime!(layout.seen == Seen::NotLater) {
        #[unroll]
        for index in 0..N::value() {
            if column * N::value() + index > query {
                value[index] = f32::min_value();
            }
        }
    }
    value
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward_kernel<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    geometry: Geometry,
    #[comptime] layout: Layout,
    #[define(F)] _dtype: StorageType,
) {
    let width = comptime!(layout.width);
    let lane = UNIT_POS as usize % width;
    let first = CUBE_POS * comptime!(layout.rows());
    if first >= geometry.rows {
        terminate!();
    }
    let row = first + UNIT_POS as usize / width;
    let query = row % geometry.queries;
    let start = row * geometry.pitch;
    // Units beyond the last row have nothing to read.
    let mut end = geometry.vectors;
    if row >= geometry.rows {
        end = lane;
    }
    let mut shared = SharedMemory::<Vector<f32, N>>::new(UNITS);

    let mut largest = Vector::<f32, N>::new(f32::min_value());
    for column in range_stepped(lane, end, width) {
        let x = scores::<F, N>(input[start + column], column, query, geometry.scale, layout);
        largest = max(largest, x);
    }
    let lanes = comptime!(layout.row());
    let largest = fold_lanes::<N>(&mut shared, largest, lane, lanes, Fold::Max);
    let largest = Vector::<f32, N>::new(fold_vector::<N>(largest, Fold::Max));

    let mut total = Vector::<f32, N>::new(0.0f32);
    for column in range_stepped(lane, end, width) {
        let x = scores::<F, N>(input[start + column], column, query, geometry.scale, layout);
        total += (x - largest).exp();
    }
    let total = sum::<N>(&mut shared, total, lane, lanes);
    let rate = Vector::<f32, N>::new(1.0f32 / total);
    for column in range_stepped(lane, end, width) {
        let x = scores::<F, N>(input[start + column], column, query, geometry.scale, layout);
        output[row * geometry.vectors + column] = Vector::cast_from((x - largest).exp() * rate);
    }
}

/// `softmax(scale · scores)` over the keys that a query sees.
///
/// # Shapes
/// - scores, output: `[batch, heads, queries, keys]`
pub(crate) fn forward<R: CubeRuntime>(
    scores: CubeTensor<R>,
    scale: f32,
    seen: Seen,
) -> CubeTensor<R> {
    let scores = row_major(scores);
    let shape @ [batch, heads, queries, keys] = dims(&scores);
    let output = empty_like(&scores, shape, scores.dtype);
    if output.meta.num_elements() == 0 {
        return output;
    }
    let pitch = pitch(&scores);
    let vector = vector_size([keys, pitch]);
    let (rows, vectors) = (batch * heads * queries, keys / vector);
    let layout = Layout::new(vectors, seen);
    let grid = Grid::cubes(&scores.client, rows.div_ceil(layout.rows()), UNITS);
    let geometry = GeometryLaunch::new(rows, queries, vectors, pitch / vector, 0, scale);
    // SAFETY: a unit reads inside of the scores, and writes elements of its own.
    unsafe {
        forward_kernel::launch_unchecked(
            &output.client,
            grid.count,
            grid.dim,
            address_type(&[&scores, &output]),
            vector,
            scores.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            geometry,
            layout,
            output.dtype.into(),
        );
    }
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn backward_kernel<F: Float, N: Size>(
    probabilities: &Tensor<Vector<F, N>>,
    grad: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    geometry: Geometry,
    #[comptime] layout: Layout,
    #[define(F)] _dtype: StorageType,
) {
    let width = comptime!(layout.width);
    let lane = UNIT_POS as usize % width;
    let first = CUBE_POS * comptime!(layout.rows());
    if first >= geometry.rows {
        terminate!();
    }
    let row = first + UNIT_POS as usize / width;
    let mut end = geometry.vectors;
    if row >= geometry.rows {
        end = lane;
    }
    let mut shared = SharedMemory::<Vector<f32, N>>::new(UNITS);
    let mut total = Vector::<f32, N>::new(0.0f32);
    for column in range_stepped(lane, end, width) {
        let p = Vector::<f32, N>::cast_from(probabilities[row * geometry.pitch + column]);
        total += p * Vector::<f32, N>::cast_from(grad[row * geometry.grad_pitch + column]);
    }
    let total = sum::<N>(&mut shared, total, lane, comptime!(layout.row()));
    let total = Vector::<f32, N>::new(total);
    let scale = Vector::<f32, N>::new(geometry.scale);
    for column in range_stepped(lane, end, width) {
        let p = Vector::<f32, N>::cast_from(probabilities[row * geometry.pitch + column]);
        let grad = Vector::<f32, N>::cast_from(grad[row * geometry.grad_pitch + column]);
        let value = scale * p * (grad - total);
        output[row * geometry.vectors + column] = Vector::cast_from(value);
    }
}

/// Gradient of the scores from that of the probabilities: `scale · p · (grad - Σ p · grad)`.
pub(crate) fn backward<R: CubeRuntime>(
    probabilities: CubeTensor<R>,
    grad: CubeTensor<R>,
    scale: f32,
) -> CubeTensor<R> {
    let (probabilities, grad) = (row_major(probabilities), row_major(grad));
    let shape @ [batch, heads, queries, keys] = dims(&probabilities);
    let output = empty_like(&probabilities, shape, probabilities.dtype);
    if output.meta.num_elements() == 0 {
        return output;
    }
    let pitches = [pitch(&probabilities), pitch(&grad)];
    let vector = vector_size([keys, pitches[0], pitches[1]]);
    let (rows, vectors) = (batch * heads * queries, keys / vector);
    let layout = Layout::new(vectors, Seen::All);
    let grid = Grid::cubes(&output.client, rows.div_ceil(layout.rows()), UNITS);
    let [pitch, grad_pitch] = pitches.map(|pitch| pitch / vector);
    let geometry = GeometryLaunch::new(rows, queries, vectors, pitch, grad_pitch, scale);
    // SAFETY: a unit reads inside of the tensors, and writes elements of its own.
    unsafe {
        backward_kernel::launch_unchecked(
            &output.client,
            grid.count,
            grid.dim,
            address_type(&[&probabilities, &grad, &output]),
            vector,
            probabilities.into_tensor_arg(),
            grad.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            geometry,
            layout,
            output.dtype.into(),
        );
    }
    output
}
