//! 3×3 convolutions by Winograd's minimal filtering, F(4×4, 3×3) (<https://arxiv.org/abs/1509.09308>): tiles of 4×4 outputs
//! from 6×6 inputs by 36 products instead of 144.
//!
//! The weights are transformed for each call, some of them at a time. That pays for images of some thousand pixels, and no second
//! copy of the weights stays in memory.

mod block;
mod transforms;

use core::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    convolution::Convolution,
    memory::{Output, fresh, with_scratch},
    register_tile::ROWS,
    simd::{Registers, WIDEST, dispatch},
};
use crate::Gate;
use block::{Block, Work};
use transforms::{POINTS, weight_rows};

/// Output pixels from which on it pays.
const LEAST_PIXELS: usize = 2048;
/// Channels from which on the products outweigh the transforms.
const LEAST_CHANNELS: usize = 32;
/// Transformed weights that are held at a time, if a panel is not more: 64 MiB.
const WEIGHTS: usize = 1 << 24;
/// Tiles of a block at most: their transforms are read from the third cache, and the weights once for all of them.
const BLOCK: usize = 8 * ROWS;
/// Side of a tile of outputs.
const OUT: usize = 4;
/// Places of the kernel.
const TAPS: usize = 9;

/// A convolution that is done this way.
#[derive(Debug)]
pub(super) struct Winograd<'a> {
    convolution: &'a Convolution<'a>,
}

impl<'a> Winograd<'a> {
    /// If this is the way for a convolution.
    pub(super) fn new(convolution: &'a Convolution<'a>) -> Option<Self> {
        let Convolution { image, weight, kernel, options, size, tail } = convolution;
        let channels = image.channels();
        let lanes = Registers::here().lanes;
        let fits = *kernel == [3, 3]
            && options.stride == 1
            && tail.gate == Gate::None
            && image.batch * size[0] * size[1] >= LEAST_PIXELS
            && size.iter().all(|side| *side >= 2 * OUT)
            && channels.min(weight.columns()) >= LEAST_CHANNELS
            && image.parts.iter().all(|(_, channels)| channels.is_multiple_of(lanes));
        fits.then_some(Self { convolution })
    }

    /// Tiles of a sample: rows and columns.
    fn tiles(&self) -> [usize; 2] {
        self.convolution.size.map(|side| side.div_ceil(OUT))
    }

    /// `[batch · height · width, out]`.
    pub(super) fn run(&self) -> Vec<f32> {
        let Convolution { image, size, tail, .. } = self.convolution;
        let tiles = image.batch * self.tiles().iter().product::<usize>();
        let threads = rayon::current_num_threads();
        // As many blocks for each thread.
        let blocks = tiles.div_ceil(BLOCK).next_multiple_of(threads);
        let block = tiles.div_ceil(blocks).next_multiple_of(ROWS);
        let fill = |target: Output<'_>| {
            for panels in self.shares() {
                let weights = &self.weights(panels.clone());
                (0..tiles.div_ceil(block)).into_par_iter().for_each(|index| {
                    let first = index * block;
                    let tiles = first..tiles.min(first + block);
                    let rows = tiles.len().next_multiple_of(ROWS);
                    with_scratch(POINTS * rows * (image.channels() + WIDEST), |scratch| {
                        let panels = panels.clone();
                        let block = Block { winograd: self, weights, panels, tiles, target };
                        dispatch(Work { block, scratch });
                    });
                });
            }
        };
        // SAFETY: the blocks have all tiles of all panels between them, and the tiles all pixels.
        unsafe { fresh(image.batch * size[0] * size[1] * tail.out(), fill) }
    }

    /// The panels of weights in shares that are transformed at a time, as even as can be: the inputs are transformed anew for each.
    fn shares(&self) -> impl Iterator<Item = Range<usize>> {
        let Convolution { image, weight, .. } = self.convolution;
        let most = WEIGHTS / (POINTS * image.channels() * weight.full_width()).max(1);
        let panels = weight.count();
        let share = panels.div_ceil(panels.div_ceil(most.max(1)).max(1)).max(1);
        (0..panels).step_by(share).map(move |first| first..panels.min(first + share))
    }

    /// The transformed weights of some panels: `[36, channels, width of the panel]` each.
    fn weights(&self, panels: Range<usize>) -> Vec<f32> {
        let (channels, weight) = (self.convolution.image.channels(), self.convolution.weight);
        let length = panels.clone().map(|panel| weight.width(panel)).sum::<usize>();
        let full = weight.full_width() * POINTS * channels;
        let fill = |target: Output<'_>| {
            (0..panels.len() * channels).into_par_iter().for_each(|index| {
                let (share, channel) = (index / channels, index % channels);
                let panel = panels.start + share;
                let width = weight.width(panel);
                let mut widened = [[0.0; WIDEST]; TAPS];
                let mut taps = [&[][..]; TAPS];
                for ((tap, row), widened) in taps.iter_mut().zip(0..).zip(&mut widened) {
                    let row = row * channels + channel;
                    *tap = weight.rows(panel, row..row + 1, widened);
                }
                let mut scratch = [0.0; POINTS * WIDEST];
                let scratch = &mut scratch[..POINTS * width];
                dispatch(Weights { taps, width, scratch });
                for (point, row) in scratch.chunks(width).enumerate() {
                    let place = share * full + (point * channels + channel) * width;
                    // SAFETY: this task alone has this channel of this panel.
                    unsafe { target.write(place, row) };
                }
            });
        };
        // SAFETY: the tasks have all channels of all panels between them.
        unsafe { fresh(length * POINTS * channels, fill) }
    }
}

/// One channel of a panel of weights: a row for each place of the kernel.
struct Weights<'a> {
    taps: [&'a [f32]; TAPS],
    width: usize,
    scratch: &'a mut [f32],
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { taps, width, scratch } = self;
        weight_rows(simd, taps, width, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Conv2dOptions, Padding,
        cpu::{Panels, Tail, convolution::Image},
    };

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
                let weight = values(columns * 9 * channels, 67);
                let weight = &Panels::of_weight(&weight, columns, 9 * channels);
                let bias = values(columns, 5);
                let tail = Tail { bias: Some(&bias[..]), ..Tail::none(columns) };
                let image = image.clone();
                let convolution =
                    Convolution { image, weight, kernel: [3, 3], options, size: out, tail };
                let found = Winograd::new(&convolution).unwrap().run();
                let expected = convolution.direct();
                let most = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() <= 2e-5 * most, "{found} and {expected}");
                }
                assert_eq!(found.len(), expected.len());
            }
        }
    }
}
