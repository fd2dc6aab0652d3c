//! The precisions that models are trained in.

use burn::tensor::backend::Backend;
use sd_nn::Precision;

use crate::TrainError;

/// Whether models can be trained in a precision on a device.
///
/// # Errors
/// [`TrainError::HalfPrecision`] for f16, [`TrainError::Precision`] for what the device does not compute in.
pub(crate) fn check<I: Backend>(
    precision: Precision,
    device: &I::Device,
) -> Result<(), TrainError> {
    match precision {
        Precision::F16 => Err(TrainError::HalfPrecision),
        precision => Ok(precision.check::<I>(device)?),
    }
}
