//! Attention.

use burn::tensor::{DType, Tensor, backend::Backend};
use burn_cubecl::tensor::CubeTensor;
use cubecl::{cuda::CudaRuntime, server::TensorMapBinding};

use super::{
    Primitive,
    instructions::{Left, multiply},
    linear,
    matmul::output,
    raw::{Arguments, Kernel, Recipe, launch},
    takes,
    tensor_map::{ROW, View},
};
use crate::{AttentionMask, AttentionOptions, Epilogue, Heads, Weight, cube, cube::Seen};

/// Queries of a block.
const QUERIES: usize = 128;

/// The widest head that the registers hold.
const WIDEST: usize = 192;

/// Most scores that are held at once.
const SCORES: usize = 1 << 26;

/// Blocks along the second and third axis of a grid.
const MOST_BLOCKS: usize = 65_535;

/// The constants of `attention.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Attention {
    head_dim: usize,
    /// Keys of a tile.
    tile: usize,
    slots: usize,
    causal: bool,
    bfloat: bool,
}

impl Attention {
    fn new(head_dim: usize, keys: usize, causal: bool, dtype: DType) -> Self {
        // Few keys, as of a prompt, are one tile.
        let (tile, slots) = match (keys, head_dim) {
            (..=80, _) => (80, 1),
            (_, ..=128) => (128, 2),
            _ => (64, 2),
        };
        Self { head_dim, tile, slots, causal, bfloat: dtype == DType::BF16 }
    }

    fn atoms(self) -> usize {
        self.head_dim.div_ceil(ROW)
    }
}

impl Recipe for Attention {
    const TEXT: &'static str = include_str!("kernels/attention.cu");

    fn constants(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("HEAD", self.head_dim),
            ("TILE", self.tile),
            ("SLOTS", self.slots),
            ("ATOMS", self.atoms()),
            ("CAUSAL", self.causal.into()),
            ("ACTIVATION", 0),
            ("BFLOAT", self.bfloat.into()),
        ]
    }

    fn instructions(&self) -> String {
        let element = if self.bfloat { "bf16" } else { "f16" };
        multiply("multiply_scores", self.tile, element, Left::Shared)
            + &multiply("multiply_values", self.head_dim, element, Left::Registers)
    }

    fn entry(&self) -> &'static str {
        "attention"
    }

    fn threads(&self) -> u32 {
        384
    }

    fn shared(&self) -> usize {
        let rows = QUERIES + 2 * self.slots * self.tile;
        rows * self.atoms() * ROW * 2 + 8 + self.slots * 32
    }
}

/// As [`cube::bodies::attention`].
pub(crate) fn forward<B>(
    query: Heads<B>,
    key: Heads<B>,
    value: Heads<B>,
    options: AttentionOptions<B>,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    let views = [&query, &key, &value];
    match flash(views, &options).or_else(|| by_products(views, &options)) {
        Some(output) => output,
        None => cube::bodies::attention(query, key, value, options),
    }
}

/// The heads of a projection: `[batch, tokens, heads, head_dim]`.
fn heads<B>(view: &Heads<B>, heads: usize, head_dim: usize) -> (Primitive, View<4>)
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    let [batch, tokens, _] = view.projection.dims();
    let tensor = cube::row_major(cube::primitive(view.projection.clone()));
    let pitch = cube::pitch(&tensor);
    let of = View {
        shape: [batch, tokens, heads, head_dim],
        strides: [tokens * pitch, pitch, head_dim, 1],
        offset: view.offset,
    };
    (tensor, of)
}

/// Attention, if the kernel takes it.
fn flash<B>(views: [&Heads<B>; 3], options: &AttentionOptions<B>) -> Option<Tensor<B, 3>>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    let AttentionOptions { heads: count, head_dim, ref mask, .. } = *options;
    let causal = match mask {
        AttentionMask::None => false,
        AttentionMask::Causal => true,
        _ => return None,
    };
    let [batch, queries, _] = views[0].projection.dims();
    let keys = views[1].projection.dims()[1];
    let dtype = views[0].projection.dtype();
    let is_taken = takes(&cube::primitive(views[0].projection.clone()))
        && views.iter().all(|view| view.projection.dtype() == dtype)
        && head_dim.is_multiple_of(8)
        && head_dim <= WIDEST
        && batch.max(count) <= MOST_BLOCKS
        && batch * count * queries * keys > 0;
    if !is_taken {
        return None;
    }
    let operands = views.map(|view| heads(view, count, head_dim));
    if !operands.iter().all(|(tensor, view)| view.is_aligned(tensor)) {
        return None;
    }

    let recipe = Attention::new(head_dim, keys, causal, dtype);
    let map = |(tensor, view): &(Primitive, View<4>), rows: usize| -> TensorMapBinding {
        view.map(tensor, [1, rows, 1, ROW], [1; 4])
    };
    let [query, key, value] = &operands;
    let maps = vec![map(query, QUERIES), map(key, recipe.tile), map(value, recipe.tile)];
    let (target, result) = output::<B, 3>(&query.0, [batch, queries, count * head_dim], dtype);
    let scale = (options.scale_or_default() * std::f64::consts::LOG2_E) as f32;
    let arguments = Arguments {
        maps,
        buffers: vec![target.handle.clone().binding()],
        info: vec![queries as u64, keys as u64, count as u64, scale.to_bits().into()],
    };
    launch(
        &target.client,
        Kernel::of(&recipe),
        [queries.div_ceil(QUERIES), count, batch],
        arguments,
    );
    Some(result)
}

/// Attention of one wide head, as the autoencoder has: as products around a softmax, some queries at a time.
fn by_products<B>(views: [&Heads<B>; 3], options: &AttentionOptions<B>) -> Option<Tensor<B, 3>>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    let dtype = views[0].projection.dtype();
    let [batch, queries, _] = views[0].projection.dims();
    let keys = views[1].projection.dims()[1];
    let is_taken = options.heads == 1
        && matches!(options.mask, AttentionMask::None)
        && takes(&cube::primitive(views[0].projection.clone()))
        && views.iter().all(|view| view.projection.dtype() == dtype)
        && batch * queries * keys > 0;
    if !is_taken {
        return None;
    }
    let scale = options.scale_or_default() as f32;
    let rows = (SCORES / keys).next_multiple_of(QUERIES).min(queries.max(1));
    let [query, key, value] =
        views.map(|view| view.projection.clone().narrow(2, view.offset, options.head_dim));
    let mut outputs = Vec::new();
    for sample in 0..batch {
        let key = Weight::Dense(key.clone().narrow(0, sample, 1).squeeze_dim::<2>(0));
        let value =
            Weight::Dense(value.clone().narrow(0, sample, 1).squeeze_dim::<2>(0).transpose());
        for first in (0..queries).step_by(rows) {
            let query = query.clone().narrow(0, sample, 1);
            let query = query.narrow(1, first, rows.min(queries - first));
            let scores = linear::product(&query, &key, &Epilogue::new(), DType::F32)?;
            let scores = cube::primitive(scores.unsqueeze_dim::<4>(1));
            let shares: Tensor<B, 4> = cube::tensor(cube::softmax(scores, scale, Seen::All));
            let shares = shares.squeeze_dim::<3>(1).cast(dtype);
            outputs.push(linear::product(&shares, &value, &Epilogue::new(), dtype)?);
        }
    }
    let width = options.head_dim;
    Some(match outputs.len() {
        1 => outputs.remove(0),
        _ => Tensor::cat(outputs, 1).reshape([batch, queries, width]),
    })
}
