//! Group norm.

use burn::tensor::{DType, Tensor, backend::Backend};
use burn_cubecl::tensor::CubeTensor;
use cubecl::cuda::CudaRuntime;

use super::{
    Primitive,
    matmul::{output, processors},
    raw::{Arguments, Kernel, Recipe, launch},
    tail::activation_number,
    takes,
};
use crate::{Activation, Affine, ConvInput, GroupNormOptions, cube, default};

/// Threads of a block.
const THREADS: usize = 512;

/// Channels that a thread reads at once.
const VECTOR: usize = 8;

/// Values from which on there are two blocks for each multiprocessor, in place of one.
const LARGE: usize = 1 << 22;

/// The two functions of `group_norm.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Function {
    Moments,
    Normalise,
}

/// The constants of `group_norm.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct GroupNorm {
    function: Function,
    channels: usize,
    affine: bool,
    activation: Option<Activation>,
    bfloat: bool,
}

impl GroupNorm {
    /// Pixels that a block reads at the same time.
    fn lanes(self) -> usize {
        THREADS / (self.channels / VECTOR)
    }
}

impl Recipe for GroupNorm {
    const TEXT: &'static str = include_str!("kernels/group_norm.cu");

    fn constants(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("THREADS", THREADS),
            ("AFFINE", self.affine.into()),
            ("ACTIVATION", activation_number(self.activation)),
            ("BFLOAT", self.bfloat.into()),
        ]
    }

    fn instructions(&self) -> String {
        String::new()
    }

    fn entry(&self) -> &'static str {
        match self.function {
            Function::Moments => "moments",
            Function::Normalise => "normalise",
        }
    }

    fn threads(&self) -> u32 {
        THREADS as u32
    }

    fn shared(&self) -> usize {
        let pairs = match self.function {
            Function::Moments => self.lanes() * self.channels,
            Function::Normalise => self.channels,
        };
        pairs * 2 * size_of::<f32>()
    }
}

/// As [`cube::bodies::group_norm`].
pub(crate) fn forward<B>(input: ConvInput<B>, options: GroupNormOptions<B>) -> Tensor<B, 4>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    match normalised(&input, &options) {
        Some(output) => output,
        None => cube::bodies::group_norm(input, options),
    }
}

/// The norm, if the kernels take it.
fn normalised<B>(input: &ConvInput<B>, options: &GroupNormOptions<B>) -> Option<Tensor<B, 4>>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    let [batch, height, width, channels] = input.dims();
    let pixels = height * width;
    let is_taken = takes(&cube::primitive(input.first.clone()))
        && options.modulation.is_none()
        && channels.is_multiple_of(VECTOR)
        && channels / VECTOR <= THREADS
        && batch * pixels > 0;
    if !is_taken {
        return None;
    }
    let values = cube::row_major(cube::primitive(default::materialise(input.clone())));
    let affine: Vec<Primitive> = match options.affine.clone() {
        Some(Affine { weight, bias }) => {
            [weight, bias].map(|vector| cube::row_major(cube::primitive(vector))).into()
        }
        None => Vec::new(),
    };
    let pitch = cube::pitch(&values);
    let start = values.handle.offset_start.unwrap_or(0) as usize / 2;
    if ![pitch, start].iter().all(|length| length.is_multiple_of(VECTOR))
        || affine.iter().any(|vector| vector.dtype != values.dtype)
    {
        return None;
    }

    let recipe = GroupNorm {
        function: Function::Moments,
        channels,
        affine: !affine.is_empty(),
        activation: options.activation,
        bfloat: values.dtype == DType::BF16,
    };
    let each = if batch * pixels * channels >= LARGE { 2 } else { 1 };
    let blocks = (processors(&values) * each).div_ceil(batch);
    let chunk = pixels.div_ceil(blocks).max(2 * recipe.lanes());
    let chunks = pixels.div_ceil(chunk);
    let (target, result) = output::<B, 4>(&values, [batch, height, width, channels], values.dtype);
    let found = target.client.empty(batch * options.groups * chunks * 2 * size_of::<f32>());
    let sizes = [pixels, channels, options.groups, pitch, chunk, chunks];
    let eps = (options.eps as f32).to_bits() as usize;
    let info: Vec<u64> = sizes.into_iter().chain([eps]).map(|number| number as u64).collect();

    let [source, sink] = [&values, &target].map(|tensor| tensor.handle.clone().binding());
    let buffers = vec![source, found.clone().binding()];
    let arguments = Arguments { maps: Vec::new(), buffers, info: info.clone() };
    launch(&target.client, Kernel::of(&recipe), [chunks, batch, 1], arguments);

    let mut buffers = vec![values.handle.clone().binding(), found.binding()];
    buffers.extend(affine.iter().map(|vector| vector.handle.clone().binding()));
    buffers.push(sink);
    let recipe = GroupNorm { function: Function::Normalise, ..recipe };
    launch(
        &target.client,
        Kernel::of(&recipe),
        [chunks, batch, 1],
        Arguments { maps: Vec::new(), buffers, info },
    );
    Some(result)
}
