//! Layer norm over the channels, and its gradient. A few units of a cube have a row.

mod backward;
mod forward;

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    reduce::{Lanes, sum},
    rows::{UNITS, dims, pitch, row_major, vector_size},
};

pub(crate) use backward::backward;
pub(crate) use forward::forward;

/// Blocks of rows over which the gradients of weight and bias are added up.
const BLOCKS: usize = 512;

/// Vectors that a unit keeps, where a row is not too long for it.
const KEPT: usize = 8;

/// What is normalised.
pub(crate) struct LayerNorm<R: CubeRuntime> {
    /// Added to the variance.
    pub(crate) eps: f64,
    /// Weight and bias, `[channels]` each.
    pub(crate) affine: Option<[CubeTensor<R>; 2]>,
}

/// Gradients of a layer norm.
pub(crate) struct LayerNormGradients<R: CubeRuntime> {
    /// `[batch, tokens, channels]`.
    pub(crate) input: CubeTensor<R>,
    /// Of weight and bias for each block of rows, `[blocks, channels]` in f32.
    pub(crate) affine: Option<[CubeTensor<R>; 2]>,
}

/// How the units of a cube share rows: `width` of them have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Layout {
    /// Vectors of a row.
    vectors: usize,
    width: usize,
    affine: bool,
}

impl Layout {
    fn new(vectors: usize, affine: bool) -> Self {
        let width = vectors.div_ceil(KEPT).next_power_of_two();
        let width = width.max(vectors.next_power_of_two().min(32)).min(UNITS);
        Self { vectors, width, affine }
    }

    /// Rows that a cube has at once.
    fn rows(self) -> usize {
        UNITS / self.width
    }

    /// Vectors that a unit keeps.
    fn kept(self) -> usize {
        self.vectors.div_ceil(self.width)
    }

    fn row(self) -> Lanes {
        Lanes::neighbours(self.width)
    }

    fn column(self) -> Lanes {
        Lanes { lanes: self.rows(), stride: self.width }
    }
}

#[derive(CubeLaunch, CubeType)]
struct Geometry {
    rows: usize,
    pitch: usize,
    grad_pitch: usize,
    /// Rows of a block, in steps of as many as a cube has at once.
    steps: usize,
    /// Elements of a row.
    count: f32,
    eps: f32,
}

/// What a unit has of a row, 0 beyond it.
#[cube]
fn read<F: Float, N: Size>(
    rows: &Tensor<Vector<F, N>>,
    start: usize,
    inside: bool,
    #[comptime] layout: Layout,
) -> Array<Vector<f32, N>> {
    let lane = UNIT_POS as usize % comptime!(layout.width);
    let mut kept = Array::<Vector<f32, N>>::new(comptime!(layout.kept()));
    #[unroll]
    for index in 0..comptime!(layout.kept()) {
        let column = lane + comptime!(index * layout.width);
        let mut value = Vector::<f32, N>::new(0.0f32);
        if inside && column < comptime!(layout.vectors) {
            value = Vector::<f32, N>::cast_from(rows[start + column]);
        }
        kept[index] = value;
    }
    kept
}

/// Turns what a unit has of a row into its normalised values; 1 / standard deviation.
#[cube]
fn normalise<N: Size>(
    shared: &mut SharedMemory<Vector<f32, N>>,
    kept: &mut Array<Vector<f32, N>>,
    geometry: &Geometry,
    #[comptime] layout: Layout,
) -> Vector<f32, N> {
    let lane = UNIT_POS as usize % comptime!(layout.width);
    let row = comptime!(layout.row());
    let mut total = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for index in 0..comptime!(layout.kept()) {
        total += kept[index];
    }
    let mean = sum::<N>(shared, total, lane, row) / geometry.count;
    let mean = Vector::<f32, N>::new(mean);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for index in 0..comptime!(layout.kept()) {
        if lane + comptime!(index * layout.width) < comptime!(layout.vectors) {
            let centred = kept[index] - mean;
            squares += centred * centred;
        }
    }
    let variance = sum::<N>(shared, squares, lane, row) / geometry.count;
    let rate = Vector::<f32, N>::new(1.0f32 / (variance + geometry.eps).sqrt());
    #[unroll]
    for index in 0..comptime!(layout.kept()) {
        let normal = (kept[index] - mean) * rate;
        kept[index] = normal;
    }
    rate
}

/// What both launches are given.
struct Launch<R: CubeRuntime> {
    input: CubeTensor<R>,
    /// The input where there is no affine, and not read.
    weight: CubeTensor<R>,
    bias: CubeTensor<R>,
    vector: usize,
    rows: usize,
    geometry: GeometryLaunch<R>,
    layout: Layout,
    /// Cubes of the backward pass.
    blocks: usize,
}

impl<R: CubeRuntime> Launch<R> {
    fn new(input: CubeTensor<R>, options: LayerNorm<R>, grad: Option<&CubeTensor<R>>) -> Self {
        let input = row_major(input);
        let [batch, tokens, channels] = dims(&input);
        let rows = batch * tokens;
        let pitches = [pitch(&input), grad.map_or(0, pitch)];
        let vector = vector_size([channels, pitches[0], pitches[1]]);
        let layout = Layout::new(channels / vector, options.affine.is_some());
        let cubes = rows.div_ceil(layout.rows());
        let steps = cubes.div_ceil(BLOCKS).max(1);
        let geometry = GeometryLaunch::new(
            rows,
            pitches[0] / vector,
            pitches[1] / vector,
            steps,
            channels as f32,
            options.eps as f32,
        );
        let affine = options.affine.map(|affine| affine.map(row_major));
        let [weight, bias] = affine.unwrap_or_else(|| [input.clone(), input.clone()]);
        let blocks = cubes.div_ceil(steps);
        Self { input, weight, bias, vector, rows, geometry, layout, blocks }
    }
}
