//! Products of rows with packed panels, finished by an epilogue while they are in cache.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    epilogue::Tail,
    left::{Left, Stage, stages},
    memory::{Output, fresh, with_scratch},
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
            let last = rows.min(first + height);
            let [widened, products] = plan.scratch(last - first);
            with_scratch(widened + products, |scratch| {
                let (widened, products) = scratch.split_at_mut(widened);
                let task = Task { plan: &plan, first, last, panels, target };
                dispatch(Work { task, widened, products });
            });
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

    /// Values of scratch memory that a task of so many rows needs: for a stage of a panel, and for the products of gated pairs.
    fn scratch(&self, rows: usize) -> [usize; 2] {
        let longest = self.stages.iter().map(Stage::length).max();
        let products = match self.tail.gate {
            Gate::None => 0,
            Gate::Pair => rows.div_ceil(ROWS) * 2 * ROWS * self.panels.full_width(),
        };
        [self.panels.scratch(longest.unwrap_or(0)), products]
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

/// With the memory that it needs.
struct Work<'a> {
    task: Task<'a>,
    widened: &'a mut [f32],
    products: &'a mut [f32],
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { task, widened, products } = self;
        let table = task.table();
        match task.plan.tail.gate {
            Gate::None => task.plain(simd, &table, widened),
            Gate::Pair => task.paired(simd, &table, widened, products),
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
    fn plain<S: Simd>(&self, simd: S, table: &[Pointers], widened: &mut [f32]) {
        let (columns, full) = (self.plan.panels.columns(), self.plan.panels.full_width());
        let last = self.plan.stages.len() - 1;
        for (index, stage) in self.plan.stages.iter().enumerate() {
            for panel in self.panels.clone() {
                let column = panel * full;
                let width = (columns - column).min(full);
                let right = self.plan.panels.rows(panel, stage.rows(), widened);
                for (number, pointers) in table.chunks(self.plan.sources).enumerate() {
                    let right = (right.as_ptr(), self.ahead(stage, panel, number));
                    self.add_up(simd, stage, [panel, number], (pointers, right), width);
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
        (pointers, right): (&[Pointers], (*const f32, *const f32)),
        width: usize,
    ) {
        let panels = self.plan.panels;
        let (columns, padded, begin) = (panels.columns(), panels.width(panel), stage.begin());
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

    /// What to fetch meanwhile: a column of cache lines of the panel that comes next. A few tiles fetch all of it. Those that are
    /// widened first are read in one go, which the CPU foresees.
    #[inline(always)]
    fn ahead(&self, stage: &Stage, panel: usize, number: usize) -> *const f32 {
        let panels = self.plan.panels;
        let (next, column) = (panel + 1, number * LINE);
        match panels.is_full() && next < panels.count() && column < panels.width(next) {
            true => panels.rows(next, stage.rows(), &mut []).as_ptr().wrapping_add(column),
            false => core::ptr::null(),
        }
    }

    /// Tiles of values beside those of their gates.
    #[inline(always)]
    fn paired<S: Simd>(
        &self,
        simd: S,
        table: &[Pointers],
        widened: &mut [f32],
        products: &mut [f32],
    ) {
        let panels = self.plan.panels;
        let (full, half) = (panels.full_width(), panels.columns() / 2);
        let tile_size = ROWS * full;
        let mut target = [0.0; WIDEST];
        let target = &mut target[..full];
        for panel in self.panels.clone() {
            for (side, panel) in [panel, panel + half / full].into_iter().enumerate() {
                for stage in &self.plan.stages {
                    let right = panels.rows(panel, stage.rows(), widened);
                    for (number, pointers) in table.chunks(self.plan.sources).enumerate() {
                        let right = (right.as_ptr(), self.ahead(stage, panel, number));
                        let product = &mut products[(2 * number + side) * tile_size..][..tile_size];
                        let place = (product.as_mut_ptr(), full, stage.begin());
                        // SAFETY: as in `add_up`; the product has a whole tile.
                        unsafe { tile(simd, &stage.runs, pointers, right, full, place) };
                    }
                }
            }
            for (number, pair) in products.chunks_mut(2 * tile_size).enumerate() {
                let (values, gates) = pair.split_at_mut(tile_size.min(pair.len()));
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
