//! Linear layers and convolutions.

use burn::tensor::Tensor;
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};

use super::{
    image::ImageSlots,
    node::Parents,
    tail::{Tail, parted},
};
use crate::{Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, Weight, default::widen};

/// Workers that a product should be given: as many as a large GPU has.
const WORKERS: usize = 132;
/// Rows and columns of a result that one worker makes.
const TILE: usize = 64;

pub(super) fn linear<B: DiffusionBackend, C: CheckpointStrategy>(
    input: Tensor<Autodiff<B, C>, 3>,
    weight: &Weight<Autodiff<B, C>, 2>,
    epilogue: Epilogue<Autodiff<B, C>, 3>,
) -> Tensor<Autodiff<B, C>, 3> {
    let (epilogue, after) = parted(epilogue);
    let mut parents = Parents::new();
    let (weight_slot, weight) = parents.add(weight.to_dense(&input.device()));
    let (input_slot, input) = parents.add(input);
    let (tail, epilogue) = Tail::new(&mut parents, epilogue);
    let output = B::fused_linear(input.clone(), &Weight::from(weight.clone()), epilogue);
    let output = parents.record(output, move |gradient, found| {
        let gradient = tail.backward(gradient, found);
        if found.wants(input_slot) {
            let [batch, tokens, out] = gradient.dims();
            let rows = gradient.clone().reshape([batch * tokens, out]);
            found.set(input_slot, rows.matmul(weight.clone()).reshape(input.dims()));
        }
        if found.wants(weight_slot) {
            found.set(weight_slot, weight_gradient(gradient, input.clone()));
        }
    });
    match after {
        Some(after) => super::epilogue::epilogue(output, after),
        None => output,
    }
}

pub(super) fn conv2d<B: DiffusionBackend, C: CheckpointStrategy>(
    input: ConvInput<Autodiff<B, C>>,
    weight: &Weight<Autodiff<B, C>, 4>,
    options: Conv2dOptions,
    epilogue: Epilogue<Autodiff<B, C>, 4>,
) -> Tensor<Autodiff<B, C>, 4> {
    let (epilogue, after) = parted(epilogue);
    let mut parents = Parents::new();
    let (weight_slot, weight) = parents.add(weight.to_dense(&input.device()));
    let (image_slots, input) = ImageSlots::new(&mut parents, input);
    let (tail, epilogue) = Tail::new(&mut parents, epilogue);
    let output = B::fused_conv2d(input.clone(), &Weight::from(weight.clone()), options, epilogue);
    let [batch, rows, columns, out] = output.dims();
    let output = parents.record(output, move |gradient, found| {
        let gradient = tail.backward(gradient, found);
        let shape @ [_, kernel_h, kernel_w, _] = weight.dims();
        if image_slots.wanted(found) {
            let gradient = gradient.clone().reshape([batch, rows, columns, out]);
            let image = image_gradient(gradient, &weight, options, input.dims());
            image_slots.set(found, image);
        }
        if found.wants(weight_slot) {
            let columns = B::columns(input.clone(), [kernel_h, kernel_w], options);
            found.set(weight_slot, weight_gradient(gradient, columns).reshape(shape));
        }
    });
    let Some(after) = after else { return output };
    let positions = rows * columns;
    let channels = after.output_channels(out);
    let after = after.reshape([batch, positions, channels]);
    super::epilogue::epilogue(output.reshape([batch, positions, out]), after)
        .reshape([batch, rows, columns, channels])
}

/// The gradient of the image, `[batch, height, width, in]`, from that of the output.
fn image_gradient<B: DiffusionBackend>(
    gradient: Tensor<B, 4>,
    weight: &Tensor<B, 4>,
    options: Conv2dOptions,
    image: [usize; 4],
) -> Tensor<B, 4> {
    let [batch, height, width, depth] = image;
    let [out, kernel_h, kernel_w, _] = weight.dims();
    let length = kernel_h * kernel_w * out;
    let spread = B::spread(gradient, [kernel_h, kernel_w], options, [height, width]);
    let weight = weight.clone().permute([1, 2, 0, 3]).reshape([length, depth]);
    spread.reshape([batch * height * width, length]).matmul(weight).reshape(image)
}

/// `Σ gradientᵀ · input` over all positions of all samples, `[out, in]`.
///
/// A sum over many positions has a small result, and matrix products are shared out by their results: so it is made of as many
/// partial sums as keep all workers busy.
///
/// # Shapes
/// - gradient: `[batch, positions, out]`
/// - input: `[batch, positions, in]`
fn weight_gradient<B: DiffusionBackend>(
    gradient: Tensor<B, 3>,
    input: Tensor<B, 3>,
) -> Tensor<B, 2> {
    let [batch, positions, out] = gradient.dims();
    let width = input.dims()[2];
    let dtype = gradient.dtype();
    let parts = parts(batch, out.div_ceil(TILE) * width.div_ceil(TILE));
    let rows = batch * positions / parts;
    let gradient = gradient.reshape([parts, rows, out]).swap_dims(1, 2);
    let products = gradient.matmul(input.reshape([parts, rows, width]));
    let products = widen(products).reshape([1, parts, out * width]);
    B::sum_positions(products).cast(dtype).reshape([out, width])
}

/// The smallest divisor of the batch with which `tiles` tiles each keep all workers busy, or all of it.
fn parts(batch: usize, tiles: usize) -> usize {
    let enough = |parts: &usize| batch.is_multiple_of(*parts) && parts * tiles >= WORKERS;
    (1..=batch).find(enough).unwrap_or(batch.max(1))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn parts_divide_the_batch() {
        assert_eq!(parts(512, 9), 16);
        assert_eq!(parts(32, 5), 32);
        assert_eq!(parts(6, 50), 3);
        assert_eq!(parts(1, 1), 1);
        assert_eq!(parts(0, 1), 1);
    }
}
