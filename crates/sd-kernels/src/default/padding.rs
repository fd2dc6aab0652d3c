//! Zeros around an image.

use burn::tensor::{Tensor, backend::Backend};

use crate::Padding;

/// A `[batch, height, width, channels]` image with zeros around it. Burn 0.21's own `pad` makes them in the device's default
/// dtype, whatever that of the image.
pub(super) fn padded<B: Backend>(image: Tensor<B, 4>, padding: Padding) -> Tensor<B, 4> {
    let [batch, height, width, channels] = image.dims();
    let Padding { top, left, bottom, right } = padding;
    if top + left + bottom + right == 0 {
        return image;
    }
    let shape = [batch, top + height + bottom, left + width + right, channels];
    let zeros = Tensor::zeros(shape, (&image.device(), image.dtype()));
    zeros.slice_assign([0..batch, top..top + height, left..left + width, 0..channels], image)
}
