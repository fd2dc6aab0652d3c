//! The distance between a prediction and what it should be.

use burn::tensor::{DType, FloatDType, Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

/// A distance, averaged over the values of each row.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Loss {
    /// Squares.
    #[default]
    Mse,
    /// Magnitudes.
    L1,
    /// Squares of small differences and magnitudes of large ones, smoothly: `2 c (√(d² + c²) − c)`, as diffusers' training
    /// scripts have it.
    Huber {
        /// Where the one becomes the other.
        c: f64,
    },
}

impl Loss {
    /// The weighted mean over the rows, `[1]`, in f32.
    ///
    /// # Shapes
    /// - prediction, target: the same
    ///
    /// # Panics
    /// When shapes differ, or there are not as many weights as rows.
    pub fn of<B: Backend>(
        self,
        prediction: Tensor<B, 4>,
        target: Tensor<B, 4>,
        weights: &[f64],
    ) -> Tensor<B, 1> {
        assert_eq!(prediction.dims(), target.dims(), "prediction and target");
        let batch = prediction.dims()[0];
        assert_eq!(batch, weights.len(), "rows and weights");
        let difference = prediction.cast(FloatDType::F32) - target.cast(FloatDType::F32);
        let distance = match self {
            Self::Mse => difference.clone() * difference,
            Self::L1 => difference.abs(),
            Self::Huber { c } => {
                let root = (difference.clone() * difference + c * c).sqrt();
                (root - c) * (2.0 * c)
            }
        };
        let values: usize = distance.dims().iter().skip(1).product();
        let rows = distance.reshape([batch, values]).mean_dim(1).reshape([batch]);
        let weights: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
        let weights = TensorData::new(weights, [batch]);
        (rows.clone() * Tensor::from_data(weights, (&rows.device(), DType::F32))).mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type B = burn_ndarray::NdArray<f32>;

    fn loss(loss: Loss) -> f32 {
        let tensor = |values: [f32; 4]| {
            Tensor::<B, 4>::from_data(
                TensorData::new(values.to_vec(), [2, 1, 1, 2]),
                &Default::default(),
            )
        };
        let (prediction, target) = (tensor([1.0, 2.0, 0.0, 4.0]), tensor([0.0, 0.0, 0.0, 1.0]));
        loss.of(prediction, target, &[1.0, 0.5]).into_scalar()
    }

    #[test]
    fn distances() {
        // Rows: (1 + 4) / 2 and (0 + 9) / 2, the second by half.
        assert!((loss(Loss::Mse) - (2.5 + 2.25) / 2.0).abs() < 1e-6);
        assert!((loss(Loss::L1) - (1.5 + 0.75) / 2.0).abs() < 1e-6);
        let huber = |d: f32| 0.2 * ((d * d + 0.01).sqrt() - 0.1);
        let expected = ((huber(1.0) + huber(2.0)) / 2.0 + huber(3.0) / 4.0) / 2.0;
        assert!((loss(Loss::Huber { c: 0.1 }) - expected).abs() < 1e-5);
    }
}
