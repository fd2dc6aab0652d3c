//! Inputs and options of convolutions.

use burn::tensor::{DType, Tensor, backend::Backend};

/// The input of a convolution or a group norm, of which nothing has to be materialised: a pair stands for its
/// concatenation along the channels, a target size for its nearest-neighbour upsampling.
#[derive(Debug, Clone)]
pub struct ConvInput<B: Backend> {
    /// `[batch, height, width, channels]`.
    pub first: Tensor<B, 4>,
    /// `[batch, height, width, more channels]`, which follow those of `first`.
    pub second: Option<Tensor<B, 4>>,
    /// `[height, width]` to which the image is upsampled first. Pixel `i` of `n` reads `⌊i · size / n⌋`, as PyTorch's
    /// `nearest` does.
    pub upsample: Option<[usize; 2]>,
}

impl<B: Backend> From<Tensor<B, 4>> for ConvInput<B> {
    fn from(first: Tensor<B, 4>) -> Self {
        Self { first, second: None, upsample: None }
    }
}

impl<B: Backend> ConvInput<B> {
    /// Two images, one after the other along the channels.
    pub fn pair(first: Tensor<B, 4>, second: Tensor<B, 4>) -> Self {
        Self { first, second: Some(second), upsample: None }
    }

    /// An image upsampled to `[height, width]`.
    pub fn upsampled(first: Tensor<B, 4>, size: [usize; 2]) -> Self {
        Self { first, second: None, upsample: Some(size) }
    }

    /// `[batch, height, width, channels]` as the operation sees it.
    pub fn dims(&self) -> [usize; 4] {
        let [batch, height, width, channels] = self.first.dims();
        let second = self.second.as_ref().map_or(0, |second| second.dims()[3]);
        let [height, width] = self.upsample.unwrap_or([height, width]);
        [batch, height, width, channels + second]
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.first.dtype()
    }

    /// Device.
    pub fn device(&self) -> B::Device {
        self.first.device()
    }
}

/// Zero padding of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same on all four sides.
    pub const fn same(pixels: usize) -> Self {
        Self { top: pixels, left: pixels, bottom: pixels, right: pixels }
    }

    /// Below and to the right only, as the VAE's encoder pads before it downsamples.
    pub const fn end(pixels: usize) -> Self {
        Self { top: 0, left: 0, bottom: pixels, right: pixels }
    }

    /// Whether all sides are alike.
    pub fn is_symmetric(&self) -> bool {
        self.top == self.bottom && self.left == self.right
    }
}

/// Geometry of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2dOptions {
    /// Step in both directions. Default: 1.
    pub stride: usize,
    /// Zero padding. Default: none.
    pub padding: Padding,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self { stride: 1, padding: Padding::default() }
    }
}

impl Conv2dOptions {
    /// Output `[height, width]` for an input and kernel of `[height, width]`; `None` when the kernel does not fit.
    pub fn output_size(&self, input: [usize; 2], kernel: [usize; 2]) -> Option<[usize; 2]> {
        let height = input[0] + self.padding.top + self.padding.bottom;
        let width = input[1] + self.padding.left + self.padding.right;
        let rows = height.checked_sub(kernel[0])? / self.stride + 1;
        let columns = width.checked_sub(kernel[1])? / self.stride + 1;
        Some([rows, columns])
    }
}

/// Source index of pixel `index` of `size` upsampled to `target` pixels, in f32 as PyTorch computes it.
pub(crate) fn nearest_index(index: usize, size: usize, target: usize) -> usize {
    let scale = size as f32 / target as f32;
    ((index as f32 * scale) as usize).min(size - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_sizes() {
        let same = Conv2dOptions { stride: 1, padding: Padding::same(1) };
        assert_eq!(same.output_size([7, 5], [3, 3]), Some([7, 5]));
        let half = Conv2dOptions { stride: 2, padding: Padding::end(1) };
        assert_eq!(half.output_size([8, 7], [3, 3]), Some([4, 3]));
        assert_eq!(Conv2dOptions::default().output_size([2, 2], [3, 3]), None);
    }

    #[test]
    fn nearest_doubles_and_resizes() {
        assert_eq!((0..6).map(|i| nearest_index(i, 3, 6)).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2]);
        assert_eq!((0..5).map(|i| nearest_index(i, 3, 5)).collect::<Vec<_>>(), [0, 0, 1, 1, 2]);
    }
}
