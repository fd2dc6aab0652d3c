//! The input of a convolution or a group norm, and the way back to its parts.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, backend::Backend};
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};

use super::node::{Found, Parents, Slot};
use crate::{ConvInput, conv::nearest_index};

/// Where the gradients of an image's parts belong.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageSlots {
    first: Slot<4>,
    second: Option<Slot<4>>,
    /// Channels of the first part.
    channels: usize,
    /// `[height, width]` before the upsampling.
    size: [usize; 2],
}

impl ImageSlots {
    pub(super) fn new<B: Backend, C: CheckpointStrategy>(
        parents: &mut Parents<B, C>,
        input: ConvInput<Autodiff<B, C>>,
    ) -> (Self, ConvInput<B>) {
        let [_, height, width, channels] = input.first.dims();
        let (first, image) = parents.add(input.first);
        let second = input.second.map(|second| parents.add(second));
        let slots = Self {
            first,
            second: second.as_ref().map(|(slot, _)| *slot),
            channels,
            size: [height, width],
        };
        let second = second.map(|(_, image)| image);
        (slots, ConvInput { first: image, second, upsample: input.upsample })
    }

    pub(super) fn wanted<B: Backend>(&self, found: &Found<B>) -> bool {
        found.wants(self.first) || self.second.is_some_and(|second| found.wants(second))
    }

    /// Takes the gradient of the image as the operation sees it.
    pub(super) fn set<B: Backend>(&self, found: &mut Found<B>, gradient: Tensor<B, 4>) {
        let [height, width] = self.size;
        let gradient = collected(collected(gradient, 1, height), 2, width);
        let Some(second) = self.second else {
            found.set(self.first, gradient);
            return;
        };
        let rest = gradient.dims()[3] - self.channels;
        found.set(self.first, gradient.clone().narrow(3, 0, self.channels));
        found.set(second, gradient.narrow(3, self.channels, rest));
    }
}

/// The gradient of nearest upsampling along an axis that had `size` pixels: what was read several times collects all of it.
fn collected<B: Backend>(gradient: Tensor<B, 4>, axis: usize, size: usize) -> Tensor<B, 4> {
    let mut shape = gradient.dims();
    let target = shape[axis];
    if target == size {
        return gradient;
    }
    if target.is_multiple_of(size) {
        let before: usize = shape[..axis].iter().product();
        let after: usize = shape[axis + 1..].iter().product();
        shape[axis] = size;
        return gradient.reshape([before * size, target / size, after]).sum_dim(1).reshape(shape);
    }
    let device = gradient.device();
    let indices: Vec<i32> =
        (0..target).map(|index| nearest_index(index, size, target) as i32).collect();
    let indices = Tensor::<B, 1, Int>::from_data(TensorData::new(indices, [target]), &device);
    shape[axis] = size;
    Tensor::zeros(shape, (&device, gradient.dtype())).select_assign(
        axis,
        indices,
        gradient,
        IndexingUpdateOp::Add,
    )
}
