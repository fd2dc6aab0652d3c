//! Products of rows with packed panels, finished by an epilogue while they are in cache.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    epilogue::Tail,
    left::{Left, Stage, stages},
    memory::{Output, fresh},
    panels::Panels,
    register_tile::{Begin, Pointers, ROWS, tile},
    simd::{WIDEST, dispatch},
};
use crate::Gate;

/// Values of the rows that are worked on at a time, which stay in the second cache: 1 MiB.
const BLOCK: usize = 1 << 18;
/// Tasks for each thread, so that one that is late delays the others little.
const TASKS: usize = 4;
/// Values of a cache line.
const LINE: usize = 16;

/// `tail(left · panels)`.
///
/// # Shapes
/// - left: `[rows, depth]`, panels: `[depth, columns]`
/// - output: `[rows, columns]`, or half of the columns with a gated pair
pub(crate) fn product(left: Left<'_>, panels: &Panels, tail: &Tail<&[f32]>) -> Vec<f32> {
    if tail.gate == Gate::Pair && !(tail.channels / 2).is_multiple_of(panels.full_width()) {
        return pairs_apart(left, panels, tail);
    }
    let rows = left.rows();
    if rows * tail.out() == 0 {
        return Vec::new();
    }
    let sources = left.sources();
    assert_eq!(sources.iter().sum::<usize>(), panels.depth(), "the depth of a product");
    let plan = Plan { left, panels, tail, stages: stages(&sources), sources: sources.len() };
    let (height, width) = plan.block(rows);
    let blocks = rows.div_ceil(height);
    let steps = plan.pairs().div_ceil(width);
    let fill = |target: Output<'_>| {
        (0..blocks * steps).into_par_iter().for_each(|task| {
            // The blocks of one panel follow each other, so that it is read from memory once.
            let (step, block) = (task / blocks, task % blocks);
            let first = block * height;
            let panels = step * width..((step + 1) * width).min(plan.pairs());
            let task = Task { plan: &plan, first, last: rows.min(first + height), panels, target };
            dispatch(task);
        });
    };
    // SAFETY: the tasks have all rows and panels between them.
    unsafe { fresh(rows * tail.out(), fill) }
}

/// A gated pair of so few channels that values and gates share panels: the epilogue follows when the product is there.
fn pairs_apart(left: Left<'_>, panels: &Panels, tail: &Tail<&[f32]>) -> Vec<f32> {
    let mut products = product(left, panels, &Tail::none(panels.columns()));
    let half = tail.out();
    let mut output = vec![0.0; left.rows() * half];
    let rows = products.chunks_mut((2 * half).max(1)).zip(output.chunks_mut(half.max(1)));
    for (row, (product, target)) in rows.enumerate() {
        let (values, gates) = product.split_at_mut(half);
        tail.finish_pair(target, [values, gates], row, 0);
    }
    output
}

struct Plan<'a> {
    left: Left<'a>,
    panels: &'a Panels,
    tail: &'a Tail<&'a [f32]>,
    stages: Vec<Stage>,
    sources: usize,
}

impl Plan<'_> {
    /// Panels that are finished one by one: those of the values, where gates have their own.
    fn pairs(&self) -> usize {
        match self.tail.gate {
            Gate::None => self.panels.count(),
            Gate::Pair => self.panels.count() / 2,
        }
    }

    /// Rows and panels of a task.
    fn block(&self, rows: usize) -> (usize, usize) {
        let wanted = TASKS * rayon::current_num_threads();
        let most = (BLOCK / self.left.footprint().max(1)).max(ROWS);
        let height = most.min(rows).next_multiple_of(ROWS);
        let blocks = rows.div_ceil(height);
        let width = match blocks >= wanted {
            true => self.pairs(),
            false => (self.pairs() * blocks).div_ceil(wanted).max(1),
        };
        (height, width)
    }
}

/// Some rows and some panels of a product.
struct Task<'a> {
    plan: &'a Plan<'a>,
    first: usize,
    last: usize,
    panels: core::ops::Range<usize>,
    target: Output<'a>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let table = self.table();
        match self.plan.tail.gate {
            Gate::None => self.plain(simd, &table),
            Gate::Pair => self.paired(simd, &table),
        }
    }
}

