//! The typed front of [`DiffusionBackend`]: checks what an override may assume, then calls it.
//!
//! Wrong shapes and mixed dtypes are faults of model code, not of its user, so they panic with what was expected and what
//! was found, as Burn's own operations do.

use burn::tensor::{DType, Tensor};

use crate::{
    AttentionMask, AttentionOptions, Channels, Conv2dOptions, ConvInput, DiffusionBackend,
    Epilogue, Gate, GroupNormOptions, Heads, LayerNormOptions, Modulation, Weight,
};

/// A linear layer with its epilogue; see [`DiffusionBackend::fused_linear`].
///
/// # Shapes
/// - input: `[batch, .., in]`
/// - weight: `[out, in]`
/// - output: `[batch, .., out]`, or half of `out` with a gated pair
///
/// # Panics
/// When the widths or dtypes differ.
pub fn linear<B: DiffusionBackend, const D: usize>(
    input: Tensor<B, D>,
    weight: &Weight<B, 2>,
    epilogue: Epilogue<B, D>,
) -> Tensor<B, D> {
    let dims = input.dims();
    let [out, width] = weight.dims();
    assert_eq!(dims[D - 1], width, "linear: input {dims:?} for a weight [{out}, {width}]");
    same_dtype("linear", input.dtype(), weight.dtype());
    let shape = rows(dims);
    let (product, out) = (out, epilogue.output_channels(out));
    check_epilogue("linear", &epilogue, input.dtype(), product, with_last(dims, out));
    let output =
        B::fused_linear(input.reshape(shape), weight, epilogue.reshape([shape[0], shape[1], out]));
    output.reshape(with_last(dims, out))
}

/// A convolution with its epilogue; see [`DiffusionBackend::fused_conv2d`]. One of 1×1 is a linear layer.
///
/// # Shapes
/// - input: `[batch, height, width, in]`
/// - weight: `[out, kernel_h, kernel_w, in]`
/// - output: `[batch, out_height, out_width, out]`, or half of `out` with a gated pair
///
/// # Panics
/// When channels or dtypes differ, or the kernel does not fit into the padded image.
pub fn conv2d<B: DiffusionBackend>(
    input: impl Into<ConvInput<B>>,
    weight: &Weight<B, 4>,
    options: Conv2dOptions,
    epilogue: Epilogue<B, 4>,
) -> Tensor<B, 4> {
    let input = input.into();
    let dims @ [batch, height, width, channels] = input.dims();
    let [out, kernel_h, kernel_w, expected] = weight.dims();
    assert_eq!(
        channels, expected,
        "conv2d: input {dims:?} for a weight [{out}, {kernel_h}, {kernel_w}, {expected}]"
    );
    check_pair("conv2d", &input);
    same_dtype("conv2d", input.dtype(), weight.dtype());
    let size = match options.stride {
        0 => None,
        _ => options.output_size([height, width], [kernel_h, kernel_w]),
    };
    let Some([rows, columns]) = size else {
        panic!(
            "conv2d: a kernel of {kernel_h}×{kernel_w} with {options:?} does not fit {height}×{width}"
        )
    };
    let output = [batch, rows, columns, epilogue.output_channels(out)];
    check_epilogue("conv2d", &epilogue, input.dtype(), out, output);
    B::fused_conv2d(input, weight, options, epilogue)
}

/// Attention; see [`DiffusionBackend::fused_attention`].
///
/// # Shapes
/// - query: `[batch, queries, ≥ heads · head_dim]`
/// - key, value: `[batch, keys, ≥ heads · head_dim]`
/// - output: `[batch, queries, heads · head_dim]`
///
/// # Panics
/// When batches, token counts or dtypes differ, or a view reaches beyond its projection.
pub fn attention<B: DiffusionBackend>(
    query: impl Into<Heads<B>>,
    key: impl Into<Heads<B>>,
    value: impl Into<Heads<B>>,
    options: AttentionOptions<B>,
) -> Tensor<B, 3> {
    let (query, key, value) = (query.into(), key.into(), value.into());
    let [batch, queries, _] = query.projection.dims();
    let [_, keys, _] = key.projection.dims();
    for (name, view, tokens) in
        [("query", &query, queries), ("key", &key, keys), ("value", &value, keys)]
    {
        let dims = view.projection.dims();
        let end = view.offset + options.heads * options.head_dim;
        assert!(
            dims[0] == batch && dims[1] == tokens && dims[2] >= end,
            "attention: {name} {dims:?} for a batch of {batch}, {tokens} tokens, columns up to {end}"
        );
        same_dtype("attention", query.projection.dtype(), view.projection.dtype());
    }
    if let AttentionMask::Additive(mask) = &options.mask {
        same_dtype("attention", query.projection.dtype(), mask.dtype());
        let dims = mask.dims();
        let full = [batch, options.heads, queries, keys];
        let fits = (0..3).all(|axis| dims[axis] == full[axis] || dims[axis] == 1);
        assert!(fits && dims[3] == keys, "attention: a mask {dims:?} for scores {full:?}");
    }
    B::fused_attention(query, key, value, options)
}

