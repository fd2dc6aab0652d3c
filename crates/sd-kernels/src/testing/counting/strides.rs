//! Which tensors are not row-major, so that a reshape which has to copy is told from one that does not.

use std::collections::HashMap;

use burn_backend::Shape;
use burn_ir::{BaseOperationIr, OperationIr, TensorId, TensorIr, TensorStatus};
use burn_std::{
    Strides,
    tensor::{ReshapeAction, contiguous_strides, reshape_action},
};

/// The strides that a GPU backend would give to tensors, as far as they are not those of row-major order.
#[derive(Debug, Default)]
pub(super) struct Layouts(HashMap<TensorId, Strides>);

impl Layouts {
    /// Follows one operation, and says whether it would launch a kernel.
    pub(super) fn launches(&mut self, operation: &OperationIr) -> bool {
        let launches = match operation {
            OperationIr::Init(_) | OperationIr::Drop(_) => false,
            OperationIr::BaseFloat(base)
            | OperationIr::BaseInt(base)
            | OperationIr::BaseBool(base) => self.follow(base),
            _ => true,
        };
        if let OperationIr::Drop(tensor) = operation {
            self.0.remove(&tensor.id);
        }
        for input in operation.inputs().filter(|input| input.status == TensorStatus::ReadWrite) {
            self.0.remove(&input.id);
        }
        launches
    }

    fn follow(&mut self, operation: &BaseOperationIr) -> bool {
        match operation {
            BaseOperationIr::Empty(_) => false,
            BaseOperationIr::SwapDims(view) => {
                let mut strides = self.strides(&view.input);
                strides.swap(view.dim1, view.dim2);
                self.view(&view.out, strides)
            }
            BaseOperationIr::Permute(view) => {
                let strides = self.strides(&view.input);
                let permuted = view.axes.iter().map(|axis| strides[*axis]).collect::<Vec<_>>();
                self.view(&view.out, permuted.into())
            }
            BaseOperationIr::Expand(view) => {
                let strides =
                    expanded(&view.input.shape, &self.strides(&view.input), &view.out.shape);
                self.view(&view.out, strides)
            }
            BaseOperationIr::Reshape(view) => {
                let strides = self.strides(&view.input);
                match reshape_action(&view.input.shape, &strides, &view.out.shape) {
                    ReshapeAction::UpdateStrides { strides } => self.view(&view.out, strides),
                    ReshapeAction::NoChange => self.view(&view.out, strides),
                    ReshapeAction::Recompute => true,
                }
            }
            _ => true,
        }
    }

    fn strides(&self, tensor: &TensorIr) -> Strides {
        self.0.get(&tensor.id).cloned().unwrap_or_else(|| contiguous_strides(&tensor.shape))
    }

    /// Notes a view, which launches nothing.
    fn view(&mut self, tensor: &TensorIr, strides: Strides) -> bool {
        if strides != contiguous_strides(&tensor.shape) {
            self.0.insert(tensor.id, strides);
        }
        false
    }
}

/// Axes of one element get a stride of 0.
fn expanded(from: &Shape, strides: &Strides, to: &Shape) -> Strides {
    let new = to.len() - from.len();
    let stride = |axis: usize| match axis.checked_sub(new) {
        Some(old) if from[old] == to[axis] => strides[old],
        _ => 0,
    };
    (0..to.len()).map(stride).collect::<Vec<_>>().into()
}
