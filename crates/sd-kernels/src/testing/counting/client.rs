//! The router's client: it records what it is given, and computes nothing.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, TensorData};
use burn_backend::{DTypeUsage, DTypeUsageSet, DeviceId, DeviceOps, ExecutionError, Shape};
use burn_ir::{OperationIr, TensorId, TensorIr};
use burn_router::{MultiBackendBridge, RouterTensor, RunnerChannel, RunnerClient};
use burn_std::{device::Device, future::DynFut};

use super::{record, strides::Layouts};

/// The one device of [`Counting`](super::Counting).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountingDevice;

impl Device for CountingDevice {
    fn from_id(_: DeviceId) -> Self {
        Self
    }

    fn to_id(&self) -> DeviceId {
        DeviceId { type_id: 0, index_id: 0 }
    }
}

impl DeviceOps for CountingDevice {}

/// Records operations for [`count_launches`](super::count_launches).
#[derive(Debug, Clone, Default)]
pub struct CountingClient {
    layouts: Arc<Mutex<Layouts>>,
}

impl CountingClient {
    fn tensor(&self, shape: Shape, dtype: DType) -> RouterTensor<Self> {
        RouterTensor::new(self.create_empty_handle(), shape, dtype, self.clone())
    }
}

impl RunnerClient for CountingClient {
    type Device = CountingDevice;

    fn register_op(&self, op: OperationIr) {
        // A thread that panicked leaves nothing half done in a table of strides.
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        if layouts.launches(&op) {
            record(|record, is_inside| match is_inside {
                true => record.inside += 1,
                false => record.stray.push(name(&op)),
            });
        }
    }

    fn read_tensor_async(&self, tensor: TensorIr) -> DynFut<Result<TensorData, ExecutionError>> {
        record(|record, _| record.stray.push(format!("read of {:?}", tensor.shape.to_vec())));
        let data = TensorData::zeros::<f32, _>(tensor.shape).convert_dtype(tensor.dtype);
        Box::pin(core::future::ready(Ok(data)))
    }

    fn register_tensor_data(&self, data: TensorData) -> RouterTensor<Self> {
        record(|record, is_inside| record.uploads += usize::from(!is_inside));
        self.tensor(data.shape, data.dtype)
    }

    fn create_empty_handle(&self) -> TensorId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        TensorId::new(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn sync(&self) -> Result<(), ExecutionError> {
        Ok(())
    }

    fn device(&self) -> Self::Device {
        CountingDevice
    }

    fn seed(&self, _: u64) {}

    fn dtype_usage(&self, _: DType) -> DTypeUsageSet {
        DTypeUsage::general()
    }
}

/// `NumericFloat::Add to [2, 3]`, from the name that the representation prints.
fn name(op: &OperationIr) -> String {
    let printed = format!("{op:?}");
    let words: Vec<&str> = printed
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.starts_with(char::is_uppercase) && !is_element_type(word))
        .take(2)
        .collect();
    let outputs: Vec<String> =
        op.outputs().map(|out| format!("{:?}", out.shape.to_vec())).collect();
    format!("{} to {}", words.join("::"), outputs.join(", "))
}

/// An element type stands between the kind of an operation and its name: `NumericFloat(F32, Add(..))`.
fn is_element_type(word: &str) -> bool {
    let digits = word.trim_start_matches(char::is_alphabetic);
    word.len() <= 4 && !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
}

/// The router's way to its one client.
#[derive(Debug, Clone)]
pub struct CountingChannel;

impl RunnerChannel for CountingChannel {
    type Device = CountingDevice;
    type Bridge = OneBackend;
    type Client = CountingClient;
    type FloatElem = f32;
    type IntElem = i32;
    type BoolElem = bool;

    fn name(_: &Self::Device) -> String {
        "counting".to_owned()
    }

    fn init_client(_: &Self::Device) -> Self::Client {
        CountingClient::default()
    }

    fn get_tensor_handle(_: &TensorIr, _: &Self::Client) {}

    fn register_tensor(
        client: &Self::Client,
        _: (),
        shape: Shape,
        dtype: DType,
    ) -> RouterTensor<Self::Client> {
        client.tensor(shape, dtype)
    }
}

/// A bridge that leads nowhere else: there is one backend with one device.
#[derive(Debug)]
pub struct OneBackend;

impl MultiBackendBridge for OneBackend {
    type TensorHandle = ();
    type Device = CountingDevice;

    fn change_backend_float(_: (), _: Shape, _: &Self::Device) {}

    fn change_backend_int(_: (), _: Shape, _: &Self::Device) {}

    fn change_backend_bool(_: (), _: Shape, _: &Self::Device) {}
}
