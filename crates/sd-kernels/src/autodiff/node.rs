//! A node of the graph with a gradient of its own, over any number of tensors.

use core::fmt;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorPrimitive, backend::Backend, ops::FloatTensor};
use burn_autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};

/// Where the gradient of a tensor of rank `D` belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot<const D: usize>(usize);

/// The tensors that an operation reads.
pub(super) struct Parents<B: Backend, C: CheckpointStrategy> {
    tensors: Vec<FloatTensor<Autodiff<B, C>>>,
}

/// The gradients of an operation's tensors, as far as they are found.
pub(super) struct Found<B: Backend> {
    wanted: Vec<bool>,
    gradients: Vec<Option<FloatTensor<B>>>,
}

impl<B: Backend> Found<B> {
    /// Whether anybody asks for this gradient.
    pub(super) fn wants<const D: usize>(&self, slot: Slot<D>) -> bool {
        self.wanted[slot.0]
    }

    /// Leaves a gradient, of the shape and dtype of its tensor.
    pub(super) fn set<const D: usize>(&mut self, slot: Slot<D>, gradient: Tensor<B, D>) {
        if self.wanted[slot.0] {
            self.gradients[slot.0] = Some(gradient.into_primitive().tensor());
        }
    }
}

impl<B: Backend, C: CheckpointStrategy> Parents<B, C> {
    pub(super) fn new() -> Self {
        Self { tensors: Vec::new() }
    }

    /// Adds a tensor; gives its value.
    pub(super) fn add<const D: usize>(
        &mut self,
        tensor: Tensor<Autodiff<B, C>, D>,
    ) -> (Slot<D>, Tensor<B, D>) {
        let tensor = tensor.into_primitive().tensor();
        let value = Tensor::from_primitive(TensorPrimitive::Float(tensor.primitive.clone()));
        self.tensors.push(tensor);
        (Slot(self.tensors.len() - 1), value)
    }

    /// Makes `output` the result of the operation. `gradient` is given that of the output, and leaves those that are wanted.
    ///
    /// # Panics
    /// When there is no tensor, or more than eight.
    pub(super) fn record<const D: usize>(
        self,
        output: Tensor<B, D>,
        gradient: impl Fn(Tensor<B, D>, &mut Found<B>) + Send + Sync + 'static,
    ) -> Tensor<Autodiff<B, C>, D> {
        let rule = Rule(Arc::new(move |output: FloatTensor<B>, found: &mut Found<B>| {
            gradient(Tensor::from_primitive(TensorPrimitive::Float(output)), found)
        }));
        let output = output.into_primitive().tensor();
        let output = match self.tensors.len() {
            1 => self.finish::<1>(output, rule),
            2 => self.finish::<2>(output, rule),
            3 => self.finish::<3>(output, rule),
            4 => self.finish::<4>(output, rule),
            5 => self.finish::<5>(output, rule),
            6 => self.finish::<6>(output, rule),
            7 => self.finish::<7>(output, rule),
            8 => self.finish::<8>(output, rule),
            count => panic!("an operation over {count} tensors"),
        };
        Tensor::from_primitive(TensorPrimitive::Float(output))
    }

    fn finish<const N: usize>(
        self,
        output: FloatTensor<B>,
        rule: Rule<B>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let nodes = core::array::from_fn(|index| self.tensors[index].node.clone());
        match Backward::<B, N>::prepare::<C>(Recorded, nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(rule, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}

/// What leaves the gradients of the tensors, given that of the output.
type Leave<B> = dyn Fn(FloatTensor<B>, &mut Found<B>) + Send + Sync;

/// How to come from the gradient of the output to those of the tensors.
struct Rule<B: Backend>(Arc<Leave<B>>);

impl<B: Backend> Clone for Rule<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B: Backend> fmt::Debug for Rule<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rule")
    }
}

#[derive(Debug)]
struct Recorded;

impl<B: Backend, const N: usize> Backward<B, N> for Recorded {
    type State = Rule<B>;

    fn backward(
        self,
        ops: Ops<Rule<B>, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let output = gradients.consume::<B>(&ops.node);
        let mut found = Found {
            wanted: ops.parents.iter().map(Option::is_some).collect(),
            gradients: (0..N).map(|_| None).collect(),
        };
        (ops.state.0)(output, &mut found);
        for (parent, gradient) in ops.parents.into_iter().zip(found.gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}
