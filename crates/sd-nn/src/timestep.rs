//! Embeddings of the timestep and of other scalars.

use burn::{
    module::Module,
    tensor::{DType, Tensor, TensorData, backend::Backend},
};
use sd_kernels::{Activation, DiffusionBackend, Epilogue};

use crate::{Linear, LinearConfig};

/// Sinusoidal features of scalars (`get_timestep_embedding` of diffusers' `models/embeddings.py`). Computed on the host in
/// f32, as diffusers does, and from the timestep as it is: some samplers evaluate between two training steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sinusoidal {
    /// Number of features; an odd one ends in a zero.
    pub width: usize,
    /// Cosines before sines. Every U-Net of the SD family has it so.
    pub flip_sin_to_cos: bool,
    /// Subtracted from the number of frequencies in the exponent's divisor.
    pub freq_shift: f64,
}

impl Sinusoidal {
    /// Features of one scalar, `width` of them.
    pub fn features(&self, value: f64) -> Vec<f32> {
        let half = self.width / 2;
        let divisor = half as f32 - self.freq_shift as f32;
        let angles: Vec<f32> = (0..half)
            .map(|index| {
                let exponent = -(10_000f64.ln() as f32) * index as f32 / divisor;
                value as f32 * f64::from(exponent).exp() as f32
            })
            .collect();
        let sines = angles.iter().map(|angle| f64::from(*angle).sin() as f32);
        let cosines = angles.iter().map(|angle| f64::from(*angle).cos() as f32);
        let mut features: Vec<f32> = if self.flip_sin_to_cos {
            cosines.chain(sines).collect()
        } else {
            sines.chain(cosines).collect()
        };
        features.resize(self.width, 0.0);
        features
    }

    /// Features of several scalars.
    ///
    /// # Shapes
    /// - output: `[values, width]`
    pub fn tensor<B: Backend>(
        &self,
        values: &[f64],
        dtype: DType,
        device: &B::Device,
    ) -> Tensor<B, 2> {
        let features: Vec<f32> = values.iter().flat_map(|value| self.features(*value)).collect();
        let data = TensorData::new(features, [values.len(), self.width]);
        Tensor::from_data(data.convert_dtype(dtype), (device, dtype))
    }
}

/// Configuration of [`TimestepEmbedding`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimestepEmbeddingConfig {
    /// Number of features.
    pub input: usize,
    /// Width of the embedding.
    pub output: usize,
    /// Between the two layers.
    pub activation: Activation,
    /// Width of a condition that is added to the features (LCM's guidance embedding).
    pub condition: Option<usize>,
}

/// A two-layer MLP on sinusoidal features.
#[derive(Module, Debug)]
pub struct TimestepEmbedding<B: Backend> {
    linear_1: Linear<B>,
    cond_proj: Option<Linear<B>>,
    linear_2: Linear<B>,
    activation: Activation,
}

impl TimestepEmbeddingConfig {
    /// An embedding with SiLU and no condition.
    pub const fn new(input: usize, output: usize) -> Self {
        Self { input, output, activation: Activation::Silu, condition: None }
    }

    /// A layer with weights that are drawn at their first use.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> TimestepEmbedding<B> {
        TimestepEmbedding {
            linear_1: LinearConfig::new(self.input, self.output).init(device),
            cond_proj: self
                .condition
                .map(|width| LinearConfig::new(width, self.input).without_bias().init(device)),
            linear_2: LinearConfig::new(self.output, self.output).init(device),
            activation: self.activation,
        }
    }
}

impl<B: DiffusionBackend> TimestepEmbedding<B> {
    /// Embeds features, and the condition if the layer has one and it is given.
    ///
    /// # Shapes
    /// - features: `[batch, in]`
    /// - condition: `[batch, condition]`
    /// - output: `[batch, out]`
    pub fn forward(
        &self,
        features: Tensor<B, 2>,
        condition: Option<Tensor<B, 2>>,
        epilogue: Epilogue<B, 2>,
    ) -> Tensor<B, 2> {
        let features = match (&self.cond_proj, condition) {
            (Some(projection), Some(condition)) => {
                projection.forward_with(condition, Epilogue::new().residual(Some(features)))
            }
            _ => features,
        };
        let hidden =
            self.linear_1.forward_with(features, Epilogue::new().activation(self.activation));
        self.linear_2.forward_with(hidden, epilogue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_come_first_when_flipped() {
        let flipped = Sinusoidal { width: 4, flip_sin_to_cos: true, freq_shift: 0.0 };
        assert_eq!(flipped.features(0.0), [1.0, 1.0, 0.0, 0.0]);
        let plain = Sinusoidal { flip_sin_to_cos: false, ..flipped };
        assert_eq!(plain.features(0.0), [0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn an_odd_width_ends_in_a_zero() {
        let odd = Sinusoidal { width: 5, flip_sin_to_cos: true, freq_shift: 1.0 };
        let features = odd.features(2.5);
        assert_eq!(features.len(), 5);
        assert_eq!(features[4], 0.0);
    }
}