/// Group norm; see [`DiffusionBackend::fused_group_norm`].
///
/// # Shapes
/// - input, output: `[batch, height, width, channels]`
///
/// # Panics
/// When the groups do not divide the channels, or shapes or dtypes differ.
pub fn group_norm<B: DiffusionBackend>(
    input: impl Into<ConvInput<B>>,
    options: GroupNormOptions<B>,
) -> Tensor<B, 4> {
    let input = input.into();
    let [batch, _, _, channels] = input.dims();
    check_pair("group_norm", &input);
    assert!(
        options.groups > 0 && channels.is_multiple_of(options.groups),
        "group_norm: {} groups do not divide {channels} channels",
        options.groups
    );
    if let Some(affine) = &options.affine {
        check_vector("group_norm", &affine.weight, input.dtype(), channels);
        check_vector("group_norm", &affine.bias, input.dtype(), channels);
    }
    check_modulation("group_norm", &options.modulation, input.dtype(), [batch, channels]);
    B::fused_group_norm(input, options)
}

/// Layer norm over the last axis; see [`DiffusionBackend::fused_layer_norm`].
///
/// # Shapes
/// - input, output: `[batch, .., channels]`
///
/// # Panics
/// When shapes or dtypes differ.
pub fn layer_norm<B: DiffusionBackend, const D: usize>(
    input: Tensor<B, D>,
    options: LayerNormOptions<B>,
) -> Tensor<B, D> {
    let dims = input.dims();
    if let Some(affine) = &options.affine {
        check_vector("layer_norm", &affine.weight, input.dtype(), dims[D - 1]);
        check_vector("layer_norm", &affine.bias, input.dtype(), dims[D - 1]);
    }
    let shape @ [batch, _, channels] = rows(dims);
    check_modulation("layer_norm", &options.modulation, input.dtype(), [batch, channels]);
    B::fused_layer_norm(input.reshape(shape), options).reshape(dims)
}

/// RMS norm over the last axis; see [`DiffusionBackend::fused_rms_norm`].
///
/// # Shapes
/// - input, output: `[batch, .., channels]`
///
/// # Panics
/// When shapes or dtypes differ.
pub fn rms_norm<B: DiffusionBackend, const D: usize>(
    input: Tensor<B, D>,
    weight: Tensor<B, 1>,
    eps: f64,
) -> Tensor<B, D> {
    let dims = input.dims();
    check_vector("rms_norm", &weight, input.dtype(), dims[D - 1]);
    B::fused_rms_norm(input.reshape(rows(dims)), weight, eps).reshape(dims)
}

/// An epilogue on its own; see [`DiffusionBackend::fused_epilogue`].
///
/// # Shapes
/// - input: `[batch, .., channels]`
/// - output: the same, or half of the channels with a gated pair
///
/// # Panics
/// When shapes or dtypes differ.
pub fn epilogue<B: DiffusionBackend, const D: usize>(
    input: Tensor<B, D>,
    epilogue: Epilogue<B, D>,
) -> Tensor<B, D> {
    let dims = input.dims();
    let shape = rows(dims);
    let out = epilogue.output_channels(dims[D - 1]);
    check_epilogue("epilogue", &epilogue, input.dtype(), dims[D - 1], with_last(dims, out));
    let output =
        B::fused_epilogue(input.reshape(shape), epilogue.reshape([shape[0], shape[1], out]));
    output.reshape(with_last(dims, out))
}

