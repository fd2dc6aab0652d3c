//! The weights that a run shows and keeps.

use burn::tensor::{FloatDType, backend::AutodiffBackend};
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{AnyTensor, ParameterError, Parameters};

use crate::{row::Row, task::prefix};

/// Trained weights in f32: their averages, where there are, and else those that the optimiser keeps.
#[derive(Debug, Clone)]
pub struct TrainedWeights<'a, I: DiffusionBackend> {
    pub(crate) rows: Vec<&'a Row<I>>,
}

impl<I: DiffusionBackend> TrainedWeights<'_, I> {
    /// Puts them into the place of a part's weights, all of which become f32; those that have not been trained keep their values.
    ///
    /// # Errors
    /// [`ParameterError`], when the part takes no parameter of its own shape.
    pub fn apply<B>(
        &self,
        name: &str,
        part: &mut (impl Parameters<B> + ?Sized),
    ) -> Result<(), ParameterError>
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        part.map_parameters(&mut |path, value| {
            let path = format!("{}{path}", prefix(name));
            match self.rows.iter().find_map(|row| row.get(&path)) {
                Some(row) => AnyTensor::from_inner(AnyTensor::from_flat(row, &value.shape())),
                None => value.cast(FloatDType::F32),
            }
        })
    }
}
