//! Layer norm.

use burn::tensor::{DType, Tensor, backend::Backend};
use burn_cubecl::tensor::CubeTensor;
use cubecl::cuda::CudaRuntime;

use super::{
    Primitive,
    matmul::output,
    raw::{Arguments, Kernel, Recipe, launch},
    takes,
};
use crate::{Affine, LayerNormOptions, cube};

/// Threads of a block: a warp has a row.
const THREADS: usize = 256;
const WARP: usize = 32;

/// Channels that a thread reads at once, and most of such reads.
const VECTOR: usize = 8;
const MOST_VECTORS: usize = 8;

/// The constants of `layer_norm.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LayerNorm {
    vectors: usize,
    affine: bool,
    bfloat: bool,
}

impl Recipe for LayerNorm {
    const TEXT: &'static str = include_str!("kernels/layer_norm.cu");

    fn constants(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("VECTORS", self.vectors),
            ("THREADS", THREADS),
            ("AFFINE", self.affine.into()),
            ("ACTIVATION", 0),
            ("BFLOAT", self.bfloat.into()),
        ]
    }

    fn instructions(&self) -> String {
        String::new()
    }

    fn entry(&self) -> &'static str {
        "layer_norm"
    }

    fn threads(&self) -> u32 {
        THREADS as u32
    }

    fn shared(&self) -> usize {
        0
    }
}

/// As [`cube::bodies::layer_norm`].
pub(crate) fn forward<B>(input: Tensor<B, 3>, options: LayerNormOptions<B>) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    match normalised(&input, &options) {
        Some(output) => output,
        None => cube::bodies::layer_norm(input, options),
    }
}

/// The norm, if the kernel takes it.
fn normalised<B>(input: &Tensor<B, 3>, options: &LayerNormOptions<B>) -> Option<Tensor<B, 3>>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    let [batch, tokens, channels] = input.dims();
    let rows = batch * tokens;
    let values = cube::primitive(input.clone());
    let is_taken = takes(&values)
        && options.modulation.is_none()
        && channels.is_multiple_of(VECTOR)
        && channels.div_ceil(VECTOR * WARP) <= MOST_VECTORS
        && rows * channels > 0;
    if !is_taken {
        return None;
    }
    let values = cube::row_major(values);
    let affine: Vec<Primitive> = match options.affine.clone() {
        Some(Affine { weight, bias }) => {
            [weight, bias].map(|vector| cube::row_major(cube::primitive(vector))).into()
        }
        None => Vec::new(),
    };
    let pitch = cube::pitch(&values);
    let is_aligned = |tensor: &Primitive| {
        let start = tensor.handle.offset_start.unwrap_or(0) as usize / 2;
        start.is_multiple_of(VECTOR) && tensor.dtype == values.dtype
    };
    if !pitch.is_multiple_of(VECTOR) || !is_aligned(&values) || !affine.iter().all(is_aligned) {
        return None;
    }

    let recipe = LayerNorm {
        vectors: channels.div_ceil(VECTOR * WARP),
        affine: !affine.is_empty(),
        bfloat: values.dtype == DType::BF16,
    };
    let (target, result) = output::<B, 3>(&values, [batch, tokens, channels], values.dtype);
    let mut buffers = vec![values.handle.clone().binding()];
    buffers.extend(affine.iter().map(|vector| vector.handle.clone().binding()));
    buffers.push(target.handle.clone().binding());
    let eps = u64::from((options.eps as f32).to_bits());
    let info = vec![rows as u64, channels as u64, pitch as u64, eps];
    let grid = [rows.div_ceil(THREADS / WARP), 1, 1];
    launch(
        &target.client,
        Kernel::of(&recipe),
        grid,
        Arguments { maps: Vec::new(), buffers, info },
    );
    Some(result)
}
