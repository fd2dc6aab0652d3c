//! A virtual Brownian tree, as `torchsde.BrownianTree` lays it out (Li, Wong, Chen and Duvenaud, "Scalable gradients for
//! stochastic differential equations", 2020; Kidger, Foster, Li and Lyons, "Efficient and accurate gradients for neural
//! SDEs", 2021).

use std::{collections::HashMap, fmt, sync::Arc};

use crate::rng::{GeneratorKind, NoiseError, seed_sequence::generate_state};

/// Words in the pool that the seeds of a tree are mixed in.
const POOL: usize = 24;
/// Beyond, f64 does not tell millionths apart.
const LIMIT: f64 = 1e9;

/// A Brownian motion W of `size` numbers, known by its seed: [`increment`](Self::increment) gives W(to) − W(from) for any
/// interval, the same however often and in whatever order intervals are asked for.
///
/// The increments of an interval have its length as variance, those of disjoint intervals are independent, and those of
/// adjoining ones add up. Times are rounded to millionths (the tolerance of torchsde); within that, and within the
/// rounding of f32 in the sums, this holds exactly.
///
/// The numbers are those of `torchsde.BrownianTree(t0, w0, t1, entropy=seed)` with f32 tensors, bit for bit as far as the
/// generator is: the increment of the whole interval is one draw, and each interval, halved down to the times asked for,
/// adds one draw of a generator seeded by its place. torchsde draws on the device of its tensors; here the generator is
/// chosen ([`generator`](Self::generator)).
///
/// ```
/// use sd_schedulers::rng::BrownianTree;
/// let mut tree = BrownianTree::new([0.0, 10.0], 16, 42)?;
/// let (whole, left, right) = (tree.increment(1.0, 3.0)?, tree.increment(1.0, 2.5)?, tree.increment(2.5, 3.0)?);
/// for (whole, parts) in whole.iter().zip(left.iter().zip(right).map(|(left, right)| left + right)) {
///     assert!((whole - parts).abs() < 1e-6);
/// }
/// assert_eq!(BrownianTree::new([0.0, 10.0], 16, 42)?.increment(2.5, 3.0)?, tree.increment(2.5, 3.0)?);
/// # Ok::<(), sd_schedulers::rng::NoiseError>(())
/// ```
#[derive(Clone)]
pub struct BrownianTree {
    range: [f64; 2],
    size: usize,
    seed: u64,
    kind: GeneratorKind,
    /// The increment of the whole, once it was needed.
    whole: Option<Values>,
    /// The halves of the intervals that the last increment needed; steps that follow each other share most of them.
    halves: HashMap<Place, [Values; 2]>,
}

type Values = Arc<[f32]>;

/// An interval's place in the tree: how often the whole was halved, and which of the parts it is, from the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    depth: u64,
    index: u64,
}

/// An interval of the tree with its increment.
struct Interval {
    place: Place,
    start: f64,
    end: f64,
    increment: Values,
}

impl BrownianTree {
    /// A tree of `size` numbers between two times, with noise of PyTorch's CPU generator.
    ///
    /// # Errors
    /// If the times are not finite, not below a billion, or not in order.
    pub fn new(times: [f64; 2], size: usize, seed: u64) -> Result<Self, NoiseError> {
        let [from, to] = times;
        if !(from < to && from.abs() < LIMIT && to.abs() < LIMIT) {
            return Err(NoiseError::Range { from, to });
        }
        let kind = GeneratorKind::TorchCpu;
        Ok(Self { range: times, size, seed, kind, whole: None, halves: HashMap::new() })
    }

    /// Draws by another generator.
    pub fn generator(self, kind: GeneratorKind) -> Self {
        Self { kind, whole: None, halves: HashMap::new(), ..self }
    }

    /// How many numbers an increment has.
    pub fn size(&self) -> usize {
        self.size
    }

    /// W(to) − W(from): zeros if both are the same in millionths.
    ///
    /// # Errors
    /// If the interval leaves that of the tree by more than a millionth, or its upper end comes first.
    pub fn increment(&mut self, from: f64, to: f64) -> Result<Vec<f32>, NoiseError> {
        let within = self.range;
        if from <= to && from >= within[0] - 1e-6 && to <= within[1] + 1e-6 {
            Ok(self.clamped_increment(from, to))
        } else {
            Err(NoiseError::Interval { from, to, within })
        }
    }

    /// The increment of what of the interval lies inside; its ends may come in any order.
    pub(super) fn clamped_increment(&mut self, from: f64, to: f64) -> Vec<f32> {
        let [start, end] = self.range.map(millionths);
        let ends = [from.min(to), from.max(to)].map(|time| millionths(time.max(start).min(end)));
        let increment = self.whole.take().unwrap_or_else(|| self.draw_whole());
        self.whole = Some(increment.clone());
        let root = Interval { place: Place { depth: 0, index: 0 }, start, end, increment };
        let mut query = Query { tree: self, used: HashMap::new(), sum: None };
        if ends[0] < ends[1] {
            query.add(&root, ends);
        }
        let Query { used, sum, .. } = query;
        self.halves = used;
        sum.unwrap_or_else(|| vec![0.0; self.size])
    }

