//! Reductions over the units of a cube, in a fixed order.

use cubecl::prelude::*;

/// What a reduction does with two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fold {
    Sum,
    Max,
}

/// Which units of a cube reduce together: `lanes` of them, `stride` apart. The lane of a unit counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Lanes {
    pub(super) lanes: usize,
    pub(super) stride: usize,
}

impl Lanes {
    /// Neighbouring units.
    pub(super) fn neighbours(lanes: usize) -> Self {
        Self { lanes, stride: 1 }
    }

    /// Halvings until one lane is left.
    fn steps(self) -> usize {
        self.lanes.next_power_of_two().ilog2() as usize
    }

    /// Lanes that take another one's value in a step.
    fn half(self, step: usize) -> usize {
        self.lanes.next_power_of_two() >> (step + 1)
    }
}

/// Reduces the values of the lanes; all of them get the result. Every unit of the cube has to come here, also one beyond the lanes.
#[cube]
pub(super) fn fold_lanes<N: Size>(
    shared: &mut SharedMemory<Vector<f32, N>>,
    value: Vector<f32, N>,
    lane: usize,
    #[comptime] lanes: Lanes,
    #[comptime] fold: Fold,
) -> Vector<f32, N> {
    let unit = UNIT_POS as usize;
    shared[unit] = value;
    sync_cube();
    let steps = comptime!(lanes.steps());
    #[unroll]
    for step in 0..steps {
        let half = comptime!(lanes.half(step));
        if lane < half && lane + half < comptime!(lanes.lanes) {
            let one = shared[unit];
            let other = shared[unit + comptime!(half * lanes.stride)];
            shared[unit] = match comptime!(fold) {
                Fold::Sum => one + other,
                Fold::Max => max(one, other),
            };
        }
        sync_cube();
    }
    let result = shared[unit - lane * comptime!(lanes.stride)];
    // Before the memory is used again.
    sync_cube();
    result
}

/// Reduces the elements of a vector.
#[cube]
pub(super) fn fold_vector<N: Size>(vector: Vector<f32, N>, #[comptime] fold: Fold) -> f32 {
    let mut result = vector[0];
    #[unroll]
    for index in 1..N::value() {
        let element = vector[index];
        result = match comptime!(fold) {
            Fold::Sum => result + element,
            Fold::Max => max(result, element),
        };
    }
    result
}

/// The sum over lanes and elements.
#[cube]
pub(super) fn sum<N: Size>(
    shared: &mut SharedMemory<Vector<f32, N>>,
    value: Vector<f32, N>,
    lane: usize,
    #[comptime] lanes: Lanes,
) -> f32 {
    let sums = fold_lanes::<N>(shared, value, lane, lanes, Fold::Sum);
    fold_vector::<N>(sums, Fold::Sum)
}
