//! Epilogues as `matmul.cu` reads them.

use burn::tensor::{DType, backend::Backend};
use burn_cubecl::tensor::CubeTensor;
use cubecl::{cuda::CudaRuntime, server::Binding};

use super::Primitive;
use crate::{Activation, Channels, Epilogue, Gate, cube};

/// What of an epilogue there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Parts {
    pub(super) bias: bool,
    pub(super) add: bool,
    pub(super) mul: bool,
    pub(super) residual: bool,
    pub(super) gated: bool,
    pub(super) activation: Option<Activation>,
}

/// The number of an activation in `common.cuh`.
pub(super) fn activation_number(activation: Option<Activation>) -> usize {
    match activation {
        None => 0,
        Some(Activation::Silu) => 1,
        Some(Activation::Gelu) => 2,
        Some(Activation::GeluTanh) => 3,
        Some(Activation::QuickGelu) => 4,
        Some(Activation::Relu) => 5,
        Some(Activation::Tanh) => 6,
    }
}

/// A view of channels in elements.
struct Vectors {
    projection: Primitive,
    offset: usize,
    pitch: usize,
}

impl Vectors {
    fn new<B>(channels: Channels<B>) -> Self
    where
        B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
    {
        let projection = cube::row_major(cube::primitive(channels.projection));
        let pitch = cube::pitch(&projection);
        Self { projection, offset: channels.offset, pitch }
    }
}

/// An epilogue as the kernel reads it.
pub(super) struct Tail {
    bias: Option<Primitive>,
    add: Option<Vectors>,
    mul: Option<Vectors>,
    residual: Option<Primitive>,
    activation: Option<Activation>,
    gated: bool,
    pub(super) scale: f64,
    pub(super) output_scale: f64,
}

impl Tail {
    /// Takes an epilogue over; `None` when it is of another type than the product.
    pub(super) fn new<B>(epilogue: &Epilogue<B, 3>, dtype: DType) -> Option<Self>
    where
        B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
    {
        let tail = Self {
            bias: epilogue.bias.clone().map(|bias| cube::row_major(cube::primitive(bias))),
            add: epilogue.channel_add.clone().map(Vectors::new),
            mul: epilogue.channel_mul.clone().map(Vectors::new),
            residual: epilogue
                .residual
                .clone()
                .map(|values| cube::row_major(cube::primitive(values))),
            activation: epilogue.activation,
            gated: epilogue.gate == Gate::Pair,
            scale: epilogue.scale,
            output_scale: epilogue.output_scale,
        };
        // A gated pair adds its bias where it is gated, and nothing else there.
        let is_simple = !tail.gated || tail.add.is_none();
        (is_simple && tail.tensors().all(|tensor| tensor.dtype == dtype)).then_some(tail)
    }

    fn tensors(&self) -> impl Iterator<Item = &Primitive> {
        let add = self.add.as_ref().map(|view| &view.projection);
        let mul = self.mul.as_ref().map(|view| &view.projection);
        [self.bias.as_ref(), add, mul, self.residual.as_ref()].into_iter().flatten()
    }

    pub(super) fn buffers(&self) -> impl Iterator<Item = Binding> {
        self.tensors().map(|tensor| tensor.handle.clone().binding())
    }

    pub(super) fn parts(&self) -> Parts {
        Parts {
            bias: self.bias.is_some(),
            add: self.add.is_some(),
            mul: self.mul.is_some(),
            residual: self.residual.is_some(),
            gated: self.gated,
            activation: self.activation,
        }
    }

    pub(super) fn residual_pitch(&self) -> usize {
        self.residual.as_ref().map_or(0, cube::pitch)
    }

    pub(super) fn places(&self) -> [usize; 4] {
        let of =
            |view: &Option<Vectors>| view.as_ref().map_or([0, 0], |view| [view.offset, view.pitch]);
        let ([add, add_pitch], [mul, mul_pitch]) = (of(&self.add), of(&self.mul));
        [add, add_pitch, mul, mul_pitch]
    }

    /// Whether everything can be read 16 bytes at a time.
    pub(super) fn is_vector(&self, columns: usize) -> bool {
        let starts =
            self.tensors().map(|tensor| tensor.handle.offset_start.unwrap_or(0) as usize / 2);
        let lengths = self.places().into_iter().chain([columns, self.residual_pitch()]);
        starts.chain(lengths).all(|length| length.is_multiple_of(8))
    }
}
