//! A backend that counts what would be launched on a GPU, and sees what is launched outside of the operations.
//!
//! Behind [`DiffusionBackend::capture`] nothing may be launched but through the operations of that trait. A model's test
//! runs its forward pass on [`Counting`] inside [`count_launches`] and asserts that nothing strayed.

mod client;
mod strides;

use core::cell::{Cell, RefCell};

use burn::tensor::{DType, Tensor, TensorData};
use burn_router::BackendRouter;

use crate::{
    AttentionOptions, Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, GroupNormOptions,
    Heads, LayerNormOptions, Weight, WeightRole, default,
};

pub use client::{CountingChannel, CountingClient, CountingDevice};

/// A backend that records the operations of the default bodies and runs none, so that a model of full size costs neither
/// memory nor time. What is read from it is zero.
pub type Counting = BackendRouter<CountingChannel>;

/// What was launched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launches {
    /// Kernels launched inside the operations of [`DiffusionBackend`].
    pub inside: usize,
    /// What was launched or read back outside of them, in order. A copy that a view demands counts.
    pub stray: Vec<String>,
    /// Tensors made from data of the host outside of the operations.
    pub uploads: usize,
}

thread_local! {
    static RECORD: RefCell<Option<Launches>> = const { RefCell::new(None) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Counts what `run` launches on [`Counting`] from this thread.
///
/// # Panics
/// When it is called inside itself.
pub fn count_launches<R>(run: impl FnOnce() -> R) -> Launches {
    /// Ends the recording when `run` panics, too.
    struct Recording;
    impl Drop for Recording {
        fn drop(&mut self) {
            RECORD.set(None);
        }
    }

    let before = RECORD.replace(Some(Launches::default()));
    assert!(before.is_none(), "launches are being counted already");
    let _recording = Recording;
    drop(run());
    RECORD.take().unwrap_or_default()
}

fn record(change: impl FnOnce(&mut Launches, bool)) {
    RECORD.with_borrow_mut(|record| {
        if let Some(launches) = record {
            change(launches, DEPTH.get() > 0);
        }
    });
}

/// Runs the body of an operation.
fn inside<R>(body: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }

    DEPTH.set(DEPTH.get() + 1);
    let _leave = Leave;
    body()
}

impl DiffusionBackend for Counting {
    fn upload_weight<const D: usize>(
        data: TensorData,
        _role: WeightRole,
        dtype: DType,
        device: &Self::Device,
    ) -> Tensor<Self, D> {
        inside(|| Tensor::from_data(data.convert_dtype(dtype), (device, dtype)))
    }

    fn fused_linear(
        input: Tensor<Self, 3>,
        weight: &Weight<Self, 2>,
        epilogue: Epilogue<Self, 3>,
    ) -> Tensor<Self, 3> {
        inside(|| default::linear(input, weight, epilogue))
    }

    fn fused_conv2d(
        input: ConvInput<Self>,
        weight: &Weight<Self, 4>,
        options: Conv2dOptions,
        epilogue: Epilogue<Self, 4>,
    ) -> Tensor<Self, 4> {
        inside(|| default::conv2d(input, weight, options, epilogue))
    }

    fn fused_attention(
        query: Heads<Self>,
        key: Heads<Self>,
        value: Heads<Self>,
        options: AttentionOptions<Self>,
    ) -> Tensor<Self, 3> {
        inside(|| default::attention(query, key, value, options))
    }

    fn fused_group_norm(
        input: ConvInput<Self>,
        options: GroupNormOptions<Self>,
    ) -> Tensor<Self, 4> {
        inside(|| default::group_norm(input, options))
    }

    fn fused_layer_norm(
        input: Tensor<Self, 3>,
        options: LayerNormOptions<Self>,
    ) -> Tensor<Self, 3> {
        inside(|| default::layer_norm(input, options))
    }

    fn fused_rms_norm(
        input: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        eps: f64,
    ) -> Tensor<Self, 3> {
        inside(|| default::rms_norm(input, weight, eps))
    }

    fn fused_epilogue(input: Tensor<Self, 3>, epilogue: Epilogue<Self, 3>) -> Tensor<Self, 3> {
        inside(|| default::epilogue(input, epilogue))
    }

    fn linear_combination(terms: Vec<(f64, Tensor<Self, 4>)>) -> Tensor<Self, 4> {
        inside(|| default::linear_combination(terms))
    }
}
