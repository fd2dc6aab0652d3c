//! Many tensors in one row.

use burn::tensor::{DType, FloatDType, Tensor, backend::Backend};

/// See [`DiffusionBackend::row`](crate::DiffusionBackend::row).
pub fn row<B: Backend>(
    values: Vec<(usize, Tensor<B, 1>)>,
    length: usize,
    device: &B::Device,
) -> Tensor<B, 1> {
    let row = Tensor::zeros([length], (device, DType::F32));
    values.into_iter().fold(row, |row, (start, values)| {
        let place = start..start + values.dims()[0];
        row.slice_assign([place], values.cast(FloatDType::F32))
    })
}
