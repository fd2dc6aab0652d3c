//! What a denoiser is told about the picture.

use burn::tensor::{FloatDType, Tensor, backend::Backend};

/// The output of the text encoders, one row for each picture.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Conditioning<B: Backend> {
    /// Token features, `[batch, tokens, width]`.
    pub context: Tensor<B, 3>,
    /// One vector for the whole prompt, `[batch, width]`, for denoisers that want it (SDXL, SD 3).
    pub pooled: Option<Tensor<B, 2>>,
    /// Numbers about the picture beside the text, one list for each row: SDXL's original size, crop and target size or
    /// aesthetic score. f64 in any precision: in 16 bits, sizes above 2048 would be rounded.
    pub time_ids: Option<Vec<Vec<f64>>>,
}

impl<B: Backend> Conditioning<B> {
    /// Token features alone.
    pub fn new(context: Tensor<B, 3>) -> Self {
        Self { context, pooled: None, time_ids: None }
    }

    /// Adds pooled vectors.
    pub fn with_pooled(mut self, pooled: Tensor<B, 2>) -> Self {
        self.pooled = Some(pooled);
        self
    }

    /// Adds the same numbers about the picture to each row.
    pub fn with_time_ids(mut self, time_ids: Vec<f64>) -> Self {
        self.time_ids = Some(vec![time_ids; self.batch()]);
        self
    }

    /// Features and pooled vectors of zeros: what SDXL takes for an absent negative prompt.
    pub fn zeros_like(self) -> Self {
        Self {
            context: self.context.zeros_like(),
            pooled: self.pooled.map(|pooled| pooled.zeros_like()),
            time_ids: self.time_ids,
        }
    }

    /// Number of rows.
    pub fn batch(&self) -> usize {
        self.context.dims()[0]
    }

    /// Every row `times` times in a row: the pictures of the first prompt, then those of the second.
    pub fn repeat_each(self, times: usize) -> Self {
        Self {
            context: repeat_each(self.context, times),
            pooled: self.pooled.map(|pooled| repeat_each(pooled, times)),
            time_ids: self.time_ids.map(|rows| {
                rows.into_iter().flat_map(|row| std::iter::repeat_n(row, times)).collect()
            }),
        }
    }

    /// The rows of several conditionings, one after the other. Pooled vectors and numbers stay if all have them.
    ///
    /// # Panics
    /// Without parts, or with parts of different widths or token counts.
    pub fn cat(parts: Vec<Self>) -> Self {
        let pooled: Option<Vec<_>> = parts.iter().map(|part| part.pooled.clone()).collect();
        let time_ids: Option<Vec<_>> = parts.iter().map(|part| part.time_ids.clone()).collect();
        let context = parts.into_iter().map(|part| part.context).collect();
        Self {
            context: Tensor::cat(context, 0),
            pooled: pooled.map(|pooled| Tensor::cat(pooled, 0)),
            time_ids: time_ids.map(|rows| rows.concat()),
        }
    }

    /// The same in another dtype.
    pub fn cast(self, dtype: FloatDType) -> Self {
        Self {
            context: self.context.cast(dtype),
            pooled: self.pooled.map(|pooled| pooled.cast(dtype)),
            time_ids: self.time_ids,
        }
    }
}

fn repeat_each<B: Backend, const D: usize>(rows: Tensor<B, D>, times: usize) -> Tensor<B, D> {
    if times == 1 {
        return rows;
    }
    let batch = rows.dims()[0];
    let parts = (0..batch).flat_map(|row| {
        let row = rows.clone().narrow(0, row, 1);
        std::iter::repeat_n(row, times)
    });
    Tensor::cat(parts.collect(), 0)
}

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use super::*;

    type B = crate::backend::Cpu;

    #[test]
    fn rows_are_repeated_prompt_by_prompt() {
        let device = Default::default();
        let context = Tensor::<B, 3>::from_data([[[1.0f32]], [[2.0]]], &device);
        let mut both = Conditioning::new(context).with_time_ids(vec![8.0]);
        both.time_ids = both.time_ids.map(|rows| vec![rows[0].clone(), vec![9.0]]);
        let repeated = both.repeat_each(2);
        let values: Vec<f32> = repeated.context.into_data().iter().collect();
        assert_eq!(values, [1.0, 1.0, 2.0, 2.0]);
        assert_eq!(repeated.time_ids.unwrap().concat(), [8.0, 8.0, 9.0, 9.0]);
    }

    #[test]
    fn pooled_vectors_stay_only_if_all_have_them() {
        let device = Default::default();
        let with = Conditioning::new(Tensor::<B, 3>::zeros([1, 2, 3], &device))
            .with_pooled(Tensor::zeros([1, 4], &device));
        let without = Conditioning::new(Tensor::<B, 3>::zeros([1, 2, 3], &device));
        let with = with.with_time_ids(vec![1.0, 2.0]);
        let both = Conditioning::cat(vec![with.clone(), with.clone()]);
        assert!(both.pooled.is_some() && both.time_ids == Some(vec![vec![1.0, 2.0]; 2]));
        let mixed = Conditioning::cat(vec![with, without]);
        assert!(mixed.pooled.is_none() && mixed.time_ids.is_none() && mixed.batch() == 2);
    }
}
