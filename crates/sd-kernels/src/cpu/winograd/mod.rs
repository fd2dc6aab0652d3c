//! 3×3 convolutions by Winograd's minimal filtering, F(4×4, 3×3) (<https://arxiv.org/abs/1509.09308>): tiles of 4×4 outputs
//! from 6×6 inputs by 36 products instead of 144.
//!
//! The weights are transformed for each call. That pays for images of some thousand pixels, and no second copy of the
//! weights stays in memory.

mod transforms;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    Panels, Tail,
    convolution::Image,
    memory::{Output, fresh, with_scratch},
    micro::{self, Begin, ROWS, Run},
    simd::{Registers, dispatch},
};
use crate::{Conv2dOptions, Gate};
use transforms::{POINTS, SIDE, input_tile, output_tile, weight_rows};

/// Output pixels from which on it pays.
const LEAST_PIXELS: usize = 2048;
/// Channels from which on the products outweigh the transforms.
const LEAST_CHANNELS: usize = 32;
/// Bytes that transformed weights may take: 64 MiB.
const MOST_WEIGHTS: usize = 1 << 26;
/// Tiles of a block at most: their transforms are read from the third cache, and the weights once for all of them.
const BLOCK: usize = 8 * ROWS;
/// Side of a tile of outputs.
const OUT: usize = 4;
/// Columns of the widest panel of any machine.
const MOST: usize = 64;

/// A convolution that is done this way.
#[derive(Debug)]
pub(super) struct Winograd<'a> {
    image: &'a Image<'a>,
    options: Conv2dOptions,
    size: [usize; 2],
    weight: &'a Panels,
    tail: &'a Tail<'a>,
}

impl<'a> Winograd<'a> {
    /// If this is the way for a convolution.
    pub(super) fn new(
        image: &'a Image<'a>,
        kernel: [usize; 2],
        options: Conv2dOptions,
        size: [usize; 2],
        weight: &'a Panels,
        tail: &'a Tail<'a>,
    ) -> Option<Self> {
        let channels = image.channels();
        let lanes = Registers::here().lanes;
        let fits = kernel == [3, 3]
            && options.stride == 1
            && tail.gate == Gate::None
            && image.batch * size[0] * size[1] >= LEAST_PIXELS
            && size.iter().all(|side| *side >= 2 * OUT)
            && channels.min(weight.columns()) >= LEAST_CHANNELS
            && image.parts.iter().all(|(_, channels)| channels.is_multiple_of(lanes))
            && POINTS * channels * weight.columns() * size_of::<f32>() <= MOST_WEIGHTS;
        fits.then_some(Self { image, options, size, weight, tail })
    }

    /// Tiles of a sample: rows and columns.
    fn tiles(&self) -> [usize; 2] {
        self.size.map(|side| side.div_ceil(OUT))
    }

    /// `[batch · height · width, out]`.
    pub(super) fn run(&self) -> Vec<f32> {
        let tiles = self.image.batch * self.tiles().iter().product::<usize>();
        let threads = rayon::current_num_threads();
        // As many blocks for each thread.
        let blocks = tiles.div_ceil(BLOCK).next_multiple_of(threads);
        let block = tiles.div_ceil(blocks).next_multiple_of(ROWS);
        let channels = self.image.channels();
        let weights = self.weights();
        let fill = |target: Output<'_>| {
            (0..tiles.div_ceil(block)).into_par_iter().for_each(|index| {
                let first = index * block;
                let tiles = first..tiles.min(first + block);
                let rows = tiles.len().next_multiple_of(ROWS);
                with_scratch(POINTS * rows * (channels + MOST), |scratch| {
                    let block = Block { convolution: self, weights: &weights, tiles, target };
                    dispatch(Work { block, scratch });
                });
            });
        };
        // SAFETY: the blocks have all tiles between them, and the tiles all pixels.
        unsafe { fresh(self.image.batch * self.size[0] * self.size[1] * self.tail.out(), fill) }
    }

    /// The transformed weights, panel by panel: `[36, channels, width of the panel]`.
    fn weights(&self) -> Vec<f32> {
        let channels = self.image.channels();
        let panels = self.weight.count();
        let length = (0..panels).map(|panel| self.weight.width(panel)).sum::<usize>();
        let full = self.weight.full_width() * POINTS * channels;
        let fill = |target: Output<'_>| {
            (0..panels * channels).into_par_iter().for_each(|index| {
                let (panel, channel) = (index / channels, index % channels);
                let width = self.weight.width(panel);
                let values = self.weight.values(panel);
                let mut scratch = [0.0; POINTS * MOST];
                let scratch = &mut scratch[..POINTS * width];
                let rows = Weights { values, channels, channel, width, scratch };
                dispatch(rows);
                for (point, row) in scratch.chunks(width).enumerate() {
                    // SAFETY: this task alone has this channel of this panel.
                    unsafe {
                        target.write(panel * full + (point * channels + channel) * width, row);
                    }
                }
            });
        };
        // SAFETY: the tasks have all channels of all panels between them.
        unsafe { fresh(length * POINTS * channels, fill) }
    }
}