/// `Σ coefficient · tensor`; see [`DiffusionBackend::linear_combination`].
///
/// # Panics
/// When there is no term, or shapes or dtypes differ.
pub fn linear_combination<B: DiffusionBackend, const D: usize>(
    terms: impl IntoIterator<Item = (f64, Tensor<B, D>)>,
) -> Tensor<B, D> {
    let terms: Vec<_> = terms.into_iter().collect();
    let (dims, dtype) = match terms.first() {
        Some((_, first)) => (first.dims(), first.dtype()),
        None => panic!("linear_combination: no terms"),
    };
    let shape = [1, 1, 1, dims.iter().product()];
    let terms = terms.into_iter().map(|(coefficient, tensor)| {
        assert_eq!(tensor.dims(), dims, "linear_combination: shapes differ");
        same_dtype("linear_combination", dtype, tensor.dtype());
        (coefficient, tensor.reshape(shape))
    });
    B::linear_combination(terms.collect()).reshape(dims)
}

/// `[batch, everything between, channels]`.
fn rows<const D: usize>(dims: [usize; D]) -> [usize; 3] {
    match dims.as_slice() {
        [batch, between @ .., channels] => [*batch, between.iter().product(), *channels],
        // A single row.
        [channels] => [1, 1, *channels],
        [] => [1, 1, 1],
    }
}

fn with_last<const D: usize>(mut dims: [usize; D], last: usize) -> [usize; D] {
    dims[D - 1] = last;
    dims
}

fn same_dtype(operation: &str, expected: DType, found: DType) {
    assert_eq!(expected, found, "{operation}: dtypes differ; casts belong to component borders");
}

fn check_vector<B: DiffusionBackend>(
    operation: &str,
    vector: &Tensor<B, 1>,
    dtype: DType,
    channels: usize,
) {
    assert_eq!(vector.dims(), [channels], "{operation}: a vector for {channels} channels");
    same_dtype(operation, dtype, vector.dtype());
}

fn check_channels<B: DiffusionBackend>(
    operation: &str,
    view: &Channels<B>,
    dtype: DType,
    [batch, channels]: [usize; 2],
) {
    let (dims, offset) = (view.projection.dims(), view.offset);
    assert!(
        view.fits(batch, channels),
        "{operation}: a view from column {offset} of {dims:?} for {channels} channels of {batch} samples"
    );
    same_dtype(operation, dtype, view.dtype());
}

fn check_pair<B: DiffusionBackend>(operation: &str, input: &ConvInput<B>) {
    if let Some(second) = &input.second {
        let (first, second_dims) = (input.first.dims(), second.dims());
        assert_eq!(first[..3], second_dims[..3], "{operation}: a pair {first:?}, {second_dims:?}");
        same_dtype(operation, input.first.dtype(), second.dtype());
    }
}

fn check_modulation<B: DiffusionBackend>(
    operation: &str,
    modulation: &Option<Modulation<B>>,
    dtype: DType,
    shape: [usize; 2],
) {
    if let Some(Modulation { scale, shift }) = modulation {
        check_channels(operation, scale, dtype, shape);
        check_channels(operation, shift, dtype, shape);
    }
}

/// `channels` is that of the product, `output` the shape of what the epilogue leaves.
fn check_epilogue<B: DiffusionBackend, const D: usize>(
    operation: &str,
    epilogue: &Epilogue<B, D>,
    dtype: DType,
    channels: usize,
    output: [usize; D],
) {
    let [batch, _, _] = rows(output);
    if let Some(bias) = &epilogue.bias {
        check_vector(operation, bias, dtype, channels);
    }
    if let Some(add) = &epilogue.channel_add {
        check_channels(operation, add, dtype, [batch, channels]);
    }
    if let Some(mul) = &epilogue.channel_mul {
        check_channels(operation, mul, dtype, [batch, epilogue.output_channels(channels)]);
    }
    if let Some(residual) = &epilogue.residual {
        assert_eq!(residual.dims(), output, "{operation}: a residual of the output's shape");
        same_dtype(operation, dtype, residual.dtype());
    }
    assert!(
        epilogue.gate == Gate::None || channels.is_multiple_of(2),
        "{operation}: {channels} channels cannot be paired"
    );
}
