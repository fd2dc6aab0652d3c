//! Between Burn's tensors and slices of f32.

use burn::tensor::{Tensor, TensorPrimitive, backend::Backend};
use burn_ndarray::{NdArrayTensor, SharedArray};
use ndarray::{ArrayD, IxDyn};

/// A contiguous f32 tensor in row-major order; shares the tensor's memory when that is contiguous already.
pub(crate) struct Buffer(SharedArray<f32>);

impl Buffer {
    /// # Panics
    /// When the tensor is not of f32, which the dispatch in `ndarray/mod.rs` rules out.
    pub(crate) fn new<B, const D: usize>(tensor: Tensor<B, D>) -> Self
    where
        B: Backend<FloatTensorPrimitive = NdArrayTensor>,
    {
        match tensor.into_primitive().tensor() {
            NdArrayTensor::F32(storage) => {
                let array = storage.into_shared();
                let contiguous = array.is_standard_layout();
                Self(if contiguous {
                    array
                } else {
                    array.as_standard_layout().into_owned().into_shared()
                })
            }
            other => unreachable!("an f32 kernel was given {other:?}"),
        }
    }

    /// The elements in row-major order.
    pub(crate) fn as_slice(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_default()
    }

    /// The tensor again.
    pub(crate) fn into_tensor<B, const D: usize>(self) -> Tensor<B, D>
    where
        B: Backend<FloatTensorPrimitive = NdArrayTensor>,
    {
        Tensor::from_primitive(TensorPrimitive::Float(NdArrayTensor::from(self.0)))
    }
}

impl AsRef<[f32]> for Buffer {
    fn as_ref(&self) -> &[f32] {
        self.as_slice()
    }
}

/// A tensor of the given shape.
pub(crate) fn tensor<B, const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<B, D>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    match ArrayD::from_shape_vec(IxDyn(&shape), values) {
        Ok(array) => Buffer(array.into_shared()).into_tensor(),
        Err(error) => unreachable!("a kernel made the wrong number of elements: {error}"),
    }
}
