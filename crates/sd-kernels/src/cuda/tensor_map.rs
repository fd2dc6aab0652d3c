//! Descriptions of tensors for the copy engine, which brings boxes of them to shared memory, swizzled by 128 bytes, with zeros for what
//! lies outside.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::{
    server::{TensorMapBinding, TensorMapMeta},
    zspace::{Shape, Strides, metadata::Metadata},
};

use cubecl_runtime::tma::{
    OobFill, TensorMapFormat, TensorMapInterleave, TensorMapPrefetch, TensorMapSwizzle, TiledArgs,
};

use super::Primitive;

/// Elements of a row of a box: 128 bytes.
pub(super) const ROW: usize = 64;

/// Bytes on which addresses and strides have to lie.
const ALIGNMENT: usize = 16;

/// A tensor as the copy engine sees it, outermost dimension first. Strides are in elements; the innermost is 1.
pub(super) struct View<const D: usize> {
    pub(super) shape: [usize; D],
    pub(super) strides: [usize; D],
    /// The first element.
    pub(super) offset: usize,
}

impl<const D: usize> View<D> {
    /// The whole of a tensor of this rank.
    pub(super) fn of<R: CubeRuntime>(tensor: &CubeTensor<R>) -> Self {
        let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
        Self {
            shape: core::array::from_fn(|axis| shape[axis]),
            strides: core::array::from_fn(|axis| strides[axis]),
            offset: 0,
        }
    }

    /// Whether the copy engine can read a tensor, of elements of 16 bits, so.
    pub(super) fn is_aligned(&self, tensor: &Primitive) -> bool {
        let elements = ALIGNMENT / 2;
        tensor.handle.offset_start.unwrap_or(0).is_multiple_of(ALIGNMENT as u64)
            && self.offset.is_multiple_of(elements)
            && self.strides[D - 1] == 1
            && self.strides[..D - 1].iter().all(|stride| stride.is_multiple_of(elements))
    }

    /// The map, for boxes that have every `step[i]`-th element of a dimension, `extent[i]` of them.
    pub(super) fn map(
        &self,
        tensor: &Primitive,
        extent: [usize; D],
        step: [usize; D],
    ) -> TensorMapBinding {
        let covered: [usize; D] = core::array::from_fn(|axis| extent[axis] * step[axis]);
        let handle = tensor.handle.clone().offset_start((self.offset * 2) as u64);
        TensorMapBinding {
            binding: handle.binding(),
            map: TensorMapMeta {
                format: TensorMapFormat::Tiled(TiledArgs { tile_size: Shape::from(covered) }),
                metadata: Metadata::new(Shape::from(self.shape), Strides::new(&self.strides)),
                elem_stride: Strides::new(&step),
                interleave: TensorMapInterleave::None,
                swizzle: TensorMapSwizzle::B128,
                prefetch: TensorMapPrefetch::B256,
                oob_fill: OobFill::Zero,
                storage_ty: tensor.dtype.into(),
            },
        }
    }
}
