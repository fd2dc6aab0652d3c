//! Linear layers.

use burn::tensor::{DType, Tensor, backend::Backend};
use burn_cubecl::tensor::CubeTensor;
use cubecl::cuda::CudaRuntime;

use super::{
    matmul::{Product, output},
    tail::Tail,
    takes,
    tensor_map::{ROW, View},
    tiles::{ROWS, STEP},
};
use crate::{Epilogue, Weight, cube};

/// As [`cube::bodies::linear`].
pub(crate) fn forward<B>(
    input: Tensor<B, 3>,
    weight: &Weight<B, 2>,
    epilogue: Epilogue<B, 3>,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    match product(&input, weight, &epilogue, input.dtype()) {
        Some(output) => output,
        None => cube::bodies::linear(input, weight, epilogue),
    }
}

/// The product as a tensor of `dtype`, the input's or f32, if the kernel takes it.
pub(super) fn product<B>(
    input: &Tensor<B, 3>,
    weight: &Weight<B, 2>,
    epilogue: &Epilogue<B, 3>,
    dtype: DType,
) -> Option<Tensor<B, 3>>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    let [batch, tokens, width] = input.dims();
    let [out, _] = weight.dims();
    let rows = batch * tokens;
    let columns = epilogue.output_channels(out);
    let values = cube::primitive(input.clone());
    if !takes(&values) || weight.dtype() != values.dtype || rows == 0 || width == 0 || columns == 0
    {
        return None;
    }
    let weight = cube::row_major(cube::primitive(weight.to_dense(&input.device())));
    let values = cube::row_major(values);
    let tail = Tail::new(epilogue, values.dtype)?;
    let of_input = View { shape: [rows, width], strides: [cube::pitch(&values), 1], offset: 0 };
    let of_weight = View::<2>::of(&weight);
    if !of_input.is_aligned(&values) || !of_weight.is_aligned(&weight) {
        return None;
    }

    let product = Product {
        rows,
        columns,
        positions: tokens,
        row_tiles: rows.div_ceil(ROWS),
        steps: width.div_ceil(STEP),
        dtype: values.dtype,
        convolution: None,
        pair: false,
    };
    let gated = tail.parts().gated;
    let cut = product.cut(&values, gated);
    let maps = vec![
        of_input.map(&values, [ROWS, ROW], [1, 1]),
        of_weight.map(&weight, [cut.output_columns(gated), ROW], [1, 1]),
    ];
    let (target, result) = output::<B, 3>(&values, [batch, tokens, columns], dtype);
    product.launch(&target, cut, &tail, maps);
    Some(result)
}
