//! Linear layers and convolutions.

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use burn_ndarray::NdArrayTensor;

use super::{
    buffer::{self, Buffer},
    epilogue::tail,
};
use crate::{
    Conv2dOptions, ConvInput, Epilogue, PackedWeight, Weight,
    cpu::{
        Panels,
        convolution::{Convolution, Image},
        left::{Left, Matrix},
        product::product,
    },
};

/// A weight in panels, of 16 bits where these have all of its values exactly.
#[derive(Debug)]
struct Packed {
    shape: Vec<usize>,
    panels: Panels,
}

impl PackedWeight for Packed {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        DType::F32
    }

    fn to_data(&self) -> TensorData {
        TensorData::new(self.panels.to_weight(), self.shape.clone())
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}

/// Packs a weight, `[out, …]`.
pub(super) fn pack<B, const D: usize>(weight: Tensor<B, D>) -> Weight<B, D>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let shape = weight.dims().to_vec();
    let weight = Buffer::new(weight);
    let depth = shape[1..].iter().product();
    let panels = Panels::of_weight_compact(weight.as_slice(), shape[0], depth);
    Weight::Packed(std::sync::Arc::new(Packed { shape, panels }))
}

fn panels(weight: Buffer, shape: &[usize]) -> Panels {
    Panels::of_weight(weight.as_slice(), shape[0], shape[1..].iter().product())
}

/// Gives `work` the panels of a weight; a dense one is packed for this once.
fn with_panels<B, R, const D: usize>(weight: &Weight<B, D>, work: impl FnOnce(&Panels) -> R) -> R
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let packed = match weight {
        Weight::Packed(packed) => packed.as_any().downcast_ref::<Packed>(),
        Weight::Dense(_) => None,
    };
    match packed {
        Some(packed) => work(&packed.panels),
        None => {
            let dense = weight.to_dense(&Default::default());
            let shape = dense.dims();
            work(&panels(Buffer::new(dense), &shape))
        }
    }
}

/// See [`DiffusionBackend::fused_linear`](crate::DiffusionBackend::fused_linear).
pub(super) fn linear<B>(
    input: Tensor<B, 3>,
    weight: &Weight<B, 2>,
    epilogue: Epilogue<B, 3>,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let [batch, tokens, width] = input.dims();
    let [channels, _] = weight.dims();
    let out = epilogue.output_channels(channels);
    let tail = tail(epilogue, channels, tokens);
    let input = Buffer::new(input);
    let rows =
        Matrix { values: input.as_slice(), rows: batch * tokens, depth: width, stride: width };
    let values = with_panels(weight, |panels| product(Left::Rows(rows), panels, &tail.slices()));
    buffer::tensor(values, [batch, tokens, out])
}

/// See [`DiffusionBackend::fused_conv2d`](crate::DiffusionBackend::fused_conv2d).
pub(super) fn conv2d<B>(
    input: ConvInput<B>,
    weight: &Weight<B, 4>,
    options: Conv2dOptions,
    epilogue: Epilogue<B, 4>,
) -> Tensor<B, 4>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let [batch, height, width, _] = input.dims();
    let [channels, kernel_h, kernel_w, _] = weight.dims();
    let kernel = [kernel_h, kernel_w];
    // The front has checked that the kernel fits.
    let size = options.output_size([height, width], kernel).unwrap_or_default();
    let out = epilogue.output_channels(channels);
    let tail = tail(epilogue, channels, size[0] * size[1]);
    let parts = Parts::new(input);
    let values = with_panels(weight, |weight| {
        let (image, tail) = (parts.image(), tail.slices());
        Convolution { image, weight, kernel, options, size, tail }.run()
    });
    buffer::tensor(values, [batch, size[0], size[1], out])
}

/// Holds the tensors of a [`ConvInput`] while a kernel reads them.
pub(super) struct Parts {
    parts: Vec<(Buffer, usize)>,
    batch: usize,
    stored: [usize; 2],
    size: [usize; 2],
}

impl Parts {
    pub(super) fn new<B>(input: ConvInput<B>) -> Self
    where
        B: Backend<FloatTensorPrimitive = NdArrayTensor>,
    {
        let [batch, height, width, _] = input.first.dims();
        let images = [Some(input.first), input.second].into_iter().flatten();
        let parts = images.map(|image| {
            let channels = image.dims()[3];
            (Buffer::new(image), channels)
        });
        let stored = [height, width];
        Self { parts: parts.collect(), batch, stored, size: input.upsample.unwrap_or(stored) }
    }

    pub(super) fn image(&self) -> Image<'_> {
        let parts = self.parts.iter().map(|(buffer, channels)| (buffer.as_slice(), *channels));
        Image { parts: parts.collect(), batch: self.batch, stored: self.stored, size: self.size }
    }
}
