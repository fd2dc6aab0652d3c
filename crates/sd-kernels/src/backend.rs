//! The extension trait that every model is bound by.

use burn::tensor::{DType, Tensor, TensorData, backend::Backend, ops::FloatTensor};

use crate::{
    Activation, AttentionOptions, CaptureKey, Conv2dOptions, ConvInput, Epilogue, Gate,
    GroupNormOptions, Heads, LayerNormOptions, NormGradients, Weight, WeightRole, default,
};

/// A Burn backend with the fused operations of diffusion models.
///
/// Every method has a default body made of plain Burn operations (see [`default`]); override those for which the backend
/// has something faster. An override may assume what the front in [`ops`](crate::ops) checks (shapes, equal dtypes), but
/// not that any tensor is contiguous.
pub trait DiffusionBackend: Backend {
    /// Brings a weight from a checkpoint to the device, in checkpoint order and as `dtype`.
    fn upload_weight<const D: usize>(
        data: TensorData,
        role: WeightRole,
        dtype: DType,
        device: &Self::Device,
    ) -> Tensor<Self, D> {
        let _ = role;
        Tensor::from_data(data.convert_dtype(dtype), (device, dtype))
    }

    /// Turns an uploaded weight into the form that the operations read fastest. Layers call it once for each value of a
    /// weight and drop the dense tensor; the way back is [`Weight::to_data`].
    fn pack_weight<const D: usize>(weight: Tensor<Self, D>, role: WeightRole) -> Weight<Self, D> {
        let _ = role;
        Weight::Dense(weight)
    }

    /// `epilogue(input · weightᵀ)`.
    ///
    /// # Shapes
    /// - input: `[batch, tokens, in]`
    /// - weight: `[out, in]`
    /// - output: `[batch, tokens, out]`, or half of `out` with a gated pair
    fn fused_linear(
        input: Tensor<Self, 3>,
        weight: &Weight<Self, 2>,
        epilogue: Epilogue<Self, 3>,
    ) -> Tensor<Self, 3> {
        default::linear(input, weight, epilogue)
    }

    /// `epilogue(convolution(input, weight))`.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, in]`
    /// - weight: `[out, kernel_h, kernel_w, in]`
    /// - output: `[batch, out_height, out_width, out]`, or half of `out` with a gated pair
    fn fused_conv2d(
        input: ConvInput<Self>,
        weight: &Weight<Self, 4>,
        options: Conv2dOptions,
        epilogue: Epilogue<Self, 4>,
    ) -> Tensor<Self, 4> {
        default::conv2d(input, weight, options, epilogue)
    }

    /// `softmax(scale · q · kᵀ + mask) · v` for each head, softmax in f32, in memory that does not grow with the product of
    /// the token counts.
    ///
    /// # Shapes
    /// - query: `[batch, queries, ≥ heads · head_dim]`
    /// - key, value: `[batch, keys, ≥ heads · head_dim]`
    /// - output: `[batch, queries, heads · head_dim]`
    fn fused_attention(
        query: Heads<Self>,
        key: Heads<Self>,
        value: Heads<Self>,
        options: AttentionOptions<Self>,
    ) -> Tensor<Self, 3> {
        default::attention(query, key, value, options)
    }

    /// Group norm, affine, modulation and activation; statistics in f32.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, channels]`
    /// - output: the same
    fn fused_group_norm(
        input: ConvInput<Self>,
        options: GroupNormOptions<Self>,
    ) -> Tensor<Self, 4> {
        default::group_norm(input, options)
    }

    /// Layer norm over the channels, affine and modulation; statistics in f32.
    ///
    /// # Shapes
    /// - input: `[batch, tokens, channels]`
    /// - output: the same
    fn fused_layer_norm(
        input: Tensor<Self, 3>,
        options: LayerNormOptions<Self>,
    ) -> Tensor<Self, 3> {
        default::layer_norm(input, options)
    }

    /// `input / √(mean(input²) + eps) · weight` over the channels; statistics in f32.
    ///
    /// # Shapes
    /// - input: `[batch, tokens, channels]`
    /// - weight: `[channels]`
    /// - output: as the input
    fn fused_rms_norm(
        input: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        eps: f64,
    ) -> Tensor<Self, 3> {
        default::rms_norm(input, weight, eps)
    }

    /// An epilogue on its own.
    ///
    /// # Shapes
    /// - input: `[batch, tokens, channels]`
    /// - output: the same, or half of the channels with a gated pair
    fn fused_epilogue(input: Tensor<Self, 3>, epilogue: Epilogue<Self, 3>) -> Tensor<Self, 3> {
        default::epilogue(input, epilogue)
    }

    /// `Σ coefficient · tensor` over tensors of one shape (guidance, a sampler's update, skip + residual).
    fn linear_combination(terms: Vec<(f64, Tensor<Self, 4>)>) -> Tensor<Self, 4> {
        default::linear_combination(terms)
    }

