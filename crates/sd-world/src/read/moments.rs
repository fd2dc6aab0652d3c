//! Where points lie, and how far apart.

/// The mean and the standard deviation of points, along x and y.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub(super) mean: [f32; 2],
    pub(super) spread: [f32; 2],
}

impl Moments {
    /// Those of squares of this side, by their middles.
    pub(super) fn new(middles: impl Iterator<Item = [f32; 2]>, side: f32) -> Self {
        let (mut count, mut sum, mut square) = (0.0f64, [0.0f64; 2], [0.0f64; 2]);
        for middle in middles {
            count += 1.0;
            for axis in 0..2 {
                let value = f64::from(middle[axis]);
                sum[axis] += value;
                square[axis] += value * value;
            }
        }
        let count = count.max(1.0);
        let mean = sum.map(|sum| sum / count);
        let spread = [0, 1].map(|axis| {
            let variance: f64 = (square[axis] / count - mean[axis] * mean[axis]).max(0.0);
            // A square is not a point: its own variance is a twelfth.
            (variance + f64::from(side * side) / 12.0).sqrt() as f32
        });
        Self { mean: mean.map(|mean| mean as f32), spread }
    }

    /// How much wider than high they lie.
    pub(super) fn stretch(&self) -> f32 {
        self.spread[0] / self.spread[1]
    }
}