    /// Noise of a variance.
    fn draw(&self, seed: u32, variance: f64) -> Values {
        let deviation = variance.sqrt() as f32;
        let mut values = self.kind.seeded(seed.into()).normal(self.size);
        values.iter_mut().for_each(|value| *value *= deviation);
        values.into()
    }

    fn draw_whole(&self) -> Values {
        let seeds = generate_state::<POOL, 3>(self.seed, &[]);
        self.draw(seeds[0], self.range[1] - self.range[0])
    }

    /// The increments of both parts of an interval.
    fn split(&self, whole: &Interval, middle: f64) -> [Values; 2] {
        let seeds = generate_state::<POOL, 4>(self.seed, &[whole.place.index, whole.place.depth]);
        let (left, right) = (middle - whole.start, whole.end - middle);
        let reciprocal = 1.0 / (whole.end - whole.start);
        // The bridge between the ends: its mean lies on the line between them. torch rounds every product to f32.
        let bridge = self.draw(seeds[0], left * right * reciprocal);
        let mean = |value: f32| left as f32 * value * reciprocal as f32;
        let lefts: Values = whole
            .increment
            .iter()
            .zip(bridge.iter())
            .map(|(&value, noise)| mean(value) + noise)
            .collect();
        let rights =
            whole.increment.iter().zip(lefts.iter()).map(|(value, left)| value - left).collect();
        [lefts, rights]
    }
}

/// A sum over intervals, on its way down the tree.
struct Query<'a> {
    tree: &'a BrownianTree,
    used: HashMap<Place, [Values; 2]>,
    sum: Option<Vec<f32>>,
}

impl Query<'_> {
    /// Adds the increment between two times inside of an interval, part by part from the left.
    fn add(&mut self, whole: &Interval, [from, to]: [f64; 2]) {
        let middle = millionths(0.5 * (whole.end + whole.start));
        let splits = whole.start < middle && middle < whole.end;
        if (from == whole.start && to == whole.end) || !splits {
            return self.add_whole(&whole.increment);
        }
        let [left, right] = self.halves(whole, middle);
        let Place { depth, index } = whole.place;
        let part = |side, start, end, increment| Interval {
            place: Place { depth: depth + 1, index: 2 * index + side },
            start,
            end,
            increment,
        };
        if from < middle {
            self.add(&part(0, whole.start, middle, left), [from, to.min(middle)]);
        }
        if to > middle {
            self.add(&part(1, middle, whole.end, right), [from.max(middle), to]);
        }
    }

    fn add_whole(&mut self, increment: &[f32]) {
        match &mut self.sum {
            None => self.sum = Some(increment.to_vec()),
            Some(sum) => sum.iter_mut().zip(increment).for_each(|(sum, value)| *sum += value),
        }
    }

    fn halves(&mut self, whole: &Interval, middle: f64) -> [Values; 2] {
        let known = || self.tree.halves.get(&whole.place).cloned();
        let halves = known().unwrap_or_else(|| self.tree.split(whole, middle));
        self.used.insert(whole.place, halves.clone());
        halves
    }
}

/// Rounds as Python's `round(time, 6)` does: in decimal, which rounding of `time * 1e6` is not quite.
fn millionths(time: f64) -> f64 {
    format!("{time:.6}").parse().unwrap_or(time)
}

impl fmt::Debug for BrownianTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrownianTree")
            .field("range", &self.range)
            .field("size", &self.size)
            .field("seed", &self.seed)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // From Python: ties go to the even digit.
    #[test]
    fn times_are_rounded_as_in_python() {
        let rounded =
            [0.007_812_5, 0.023_437_5, 14.614_641_7, -0.029_167_5, 2.675e-6].map(millionths);
        assert_eq!(rounded, [0.007_812, 0.023_438, 14.614_642, -0.029_167, 3e-6]);
    }

    #[test]
    fn impossible_times_are_refused() {
        for times in [[1.0, 1.0], [2.0, 1.0], [f64::NAN, 1.0], [0.0, f64::INFINITY], [0.0, 1e9]] {
            assert!(matches!(BrownianTree::new(times, 4, 0), Err(NoiseError::Range { .. })));
        }
        let mut tree = BrownianTree::new([0.5, 2.0], 4, 0).unwrap();
        for (from, to) in [(0.4, 1.0), (1.0, 2.1), (1.5, 1.0), (f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(matches!(tree.increment(from, to), Err(NoiseError::Interval { .. })));
        }
        assert_eq!(tree.increment(1.0, 1.000_000_1).unwrap(), [0.0; 4]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut tree = BrownianTree::new([0.0, 100.0], 4, 0).unwrap();
        for step in 1..200 {
            tree.increment(f64::from(step) / 2.1, f64::from(step + 1) / 2.1).unwrap();
            assert!(tree.halves.len() <= 60);
        }
    }
}