    /// The pixels under each place of a kernel, side by side: with the weights as `[out, kernel_h · kernel_w · in]`, a convolution
    /// is their product. The gradient of the weights is a product with them, too.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, in]`
    /// - output: `[batch, out_height · out_width, kernel_h · kernel_w · in]`
    fn columns(
        input: ConvInput<Self>,
        kernel: [usize; 2],
        options: Conv2dOptions,
    ) -> Tensor<Self, 3> {
        default::gradients::columns(input, kernel, options)
    }

    /// For each pixel of an image of `[height, width]` and each place of a kernel, the gradient of the output that the pixel had
    /// a part in there, or zeros: element `(y, x, ky, kx)` is the gradient at `((y + top − ky) / stride, (x + left − kx) / stride)`
    /// where both are whole numbers inside of it. The gradient of the image is their product with the weights.
    ///
    /// # Shapes
    /// - gradient: `[batch, out_height, out_width, out]`
    /// - output: `[batch, height · width, kernel_h · kernel_w · out]`
    fn spread(
        gradient: Tensor<Self, 4>,
        kernel: [usize; 2],
        options: Conv2dOptions,
        image: [usize; 2],
    ) -> Tensor<Self, 3> {
        default::gradients::spread(gradient, kernel, options, image)
    }

    /// Sums over the positions of each sample, in f32.
    ///
    /// # Shapes
    /// - input: `[batch, positions, channels]`
    /// - output: `[batch, channels]`
    fn sum_positions(input: Tensor<Self, 3>) -> Tensor<Self, 2> {
        default::gradients::sum_positions(input)
    }

    /// A row of f32 in which each of these values, `[n]`, has its place, given by where it begins. Between them there are zeros.
    ///
    /// # Panics
    /// When values lie beyond the row.
    fn row(
        values: Vec<(usize, Tensor<Self, 1>)>,
        length: usize,
        device: &Self::Device,
    ) -> Tensor<Self, 1> {
        default::row(values, length, device)
    }

    /// The gradient of [`fused_attention`](Self::fused_attention)'s query, key and value: of the columns that the views see. An
    /// additive mask is a constant.
    ///
    /// # Shapes
    /// - gradient: `[batch, queries, heads · head_dim]`
    /// - output: `[batch, queries, heads · head_dim]`, and twice `[batch, keys, heads · head_dim]`
    fn attention_backward(
        query: Heads<Self>,
        key: Heads<Self>,
        value: Heads<Self>,
        options: AttentionOptions<Self>,
        gradient: Tensor<Self, 3>,
    ) -> [Tensor<Self, 3>; 3] {
        default::gradients::attention_backward(query, key, value, options, gradient)
    }

    /// The gradients of [`fused_group_norm`](Self::fused_group_norm) without a modulation.
    ///
    /// # Shapes
    /// - input, gradient: `[batch, height, width, channels]`
    fn group_norm_backward(
        input: Tensor<Self, 4>,
        options: GroupNormOptions<Self>,
        gradient: Tensor<Self, 4>,
    ) -> NormGradients<Self, 4> {
        default::gradients::group_norm_backward(input, options, gradient)
    }

    /// The gradients of [`fused_layer_norm`](Self::fused_layer_norm) without a modulation.
    ///
    /// # Shapes
    /// - input, gradient: `[batch, tokens, channels]`
    fn layer_norm_backward(
        input: Tensor<Self, 3>,
        options: LayerNormOptions<Self>,
        gradient: Tensor<Self, 3>,
    ) -> NormGradients<Self, 3> {
        default::gradients::layer_norm_backward(input, options, gradient)
    }

    /// The gradient of an [`Epilogue`]'s activation and gate with respect to what they are applied to.
    ///
    /// # Shapes
    /// - input, output: `[batch, positions, channels]`
    /// - gradient: the same, or half of the channels with a gated pair
    fn activation_backward(
        input: Tensor<Self, 3>,
        activation: Option<Activation>,
        gate: Gate,
        gradient: Tensor<Self, 3>,
    ) -> Tensor<Self, 3> {
        default::gradients::activation_backward(input, activation, gate, gradient)
    }

    /// Runs `forward` on `inputs`, or replays what an earlier run with an equal `key` launched, on the new inputs.
    ///
    /// Inside `forward` nothing may be launched but through the operations of this trait, and nothing may be read back.
    /// The tensors are primitives, because they are of any rank. Weights are packed at their first use
    /// ([`pack_weight`](Self::pack_weight)), so whoever records lets the first run with a key go by unrecorded.
    fn capture<F>(
        key: &CaptureKey,
        inputs: Vec<FloatTensor<Self>>,
        forward: F,
    ) -> Vec<FloatTensor<Self>>
    where
        F: FnOnce(Vec<FloatTensor<Self>>) -> Vec<FloatTensor<Self>>,
    {
        let _ = key;
        forward(inputs)
    }
}
