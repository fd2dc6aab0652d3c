//! Epilogues.

use burn::tensor::{Tensor, backend::Backend};
use burn_ndarray::NdArrayTensor;

use super::buffer::{self, Buffer};
use crate::{Epilogue, cpu::Tail};

/// The epilogue of a product of `channels` columns, with its tensors as buffers.
pub(super) fn tail<B, const D: usize>(
    epilogue: Epilogue<B, D>,
    channels: usize,
    rows_per_sample: usize,
) -> Tail<Buffer>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let out = epilogue.output_channels(channels);
    Tail {
        bias: epilogue.bias.map(Buffer::new),
        channel_add: epilogue.channel_add.map(|add| Buffer::new(add.to_tensor(channels))),
        activation: epilogue.activation,
        gate: epilogue.gate,
        channel_mul: epilogue.channel_mul.map(|mul| Buffer::new(mul.to_tensor(out))),
        scale: epilogue.scale as f32,
        residual: epilogue.residual.map(Buffer::new),
        output_scale: epilogue.output_scale as f32,
        channels,
        rows_per_sample: rows_per_sample.max(1),
    }
}

/// See [`DiffusionBackend::fused_epilogue`](crate::DiffusionBackend::fused_epilogue).
pub(super) fn epilogue<B>(input: Tensor<B, 3>, epilogue: Epilogue<B, 3>) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    if epilogue.is_identity() {
        return input;
    }
    let [batch, tokens, channels] = input.dims();
    let out = epilogue.output_channels(channels);
    let tail = tail(epilogue, channels, tokens);
    let values = tail.slices().apply(Buffer::new(input).as_slice());
    buffer::tensor(values, [batch, tokens, out])
}
