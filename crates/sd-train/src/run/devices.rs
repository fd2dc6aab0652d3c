//! The devices of a run.

use burn::{prelude::DeviceOps, tensor::backend::Backend};

use crate::TrainError;

/// Devices of the kind of `first` by their numbers, or `first` itself where none are given. A device may be given twice.
pub(super) fn devices<I: Backend>(
    numbers: &[u16],
    first: &I::Device,
) -> Result<Vec<I::Device>, TrainError> {
    if numbers.is_empty() {
        return Ok(vec![first.clone()]);
    }
    let kind = first.to_id();
    let count = I::device_count(kind.type_id);
    let device = |number: &u16| {
        let mut id = kind;
        id.index_id = *number;
        let device = <I::Device as DeviceOps>::from_id(id);
        // Kinds of which there is but one have no other numbers, whatever their count.
        match usize::from(*number) < count && device.to_id().index_id == *number {
            true => Ok(device),
            false => Err(TrainError::NoDevice {
                index: (*number).into(),
                backend: I::name(first),
                count,
            }),
        }
    };
    numbers.iter().map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type I = burn_ndarray::NdArray<f32>;

    #[test]
    fn devices_that_are_not_there_are_refused() {
        assert_eq!(devices::<I>(&[], &Default::default()).unwrap().len(), 1);
        assert_eq!(devices::<I>(&[0, 0], &Default::default()).unwrap().len(), 2);
        let error = devices::<I>(&[0, 1], &Default::default()).unwrap_err();
        assert!(matches!(error, TrainError::NoDevice { index: 1, count: 1, .. }), "{error}");
    }
}