impl Task<'_> {
    /// The pointers of each tile's rows, source by source.
    fn table(&self) -> Vec<Pointers> {
        let sources = self.plan.sources;
        let tiles = (self.last - self.first).div_ceil(ROWS);
        let mut table = vec![[core::ptr::null(); ROWS]; tiles * sources];
        for (tile, pointers) in table.chunks_mut(sources).enumerate() {
            for (row, index) in (self.first + tile * ROWS..).take(ROWS).enumerate() {
                let mut set = |source: usize, pointer| pointers[source][row] = pointer;
                self.plan.left.point(index, &mut set);
            }
        }
        table
    }

    /// Panel by panel, the tiles of the block; stage by stage, with the sums in the output meanwhile.
    #[inline(always)]
    fn plain<S: Simd>(&self, simd: S, table: &[Pointers]) {
        let (columns, full) = (self.plan.panels.columns(), self.plan.panels.full_width());
        let last = self.plan.stages.len() - 1;
        for (index, stage) in self.plan.stages.iter().enumerate() {
            for panel in self.panels.clone() {
                let column = panel * full;
                let width = (columns - column).min(full);
                for (number, pointers) in table.chunks(self.plan.sources).enumerate() {
                    self.add_up(simd, stage, [panel, number], pointers, width);
                    if index < last {
                        continue;
                    }
                    for row in self.rows(number) {
                        // SAFETY: this task alone has these rows and panels, and has just written them.
                        let values = unsafe { self.target.range(row * columns + column, width) };
                        self.plan.tail.finish(values, row, column);
                    }
                }
            }
        }
    }

    /// The rows of a tile.
    fn rows(&self, number: usize) -> core::ops::Range<usize> {
        let first = self.first + number * ROWS;
        first..self.last.min(first + ROWS)
    }

    /// A stage of a tile, of whose panel `width` columns are not filled up.
    #[inline(always)]
    fn add_up<S: Simd>(
        &self,
        simd: S,
        stage: &Stage,
        [panel, number]: [usize; 2],
        pointers: &[Pointers],
        width: usize,
    ) {
        let panels = self.plan.panels;
        let (columns, padded, begin) = (panels.columns(), panels.width(panel), stage.begin());
        let right = self.right(stage, panel, number);
        let rows = self.rows(number);
        let place = |row: usize| row * columns + panel * panels.full_width();
        if rows.len() == ROWS && width == padded {
            let target = self.target.place(place(rows.start), (ROWS - 1) * columns + width);
            // SAFETY: the pointers are those of the runs, the panel has their depth, and the target has the whole tile, of
            // which this task alone has the rows and panels.
            unsafe { tile(simd, &stage.runs, pointers, right, padded, (target, columns, begin)) };
            return;
        }
        let mut scratch = [0.0; ROWS * WIDEST];
        if begin == Begin::Output {
            for (row, values) in rows.clone().zip(scratch.chunks_mut(padded)) {
                // SAFETY: as above; the stage before has written it.
                values[..width].copy_from_slice(unsafe { self.target.range(place(row), width) });
            }
        }
        let target = (scratch.as_mut_ptr(), padded, begin);
        // SAFETY: as above; the scratch memory has a whole tile.
        unsafe { tile(simd, &stage.runs, pointers, right, padded, target) };
        for (row, values) in rows.zip(scratch.chunks(padded)) {
            // SAFETY: this task alone has these rows and panels.
            unsafe { self.target.write(place(row), &values[..width]) };
        }
    }

    /// A panel from a stage on, and what to fetch meanwhile: a column of cache lines of the panel that comes next. A few tiles
    /// fetch all of it.
    #[inline(always)]
    fn right(&self, stage: &Stage, panel: usize, number: usize) -> (*const f32, *const f32) {
        let panels = self.plan.panels;
        let from =
            |panel: usize| panels.values(panel)[stage.first * panels.width(panel)..].as_ptr();
        let (next, column) = (panel + 1, number * LINE);
        let ahead = match next < panels.count() && column < panels.width(next) {
            true => from(next).wrapping_add(column),
            false => from(panel),
        };
        (from(panel), ahead)
    }

    /// Tiles of values beside those of their gates.
    #[inline(always)]
    fn paired<S: Simd>(&self, simd: S, table: &[Pointers]) {
        let panels = self.plan.panels;
        let (full, half) = (panels.full_width(), panels.columns() / 2);
        let mut pair = [[0.0; ROWS * WIDEST]; 2];
        let mut target = [0.0; WIDEST];
        let target = &mut target[..full];
        for panel in self.panels.clone() {
            for (number, pointers) in table.chunks(self.plan.sources).enumerate() {
                for (values, panel) in pair.iter_mut().zip([panel, panel + half / full]) {
                    for stage in &self.plan.stages {
                        let right = self.right(stage, panel, number);
                        let place = (values.as_mut_ptr(), full, stage.begin());
                        // SAFETY: as in `add_up`; the scratch memory has a whole tile.
                        unsafe { tile(simd, &stage.runs, pointers, right, full, place) };
                    }
                }
                let [values, gates] = &mut pair;
                let values = values.chunks_mut(full).zip(gates.chunks_mut(full));
                for (row, (values, gates)) in self.rows(number).zip(values) {
                    self.plan.tail.finish_pair(target, [values, gates], row, panel * full);
                    // SAFETY: this task alone has these rows and panels.
                    unsafe { self.target.write(row * half + panel * full, target) };
                }
            }
        }
    }
}