/// One channel of a panel of weights.
struct Weights<'a> {
    values: &'a [f32],
    channels: usize,
    channel: usize,
    width: usize,
    scratch: &'a mut [f32],
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { values, channels, channel, width, scratch } = self;
        let taps: [&[f32]; 9] =
            core::array::from_fn(|tap| &values[(tap * channels + channel) * width..][..width]);
        weight_rows(simd, taps, width, scratch);
    }
}

/// Some tiles.
struct Block<'a> {
    convolution: &'a Winograd<'a>,
    weights: &'a [f32],
    tiles: core::ops::Range<usize>,
    target: Output<'a>,
}

struct Work<'a> {
    block: Block<'a>,
    scratch: &'a mut [f32],
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { block, scratch } = self;
        let convolution = block.convolution;
        let channels = convolution.image.channels();
        let rows = block.tiles.len().next_multiple_of(ROWS);
        let (inputs, products) = scratch.split_at_mut(POINTS * rows * channels);
        block.transform_inputs(simd, inputs, rows);
        let mut first = 0;
        for panel in 0..convolution.weight.count() {
            let width = convolution.weight.width(panel);
            let length = POINTS * channels * width;
            block.multiply(simd, inputs, &block.weights[first..][..length], products, width);
            block.transform_outputs(simd, products, panel, rows);
            first += length;
        }
    }
}

