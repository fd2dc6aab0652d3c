//! Epilogues on their own.

use burn::tensor::Tensor;
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};

use super::{
    node::Parents,
    tail::{Tail, parted},
};
use crate::{DiffusionBackend, Epilogue, default};

pub(super) fn epilogue<B: DiffusionBackend, C: CheckpointStrategy>(
    input: Tensor<Autodiff<B, C>, 3>,
    epilogue: Epilogue<Autodiff<B, C>, 3>,
) -> Tensor<Autodiff<B, C>, 3> {
    if epilogue.channel_mul.is_some() {
        return default::epilogue(input, epilogue);
    }
    if epilogue.is_identity() {
        return input;
    }
    let (before, after) = parted(epilogue);
    let Some(after) = after else { return plain(input, before) };
    let input = if before.is_identity() { input } else { plain(input, before) };

    let mut parents = Parents::new();
    let (activation, gate) = (after.activation, after.gate);
    let (input_slot, input) = parents.add(input);
    let (tail, epilogue) = Tail::new(&mut parents, after);
    let epilogue = Epilogue { activation, gate, ..epilogue };
    let output = B::fused_epilogue(input.clone(), epilogue);
    parents.record(output, move |gradient, found| {
        let gradient = tail.backward(gradient, found);
        if found.wants(input_slot) {
            let gradient = B::activation_backward(input.clone(), activation, gate, gradient);
            found.set(input_slot, gradient);
        }
    })
}

/// An epilogue without an activation.
fn plain<B: DiffusionBackend, C: CheckpointStrategy>(
    input: Tensor<Autodiff<B, C>, 3>,
    epilogue: Epilogue<Autodiff<B, C>, 3>,
) -> Tensor<Autodiff<B, C>, 3> {
    let mut parents = Parents::new();
    let (input_slot, input) = parents.add(input);
    let (tail, epilogue) = Tail::new(&mut parents, epilogue);
    let output = B::fused_epilogue(input, epilogue);
    parents.record(output, move |gradient, found| {
        let gradient = tail.backward(gradient, found);
        found.set(input_slot, gradient);
    })
}
