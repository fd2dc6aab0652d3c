//! Several peers that make the steps of a run together.

use burn::tensor::{Tensor, backend::Backend};

use crate::TrainError;

/// What a trainer needs of the peers that it makes its steps with. Each of them has a replica of the models, gets an equal part
/// of every batch, and makes the same step with the mean of all gradients.
pub trait Peers<I: Backend>: core::fmt::Debug {
    /// Which one of them this is, from 0.
    fn index(&self) -> usize;

    /// How many they are.
    fn count(&self) -> usize;

    /// The sum of the rows that the peers give, which have one length, on every peer the same.
    ///
    /// # Errors
    /// When a peer is gone, or the rows could not be exchanged.
    fn sum(&self, row: Tensor<I, 1>) -> Result<Tensor<I, 1>, TrainError>;
}

/// No others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl<I: Backend> Peers<I> for Alone {
    fn index(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn sum(&self, row: Tensor<I, 1>) -> Result<Tensor<I, 1>, TrainError> {
        Ok(row)
    }
}
