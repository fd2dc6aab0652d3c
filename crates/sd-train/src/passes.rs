//! What the passes of a step give.

use burn::tensor::{FloatDType, Tensor};
use sd_kernels::{DiffusionBackend, TrainBackend};

use crate::{Gradients, Losses, Peers, TrainError};

/// What one pass of a step gives, or all of them.
pub(crate) struct Passes<I: DiffusionBackend> {
    pub(crate) gradients: Gradients<I>,
    pub(crate) sums: Sums<I>,
}

/// Losses without their history.
#[derive(Debug, Clone)]
pub(crate) struct Sums<I: DiffusionBackend> {
    pub(crate) total: Tensor<I, 1>,
    pub(crate) terms: Vec<(&'static str, Tensor<I, 1>)>,
}

impl<I: DiffusionBackend> Passes<I> {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { gradients: self.gradients.plus(other.gradients), sums: self.sums.plus(other.sums) }
    }

    /// The mean over all peers.
    pub(crate) fn mean(self, peers: &dyn Peers<I>) -> Result<Self, TrainError> {
        let count = peers.count();
        if count == 1 {
            return Ok(self);
        }
        let mean = |row| Ok::<_, TrainError>(peers.sum(row)? / count as f64);
        Ok(Self { gradients: self.gradients.map(mean)?, sums: self.sums.map(mean)? })
    }
}

impl<I: DiffusionBackend> Sums<I> {
    /// The part of one pass in the losses of a step.
    pub(crate) fn of<B>(losses: &Losses<B>, share: f64) -> Self
    where
        B: TrainBackend<InnerBackend = I>,
    {
        let part = |value: &Tensor<B, 1>| value.clone().inner().cast(FloatDType::F32) * share;
        let terms = losses.terms.iter().map(|(name, term)| (*name, part(term)));
        Self { terms: terms.collect(), total: part(&losses.total) }
    }

    /// What `change` makes of all of them, in one row.
    fn map(
        self,
        change: impl FnOnce(Tensor<I, 1>) -> Result<Tensor<I, 1>, TrainError>,
    ) -> Result<Self, TrainError> {
        let names: Vec<&'static str> = self.terms.iter().map(|(name, _)| *name).collect();
        let all = self.terms.into_iter().map(|(_, term)| term).chain([self.total]);
        let row = change(Tensor::cat(all.collect(), 0))?;
        let one = |index: usize| row.clone().narrow(0, index, 1);
        let terms = names.iter().enumerate().map(|(index, name)| (*name, one(index)));
        Ok(Self { terms: terms.collect(), total: one(names.len()) })
    }

    fn plus(self, other: Self) -> Self {
        let terms = self.terms.into_iter().zip(other.terms);
        Self {
            total: self.total + other.total,
            terms: terms.map(|((name, a), (_, b))| (name, a + b)).collect(),
        }
    }
}
