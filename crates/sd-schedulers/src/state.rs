//! What has to be kept of a run to go on with it later.

use std::collections::BTreeMap;

/// A run between two evaluations: numbers only, to be written to a file and read again.
///
/// `Run::resume` and `HostRun::resume` go on from it over the same plan, with the same results as a run that was not
/// broken, given a noise generator in the same state.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RunState<T = f32> {
    /// Evaluations that were made.
    pub evaluations: usize,
    /// The latents.
    pub latents: Vec<T>,
    /// The clean latents that the last evaluation predicted.
    pub denoised: Option<Vec<T>>,
    /// What the solver has stored, by slot.
    pub stored: BTreeMap<usize, Vec<T>>,
}

impl<T> RunState<T> {
    /// All lists of numbers, which have the length of the latents in a state that was not tampered with.
    pub(crate) fn lists(&self) -> impl Iterator<Item = &Vec<T>> {
        std::iter::once(&self.latents).chain(&self.denoised).chain(self.stored.values())
    }
}
