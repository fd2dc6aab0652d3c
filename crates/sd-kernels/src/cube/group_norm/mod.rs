//! Group norm, and its gradient. A cube has one group of one sample.

mod backward;
mod forward;

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    reduce::{Lanes, sum},
    rows::{Grid, UNITS, dims, pitch, row_major, vector_size},
};
use crate::Activation;

pub(crate) use backward::backward;
pub(crate) use forward::forward;

/// Elements of a group from which on a cube has as many units as the device gives it.
const LARGE: usize = 1 << 16;

/// What is normalised, and what happens to it then.
pub(crate) struct GroupNorm<R: CubeRuntime> {
    /// Number of groups; divides the channels.
    pub(crate) groups: usize,
    /// Added to the variance.
    pub(crate) eps: f64,
    /// Weight and bias, `[channels]` each.
    pub(crate) affine: Option<[CubeTensor<R>; 2]>,
    /// Applied last.
    pub(crate) activation: Option<Activation>,
}

/// Gradients of a group norm.
pub(crate) struct GroupNormGradients<R: CubeRuntime> {
    /// `[batch, height, width, channels]`.
    pub(crate) input: CubeTensor<R>,
    /// Of weight and bias for each sample, `[batch, channels]` in f32.
    pub(crate) affine: Option<[CubeTensor<R>; 2]>,
}

/// How the units of a cube share a group: `width` of them have neighbouring channels, `lanes` of them different pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Layout {
    units: usize,
    /// Vectors of a group in a pixel.
    vectors: usize,
    width: usize,
    lanes: usize,
    /// Times `width` covers `vectors`.
    chunks: usize,
    affine: bool,
    activation: Option<Activation>,
}

impl Layout {
    fn all(self) -> Lanes {
        Lanes::neighbours(self.units)
    }

    fn pixels(self) -> Lanes {
        Lanes { lanes: self.lanes, stride: self.width }
    }
}

#[derive(CubeLaunch, CubeType)]
struct Geometry {
    /// Samples times groups.
    cubes: usize,
    groups: usize,
    pixels: usize,
    pitch: usize,
    grad_pitch: usize,
    /// Elements of a group.
    count: f32,
    eps: f32,
}

/// What a unit reads.
#[derive(CubeType, Clone, Copy)]
struct Place {
    group: usize,
    first_pixel: usize,
    pixels: usize,
    lane: usize,
    column: usize,
}

#[cube]
fn place(geometry: &Geometry, #[comptime] layout: Layout) -> Place {
    let unit = UNIT_POS as usize;
    Place {
        group: CUBE_POS % geometry.groups,
        first_pixel: CUBE_POS / geometry.groups * geometry.pixels,
        pixels: geometry.pixels,
        lane: unit / comptime!(layout.width),
        column: unit % comptime!(layout.width),
    }
}

/// Σ (x - centre), or of its squares, over what this unit reads.
#[cube]
fn moment<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    place: Place,
    pitch: usize,
    centre: f32,
    #[comptime] squared: bool,
    #[comptime] layout: Layout,
) -> Vector<f32, N> {
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if place.lane < comptime!(layout.lanes) {
        for chunk in 0..comptime!(layout.chunks) {
            let column = chunk * comptime!(layout.width) + place.column;
            if column < comptime!(layout.vectors) {
                let offset = place.group * comptime!(layout.vectors) + column;
                for pixel in range_stepped(place.lane, place.pixels, comptime!(layout.lanes)) {
                    let x = input[(place.first_pixel + pixel) * pitch + offset];
                    let x = Vector::<f32, N>::cast_from(x) - Vector::<f32, N>::new(centre);
                    sum += match comptime!(squared) {
                        true => x * x,
                        false => x,
                    };
                }
            }
        }
    }
    sum
}

/// Mean and 1 / standard deviation of the group.
#[cube]
fn statistics<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    shared: &mut SharedMemory<Vector<f32, N>>,
    place: Place,
    geometry: &Geometry,
    #[comptime] layout: Layout,
) -> (f32, f32) {
    let unit = UNIT_POS as usize;
    let all = comptime!(layout.all());
    let values = moment::<F, N>(input, place, geometry.pitch, 0.0f32, false, layout);
    let mean = sum::<N>(shared, values, unit, all) / geometry.count;
    let squares = moment::<F, N>(input, place, geometry.pitch, mean, true, layout);
    let variance = sum::<N>(shared, squares, unit, all) / geometry.count;
    (mean, 1.0f32 / (variance + geometry.eps).sqrt())
}

/// Weight and bias of a vector of channels.
#[cube]
fn affine_at<F: Float, N: Size>(
    weight: &Tensor<Vector<F, N>>,
    bias: &Tensor<Vector<F, N>>,
    channel: usize,
    #[comptime] layout: Layout,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let mut factor = Vector::<f32, N>::new(1.0f32);
    let mut summand = Vector::<f32, N>::new(0.0f32);
    if comptime!(layout.affine) {
        factor = Vector::<f32, N>::cast_from(weight[channel]);
        summand = Vector::<f32, N>::cast_from(bias[channel]);
    }
    (factor, summand)
}

/// What both launches are given.
struct Launch<R: CubeRuntime> {
    input: CubeTensor<R>,
    /// The input where there is no affine, and not read.
    weight: CubeTensor<R>,
    bias: CubeTensor<R>,
    grid: Grid,
    vector: usize,
    geometry: GeometryLaunch<R>,
    layout: Layout,
}

impl<R: CubeRuntime> Launch<R> {
    fn new(input: CubeTensor<R>, options: GroupNorm<R>, grad: Option<&CubeTensor<R>>) -> Self {
        let input = row_major(input);
        let [batch, height, width, channels] = dims(&input);
        let (pixels, depth) = (height * width, channels / options.groups);
        let pitches = [pitch(&input), grad.map_or(0, pitch)];
        let vector = vector_size([depth, pitches[0], pitches[1]]);
        let vectors = depth / vector;

        let hardware = &input.client.properties().hardware;
        let units = match pixels * vectors >= LARGE {
            true => (hardware.max_units_per_cube as usize).clamp(UNITS, 1024),
            false => UNITS,
        };
        let across = vectors.clamp(1, units);
        let layout = Layout {
            units,
            vectors,
            width: across,
            lanes: units / across,
            chunks: vectors.div_ceil(across),
            affine: options.affine.is_some(),
            activation: options.activation,
        };
        let cubes = batch * options.groups;
        let geometry = GeometryLaunch::new(
            cubes,
            options.groups,
            pixels,
            pitches[0] / vector,
            pitches[1] / vector,
            (pixels * depth) as f32,
            options.eps as f32,
        );
        let affine = options.affine.map(|affine| affine.map(row_major));
        let [weight, bias] = affine.unwrap_or_else(|| [input.clone(), input.clone()]);
        let grid = Grid::cubes(&input.client, cubes, units);
        Self { input, weight, bias, grid, vector, geometry, layout }
    }
}
