//! Linear layers.

use burn::tensor::{Tensor, backend::Backend};
use burn_ndarray::NdArrayTensor;

use super::{
    buffer::{self, Buffer},
    epilogue::{self, Tail},
    gemm,
};
use crate::{Epilogue, Weight};

/// See [`DiffusionBackend::fused_linear`](crate::DiffusionBackend::fused_linear).
pub(crate) fn linear<B>(
    input: Tensor<B, 3>,
    weight: &Weight<B, 2>,
    mut epilogue: Epilogue<B, 3>,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let [batch, tokens, width] = input.dims();
    let [channels, _] = weight.dims();
    let out = epilogue.output_channels(channels);
    let weight = Buffer::new(weight.to_dense(&input.device()));
    let input = Buffer::new(input);

    let rows = batch * tokens;
    let mut product = epilogue::start(epilogue.take_bias(), rows, channels);
    gemm::accumulate(&mut product, input.as_slice(), weight.as_slice(), [rows, channels, width]);
    let values = Tail::new(epilogue, channels, tokens).finish(product);
    buffer::tensor(values, [batch, tokens, out])
}
