//! Some tiles of a convolution, from their inputs to their outputs.

use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::{
    super::{
        convolution::Convolution,
        memory::Output,
        register_tile::{Begin, ROWS, Run, tile},
        simd::WIDEST,
    },
    OUT, Winograd,
    transforms::{POINTS, SIDE, input_tile, output_tile},
};

/// Some tiles.
pub(super) struct Block<'a> {
    pub(super) winograd: &'a Winograd<'a>,
    /// Transformed, of these panels.
    pub(super) weights: &'a [f32],
    pub(super) panels: Range<usize>,
    pub(super) tiles: Range<usize>,
    pub(super) target: Output<'a>,
}

/// With the memory that it needs.
pub(super) struct Work<'a> {
    pub(super) block: Block<'a>,
    pub(super) scratch: &'a mut [f32],
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { block, scratch } = self;
        let convolution = block.winograd.convolution;
        let channels = convolution.image.channels();
        let rows = block.tiles.len().next_multiple_of(ROWS);
        let (inputs, products) = scratch.split_at_mut(POINTS * rows * channels);
        block.transform_inputs(simd, inputs, rows);
        let mut first = 0;
        for panel in block.panels.clone() {
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
        let [rows, columns] = self.winograd.tiles();
        let (sample, tile) = (tile / (rows * columns), tile % (rows * columns));
        (sample, [tile / columns * OUT, tile % columns * OUT])
    }

    /// `[36, tiles, channels]`.
    #[inline(always)]
    fn transform_inputs<S: Simd>(&self, simd: S, inputs: &mut [f32], rows: usize) {
        let Convolution { image, options, .. } = self.winograd.convolution;
        let channels = image.channels();
        let zeros = vec![0.0; channels];
        for (row, index) in self.tiles.clone().enumerate() {
            let (sample, [top, left]) = self.corner(index);
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
        let channels = self.winograd.convolution.image.channels();
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
                unsafe { tile(simd, &run, &[pointers], right, width, place) };
            }
        }
    }

    #[inline(always)]
    fn transform_outputs<S: Simd>(&self, simd: S, products: &[f32], panel: usize, rows: usize) {
        let Convolution { size, weight, tail, .. } = self.winograd.convolution;
        let (width, column) = (weight.width(panel), panel * weight.full_width());
        let columns = width.min(weight.columns() - column);
        let mut scratch = [0.0; OUT * OUT * WIDEST];
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