impl Block<'_> {
    /// Sample and upper left output pixel of a tile.
    #[inline(always)]
    fn corner(&self, tile: usize) -> (usize, [usize; 2]) {
        let [rows, columns] = self.convolution.tiles();
        let (sample, tile) = (tile / (rows * columns), tile % (rows * columns));
        (sample, [tile / columns * OUT, tile % columns * OUT])
    }

    /// `[36, tiles, channels]`.
    #[inline(always)]
    fn transform_inputs<S: Simd>(&self, simd: S, inputs: &mut [f32], rows: usize) {
        let Winograd { image, options, .. } = self.convolution;
        let channels = image.channels();
        let zeros = vec![0.0; channels];
        for (row, tile) in self.tiles.clone().enumerate() {
            let (sample, [top, left]) = self.corner(tile);
            let mut places = [None; POINTS];
            for (point, place) in places.iter_mut().enumerate() {
                let y = (top + point / SIDE).checked_sub(options.padding.top);
                let x = (left + point % SIDE).checked_sub(options.padding.left);
                let y = y.filter(|y| *y < image.size[0]);
                let x = x.filter(|x| *x < image.size[1]);
                *place = y.zip(x).map(|(y, x)| image.stored_pixel(sample, [y, x]));
            }
            let mut first = 0;
            for (values, count) in &image.parts {
                let mut pixels = [&zeros[..*count]; POINTS];
                for (pixel, place) in pixels.iter_mut().zip(places) {
                    if let Some(place) = place {
                        *pixel = &values[place * count..][..*count];
                    }
                }
                let stride = rows * channels;
                input_tile(simd, pixels, &mut inputs[row * channels + first..], stride);
                first += count;
            }
        }
    }

    /// `[36, tiles, width]`.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        inputs: &[f32],
        weights: &[f32],
        products: &mut [f32],
        width: usize,
    ) {
        let channels = self.convolution.image.channels();
        let rows = self.tiles.len().next_multiple_of(ROWS);
        let run = [Run { source: 0, offset: 0, length: channels }];
        for point in 0..POINTS {
            let weights = &weights[point * channels * width..][..channels * width];
            for first in (0..rows).step_by(ROWS) {
                let mut pointers = [core::ptr::null(); ROWS];
                for (row, pointer) in pointers.iter_mut().enumerate() {
                    let row = (point * rows + first + row) * channels;
                    *pointer = inputs[row..][..channels].as_ptr();
                }
                let place = &mut products[(point * rows + first) * width..][..ROWS * width];
                let place = (place.as_mut_ptr(), width, Begin::Zero);
                let right = (weights.as_ptr(), weights.as_ptr());
                // SAFETY: each row has the channels, the panel has that depth, the products have the whole tile.
                unsafe { micro::tile(simd, &run, &[pointers], right, width, place) };
            }
        }
    }

    #[inline(always)]
    fn transform_outputs<S: Simd>(&self, simd: S, products: &[f32], panel: usize, rows: usize) {
        let Winograd { size, weight, tail, .. } = self.convolution;
        let (width, column) = (weight.width(panel), panel * weight.full_width());
        let columns = width.min(weight.columns() - column);
        let mut scratch = [0.0; OUT * OUT * MOST];
        for (row, tile) in self.tiles.clone().enumerate() {
            output_tile(simd, &products[row * width..], rows * width, width, &mut scratch);
            let (sample, [top, left]) = self.corner(tile);
            for (pixel, values) in scratch.chunks_mut(width).take(OUT * OUT).enumerate() {
                let (y, x) = (top + pixel / OUT, left + pixel % OUT);
                if y < size[0] && x < size[1] {
                    let row = (sample * size[0] + y) * size[1] + x;
                    let values = &mut values[..columns];
                    tail.finish(values, row, column);
                    // SAFETY: this block alone has this pixel.
                    unsafe { self.target.write(row * weight.columns() + column, values) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Padding, cpu::convolution};

    fn values(count: usize, factor: usize) -> Vec<f32> {
        let value = |index: usize| ((index * factor) % 1009) as f32 / 504.5 - 1.0;
        (0..count).map(value).collect()
    }

    /// Within the suite's tolerance: odd sizes, padding on one side, two parts, and a view that is upsampled.
    #[test]
    fn it_is_the_direct_convolution() {
        let cases = [
            ([37, 61], [37, 61], Padding::same(1), vec![32, 16]),
            ([24, 24], [48, 48], Padding::same(1), vec![48]),
            ([48, 47], [48, 47], Padding::end(1), vec![64]),
            ([50, 50], [50, 50], Padding::default(), vec![32]),
        ];
        for (stored, size, padding, widths) in cases {
            let channels: usize = widths.iter().sum();
            let parts: Vec<(Vec<f32>, usize)> = (widths.iter().enumerate())
                .map(|(part, width)| (values(2 * stored[0] * stored[1] * width, 31 + part), *width))
                .collect();
            let parts = parts.iter().map(|(values, width)| (&values[..], *width)).collect();
            let image = Image { parts, batch: 2, stored, size };
            let options = Conv2dOptions { stride: 1, padding };
            let out = options.output_size(size, [3, 3]).unwrap();
            for columns in [40, 64, 130] {
                let weight =
                    Panels::of_weight(&values(columns * 9 * channels, 67), columns, 9 * channels);
                let bias = values(columns, 5);
                let tail = Tail { bias: Some(&bias), ..Tail::none(columns) };
                let fast = Winograd::new(&image, [3, 3], options, out, &weight, &tail).unwrap();
                let found = fast.run();
                let expected =
                    convolution::direct(image.clone(), &weight, [3, 3], options, out, &tail);
                let most = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() <= 2e-5 * most, "{found} and {expected}");
                }
                assert_eq!(found.len(), expected.len());
            }
        }
    }
}
