//! Tensors whose values are given and whose memory is awkward.

use core::fmt;

use burn::tensor::{DType, Tensor};

use super::{
    Array,
    reference::{EpilogueValues, Scaling},
};
use crate::{Affine, Channels, DiffusionBackend, Epilogue, Modulation, Weight};

/// How the inputs of an operation lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Row-major and owned by nobody else, so that an operation may write into it.
    Dense,
    /// Row-major, and a clone lives on.
    Shared,
    /// Column-major.
    Permuted,
    /// A window into a larger tensor.
    Sliced,
    /// Column-major, and a clone lives on.
    PermutedShared,
    /// A window into a larger tensor, and a clone lives on.
    SlicedShared,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Dense,
        Self::Shared,
        Self::Permuted,
        Self::Sliced,
        Self::PermutedShared,
        Self::SlicedShared,
    ];

    fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::PermutedShared | Self::SlicedShared)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dense => "dense",
            Self::Shared => "shared",
            Self::Permuted => "permuted",
            Self::Sliced => "sliced",
            Self::PermutedShared => "permuted, shared",
            Self::SlicedShared => "sliced, shared",
        })
    }
}

/// Reads a tensor that was kept alive, and says how it changed.
type Kept = Box<dyn FnOnce() -> Result<(), String>>;

/// Makes the tensors of one run of a check.
pub(crate) struct Maker<'a, B: DiffusionBackend> {
    pub(crate) device: &'a B::Device,
    pub(crate) dtype: DType,
    layout: Layout,
    kept: Vec<Kept>,
}

impl<'a, B: DiffusionBackend> Maker<'a, B> {
    pub(crate) fn new(device: &'a B::Device, dtype: DType, layout: Layout) -> Self {
        Self { device, dtype, layout, kept: Vec::new() }
    }

    /// A tensor with these values, in this run's layout.
    pub(crate) fn tensor<const D: usize>(&mut self, array: &Array) -> Tensor<B, D> {
        let tensor = match self.layout {
            Layout::Dense | Layout::Shared => array.to_tensor(self.device, self.dtype),
            Layout::Permuted | Layout::PermutedShared => self.permuted(array),
            Layout::Sliced | Layout::SlicedShared => self.sliced(array),
        };
        if self.layout.is_shared() {
            let (clone, array) = (tensor.clone(), array.clone());
            self.kept.push(Box::new(move || unchanged(&clone, &array)));
        }
        tensor
    }

    fn permuted<const D: usize>(&self, array: &Array) -> Tensor<B, D> {
        let dims: [usize; D] = array.dims();
        let reversed = core::array::from_fn(|axis| dims[D - 1 - axis]);
        let transposed = Array::from_fn(reversed, |mut index: [usize; D]| {
            index.reverse();
            array.at(index)
        });
        let axes = core::array::from_fn::<_, D, _>(|axis| (D - 1 - axis) as isize);
        transposed.to_tensor::<B, D>(self.device, self.dtype).permute(axes)
    }

    fn sliced<const D: usize>(&self, array: &Array) -> Tensor<B, D> {
        let dims: [usize; D] = array.dims();
        // What lies around the window is not a number, so that reading it is seen.
        let larger = Array::from_fn(dims.map(|size| size + 3), |index: [usize; D]| {
            let inside = index.map(|position| position.wrapping_sub(1));
            let is_inside = inside.iter().zip(dims).all(|(position, size)| *position < size);
            if is_inside { array.at(inside) } else { f64::NAN }
        });
        larger.to_tensor::<B, D>(self.device, self.dtype).slice(dims.map(|size| 1..1 + size))
    }

    pub(crate) fn weight<const D: usize>(&mut self, array: &Array) -> Weight<B, D> {
        Weight::from(self.tensor::<D>(array))
    }

    /// One value per sample and channel: the whole of a dense tensor, else some columns of a wider one.
    pub(crate) fn channels(&mut self, array: &Array) -> Channels<B> {
        if self.layout == Layout::Dense {
            return Channels::from(self.tensor(array));
        }
        let ([batch, channels], offset) = (array.dims(), 2);
        let wider = Array::from_fn([batch, channels + 3], |[sample, column]| {
            match column.checked_sub(offset).filter(|channel| *channel < channels) {
                Some(channel) => array.at([sample, channel]),
                None => 1024.0,
            }
        });
        Channels { projection: self.tensor(&wider), offset }
    }

    pub(crate) fn epilogue<const D: usize>(&mut self, values: &EpilogueValues) -> Epilogue<B, D> {
        Epilogue {
            bias: values.bias.as_ref().map(|bias| self.tensor(bias)),
            channel_add: values.channel_add.as_ref().map(|add| self.channels(add)),
            activation: values.activation,
            gate: values.gate,
            channel_mul: values.channel_mul.as_ref().map(|mul| self.channels(mul)),
            scale: values.scale,
            residual: values.residual.as_ref().map(|residual| self.tensor(residual)),
            output_scale: values.output_scale,
        }
    }

    pub(crate) fn affine(&mut self, scaling: &Scaling) -> Option<Affine<B>> {
        scaling
            .affine
            .as_ref()
            .map(|[weight, bias]| Affine { weight: self.tensor(weight), bias: self.tensor(bias) })
    }

    pub(crate) fn modulation(&mut self, scaling: &Scaling) -> Option<Modulation<B>> {
        scaling.modulation.as_ref().map(|[scale, shift]| Modulation {
            scale: self.channels(scale),
            shift: self.channels(shift),
        })
    }

    /// Whether every shared tensor still has its values.
    pub(crate) fn check_kept(self) -> Result<(), String> {
        self.kept.into_iter().try_for_each(|check| check())
    }
}

fn unchanged<B: DiffusionBackend, const D: usize>(
    tensor: &Tensor<B, D>,
    expected: &Array,
) -> Result<(), String> {
    if Array::from_data(tensor.to_data()) == *expected {
        Ok(())
    } else {
        Err(format!("a shared input of shape {:?} was written to", expected.shape()))
    }
}
