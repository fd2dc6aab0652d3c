//! The order in which a run takes its examples.

use std::ops::Range;

use crate::Draws;

/// The examples of a run: epochs one after the other without a gap between them, each in an order of its own.
#[derive(Debug, Clone)]
pub struct Epochs {
    draws: Draws,
    count: usize,
    /// The epoch whose order is at hand: drawing it costs as much as there are examples.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl Epochs {
    /// Epochs over this many examples.
    pub fn new(draws: Draws, count: usize) -> Self {
        Self { draws, count, epoch: None, order: Vec::new() }
    }

    /// The examples at these positions, which count from the beginning of the run. None, when there are no examples.
    pub fn examples(&mut self, positions: Range<u64>) -> Vec<usize> {
        if self.count == 0 {
            return Vec::new();
        }
        positions.map(|position| self.example(position)).collect()
    }

    fn example(&mut self, position: u64) -> usize {
        let count = self.count as u64;
        let epoch = position / count;
        if self.epoch != Some(epoch) {
            self.order = self.draws.order(epoch, self.count);
            self.epoch = Some(epoch);
        }
        self.order[(position % count) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_takes_every_example_once() {
        let mut epochs = Epochs::new(Draws::new(7), 10);
        let taken = epochs.examples(0..30);
        for epoch in taken.chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(taken[..10], taken[10..20]);
        // The end of an epoch and the beginning of the next, as steps of five take them, and going back.
        assert_eq!(epochs.examples(15..20), taken[15..20]);
        assert_eq!(epochs.examples(8..13), taken[8..13]);
        assert!(Epochs::new(Draws::new(7), 0).examples(0..5).is_empty());
    }

    /// A state that an earlier version saved goes on with the examples that it would have had.
    #[test]
    fn the_order_is_what_it_was() {
        let mut epochs = Epochs::new(Draws::new(7), 7);
        let steps = [0..5, 5..10, 10..15].map(|positions| epochs.examples(positions));
        assert_eq!(steps, [[0, 3, 5, 2, 4], [1, 6, 4, 3, 6], [2, 1, 0, 5, 3]]);
    }
}
