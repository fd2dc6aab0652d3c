//! Epilogues without an activation: their gradients need nothing of the forward pass.

use burn::tensor::{Tensor, backend::Backend};
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};

use super::node::{Found, Parents, Slot};
use crate::{Channels, DiffusionBackend, Epilogue, Gate, default::scaled};

/// Where the gradients of an epilogue's tensors belong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail<const D: usize> {
    bias: Option<Slot<1>>,
    channel_add: Option<ChannelSlot>,
    residual: Option<Slot<D>>,
    scale: f64,
    output_scale: f64,
}

/// Where the gradient of a view of channels belongs.
#[derive(Debug, Clone, Copy)]
struct ChannelSlot {
    projection: Slot<2>,
    width: usize,
    offset: usize,
}

/// Parts an epilogue into what comes up to the activation and what comes after it; the first part is all of it where there is
/// no activation.
pub(super) fn parted<B: Backend, const D: usize>(
    epilogue: Epilogue<B, D>,
) -> (Epilogue<B, D>, Option<Epilogue<B, D>>) {
    let plain = epilogue.activation.is_none() && epilogue.gate == Gate::None;
    if plain && epilogue.channel_mul.is_none() {
        return (epilogue, None);
    }
    let first = Epilogue::new().bias(epilogue.bias).channel_add(epilogue.channel_add);
    (first, Some(Epilogue { bias: None, channel_add: None, ..epilogue }))
}

impl<const D: usize> Tail<D> {
    /// Adds the tensors of an epilogue without activation, gate and factors per channel.
    pub(super) fn new<B: Backend, C: CheckpointStrategy>(
        parents: &mut Parents<B, C>,
        epilogue: Epilogue<Autodiff<B, C>, D>,
    ) -> (Self, Epilogue<B, D>) {
        let bias = epilogue.bias.map(|bias| parents.add(bias));
        let residual = epilogue.residual.map(|residual| parents.add(residual));
        let channels = epilogue.channel_add.map(|Channels { projection, offset }| {
            let width = projection.dims()[1];
            let (slot, projection) = parents.add(projection);
            (ChannelSlot { projection: slot, width, offset }, Channels { projection, offset })
        });
        let tail = Self {
            bias: bias.as_ref().map(|(slot, _)| *slot),
            channel_add: channels.as_ref().map(|(slot, _)| *slot),
            residual: residual.as_ref().map(|(slot, _)| *slot),
            scale: epilogue.scale,
            output_scale: epilogue.output_scale,
        };
        let epilogue = Epilogue::new()
            .bias(bias.map(|(_, bias)| bias))
            .channel_add(channels.map(|(_, channels)| channels))
            .scale(epilogue.scale)
            .residual(residual.map(|(_, residual)| residual))
            .output_scale(epilogue.output_scale);
        (tail, epilogue)
    }

    /// From the gradient of the output to that of the product, leaving the others on the way.
    ///
    /// # Shapes
    /// - gradient: `[batch, .., channels]`
    /// - output: `[batch, positions, channels]`
    pub(super) fn backward<B: DiffusionBackend>(
        &self,
        gradient: Tensor<B, D>,
        found: &mut Found<B>,
    ) -> Tensor<B, 3> {
        let gradient = scaled(gradient, self.output_scale);
        if let Some(residual) = self.residual {
            found.set(residual, gradient.clone());
        }
        let dims = gradient.dims();
        let positions = dims[1..D - 1].iter().product();
        let product = scaled(gradient, self.scale).reshape([dims[0], positions, dims[D - 1]]);
        self.vectors(&product, found);
        product
    }

    fn vectors<B: DiffusionBackend>(&self, product: &Tensor<B, 3>, found: &mut Found<B>) {
        let bias = self.bias.filter(|slot| found.wants(*slot));
        let channels = self.channel_add.filter(|slot| found.wants(slot.projection));
        if bias.is_none() && channels.is_none() {
            return;
        }
        let sums = B::sum_positions(product.clone());
        if let Some(slot) = bias {
            found.set(slot, B::sum_positions(sums.clone().unsqueeze()).squeeze_dim(0));
        }
        if let Some(slot) = channels {
            found.set(slot.projection, placed(sums, 1, slot.offset, slot.width));
        }
    }
}

/// The gradient of a view of `width` columns: that of the columns seen, and zeros around it.
pub(super) fn placed<B: Backend, const D: usize>(
    columns: Tensor<B, D>,
    axis: usize,
    offset: usize,
    width: usize,
) -> Tensor<B, D> {
    let mut shape = columns.dims();
    let seen = shape[axis];
    if seen == width {
        return columns;
    }
    let mut ranges = shape.map(|size| 0..size);
    ranges[axis] = offset..offset + seen;
    shape[axis] = width;
    Tensor::zeros(shape, (&columns.device(), columns.dtype())).slice_assign(ranges, columns)
}
