//! Convolutions, whose patches are read where they lie.

use super::{
    Panels, Tail,
    left::{Left, Matrix},
    product::product,
    winograd::Winograd,
};
use crate::{Conv2dOptions, conv::nearest_index};

/// The image under a convolution: one image, or two that follow each other along the channels, perhaps seen upsampled.
#[derive(Debug, Clone)]
pub(crate) struct Image<'a> {
    /// `[batch, height, width, channels]` each, with their channels.
    pub(crate) parts: Vec<(&'a [f32], usize)>,
    pub(crate) batch: usize,
    /// Height and width in memory.
    pub(crate) stored: [usize; 2],
    /// Height and width as the kernel sees them.
    pub(crate) size: [usize; 2],
}

impl Image<'_> {
    /// Channels of all parts.
    pub(crate) fn channels(&self) -> usize {
        self.parts.iter().map(|(_, channels)| channels).sum()
    }

    /// The place in memory of a pixel of the image as it is seen.
    pub(super) fn stored_pixel(&self, sample: usize, [row, column]: [usize; 2]) -> usize {
        let [height, width] = self.stored;
        let [row, column] = match self.size == self.stored {
            true => [row, column],
            false => [
                nearest_index(row, height, self.size[0]),
                nearest_index(column, width, self.size[1]),
            ],
        };
        (sample * height + row) * width + column
    }
}

/// The patches of a convolution, one for each output pixel.
#[derive(Debug)]
pub(crate) struct Pixels<'a> {
    image: Image<'a>,
    kernel: [usize; 2],
    options: Conv2dOptions,
    size: [usize; 2],
    /// What lies beyond the edges.
    zeros: Vec<f32>,
}

impl<'a> Pixels<'a> {
    fn new(image: Image<'a>, kernel: [usize; 2], options: Conv2dOptions, size: [usize; 2]) -> Self {
        let most = image.parts.iter().map(|(_, channels)| *channels).max();
        for (values, channels) in &image.parts {
            let pixels = image.batch * image.stored[0] * image.stored[1];
            assert_eq!(values.len(), pixels * channels, "an image of {pixels}×{channels}");
        }
        Self { zeros: vec![0.0; most.unwrap_or(0)], image, kernel, options, size }
    }

    pub(super) fn rows(&self) -> usize {
        self.image.batch * self.size[0] * self.size[1]
    }

    /// A pixel's channels are read once for all places of the kernel.
    pub(super) fn footprint(&self) -> usize {
        self.image.channels() * self.options.stride * 2
    }

    pub(super) fn sources(&self) -> Vec<usize> {
        let taps = self.kernel[0] * self.kernel[1];
        let parts = self.image.parts.iter().map(|(_, channels)| *channels);
        (0..taps).flat_map(|_| parts.clone()).collect()
    }

    pub(super) fn point(&self, row: usize, set: &mut dyn FnMut(usize, *const f32)) {
        let [height, width] = self.size;
        let (sample, pixel) = (row / (height * width), row % (height * width));
        let Conv2dOptions { stride, padding } = self.options;
        let [top, left] = [(pixel / width) * stride, (pixel % width) * stride];
        let taps =
            (0..self.kernel[0]).flat_map(|y| (0..self.kernel[1]).map(move |x| (top + y, left + x)));
        for (tap, (y, x)) in taps.enumerate() {
            let y = y.checked_sub(padding.top).filter(|y| *y < self.image.size[0]);
            let x = x.checked_sub(padding.left).filter(|x| *x < self.image.size[1]);
            let place = y.zip(x).map(|(y, x)| self.image.stored_pixel(sample, [y, x]));
            for (part, (values, channels)) in self.image.parts.iter().enumerate() {
                let source = match place {
                    Some(pixel) => &values[pixel * channels..][..*channels],
                    None => &self.zeros[..*channels],
                };
                set(tap * self.image.parts.len() + part, source.as_ptr());
            }
        }
    }
}

/// `tail(convolution(image))`, `[batch · height · width, out]`.
#[derive(Debug, Clone)]
pub(crate) struct Convolution<'a> {
    pub(crate) image: Image<'a>,
    /// `[kernel_h · kernel_w · channels, out]`.
    pub(crate) weight: &'a Panels,
    /// Height and width.
    pub(crate) kernel: [usize; 2],
    pub(crate) options: Conv2dOptions,
    /// Height and width of the output.
    pub(crate) size: [usize; 2],
    pub(crate) tail: Tail<&'a [f32]>,
}

impl Convolution<'_> {
    /// Goes the fastest way.
    pub(crate) fn run(self) -> Vec<f32> {
        if let Some(winograd) = Winograd::new(&self) {
            return winograd.run();
        }
        let plain = self.kernel == [1, 1]
            && self.options == Conv2dOptions::default()
            && self.image.size == self.image.stored;
        match self.image.parts.as_slice() {
            [(values, channels)] if plain => {
                product(Left::Rows(Matrix::dense(values, *channels)), self.weight, &self.tail)
            }
            _ => self.direct(),
        }
    }

    /// As sums over the places of the kernel.
    pub(super) fn direct(self) -> Vec<f32> {
        let pixels = Pixels::new(self.image, self.kernel, self.options, self.size);
        product(Left::Pixels(&pixels), self.weight, &self.tail)
    }
}
