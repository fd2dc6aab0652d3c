//! The part of a batch that one peer has.

use sd_schedulers::NoiseGenerator;

use crate::TrainError;

/// The rows of a batch that one of several peers has. What is random is drawn for the whole batch, on every peer the same, so
/// that several peers draw what one alone would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchRows {
    /// BatchRows of the peers before this one.
    pub before: usize,
    /// Its own.
    pub own: usize,
    /// BatchRows of those behind it.
    pub after: usize,
}

impl BatchRows {
    /// The part of one of `peers` peers.
    ///
    /// # Errors
    /// [`TrainError::Batch`] when not all would have equally many.
    pub fn of_peer(index: usize, peers: usize, batch: usize) -> Result<Self, TrainError> {
        let peers = peers.max(1);
        if batch == 0 || !batch.is_multiple_of(peers) {
            return Err(TrainError::Batch { batch, peers });
        }
        let own = batch / peers;
        let before = own * index.min(peers - 1);
        Ok(Self { before, own, after: batch - before - own })
    }

    /// What a generator draws for these rows.
    pub(crate) fn noise(self, generator: Box<dyn NoiseGenerator>) -> Box<dyn NoiseGenerator> {
        match self {
            Self { before: 0, after: 0, .. } => generator,
            rows => Box::new(Batchx { generator, rows }),
        }
    }
}

/// A generator that draws for all rows and gives those of one peer.
#[derive(Debug)]
struct Batchx {
    generator: Box<dyn NoiseGenerator>,
    rows: BatchRows,
}

impl NoiseGenerator for Batchx {
    fn fill(&mut self, values: &mut [f32]) {
        let BatchRows { before, own, after } = self.rows;
        let each = values.len() / own.max(1);
        let all = self.generator.normal(each * (before + own + after));
        let start = each * before;
        values.copy_from_slice(&all[start..start + values.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Draws;

    #[test]
    fn peers_draw_what_one_alone_draws() {
        let (draws, batch) = (Draws::new(3), 6);
        let alone = (draws.noise(5).normal(batch * 4), {
            let mut choices = draws.choices(5, BatchRows::default());
            (choices.each(batch, |choices| choices.below(1000)), choices.below(1000))
        });
        for peers in [2, 3, 6] {
            let (mut noise, mut numbers) = (Vec::new(), Vec::new());
            for index in 0..peers {
                let rows = BatchRows::of_peer(index, peers, batch).unwrap();
                noise.extend(rows.noise(draws.noise(5)).normal(rows.own * 4));
                let mut choices = draws.choices(5, rows);
                numbers.extend(choices.each(rows.own, |choices| choices.below(1000)));
                // All stand at the same place of the stream afterwards.
                assert_eq!(choices.below(1000), alone.1.1);
            }
            assert_eq!((noise, numbers), (alone.0.clone(), alone.1.0.clone()));
        }
    }

    #[test]
    fn a_batch_is_shared_evenly_or_not_at_all() {
        assert_eq!(BatchRows::of_peer(1, 3, 6).unwrap(), BatchRows { before: 2, own: 2, after: 2 });
        for (peers, batch) in [(4, 6), (2, 0), (8, 4)] {
            let error = BatchRows::of_peer(0, peers, batch).unwrap_err();
            assert!(matches!(error, TrainError::Batch { .. }), "{error}");
        }
    }
}
