//! Products of rows with packed panels, finished by an epilogue while they are in cache.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    convolution::Pixels,
    memory::{Output, fresh},
    micro::{self, Begin, Pointers, ROWS, Run},
    panels::Panels,
    simd::dispatch,
    tail::Tail,
};
use crate::Gate;

/// Values of the rows that are worked on at a time, which stay in the second cache: 1 MiB.
const BLOCK: usize = 1 << 18;
/// Depth of a panel that is gone through at a time, for the same reason.
const DEPTH: usize = 2048;
/// Tasks for each thread, so that one that is late delays the others little.
const TASKS: usize = 4;

/// Rows in memory, `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other.
    pub(crate) fn dense(values: &'a [f32], depth: usize) -> Self {
        Self { values, rows: values.len().checked_div(depth).unwrap_or(0), depth, stride: depth }
    }
}

/// The left side of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Left<'a> {
    /// Rows of a matrix.
    Rows(Matrix<'a>),
    /// Patches of an image, a row for each output pixel.
    Pixels(&'a Pixels<'a>),
}

impl Left<'_> {
    fn rows(&self) -> usize {
        match self {
            Self::Rows(matrix) => matrix.rows,
            Self::Pixels(pixels) => pixels.rows(),
        }
    }

    /// Values that a row adds to what is read for a block.
    fn footprint(&self) -> usize {
        match self {
            Self::Rows(matrix) => matrix.depth.min(DEPTH),
            Self::Pixels(pixels) => pixels.footprint(),
        }
    }

    /// The lengths of depth that lie together, in their order.
    fn sources(&self) -> Vec<usize> {
        match self {
            Self::Rows(matrix) => vec![matrix.depth],
            Self::Pixels(pixels) => pixels.sources(),
        }
    }

    /// Where the sources of a row lie. A row beyond the last is the last.
    fn point(&self, row: usize, set: &mut dyn FnMut(usize, *const f32)) {
        match self {
            Self::Rows(matrix) => {
                let first = row.min(matrix.rows - 1) * matrix.stride;
                set(0, matrix.values[first..][..matrix.depth].as_ptr());
            }
            Self::Pixels(pixels) => pixels.point(row.min(pixels.rows() - 1), set),
        }
    }
}

/// `tail(left · panels)`.
///
/// # Shapes
/// - left: `[rows, depth]`, panels: `[depth, columns]`
/// - output: `[rows, columns]`, or half of the columns with a gated pair
pub(crate) fn product(left: Left<'_>, panels: &Panels, tail: &Tail<'_>) -> Vec<f32> {
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
fn pairs_apart(left: Left<'_>, panels: &Panels, tail: &Tail<'_>) -> Vec<f32> {
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

/// Runs in groups of about [`DEPTH`].
fn stages(sources: &[usize]) -> Vec<Vec<Run>> {
    let (mut stages, mut stage, mut filled) = (Vec::new(), Vec::new(), 0);
    for (source, length) in sources.iter().enumerate() {
        let mut offset = 0;
        while offset < *length {
            let run = Run { source, offset, length: (length - offset).min(DEPTH - filled) };
            offset += run.length;
            filled += run.length;
            stage.push(run);
            if filled == DEPTH {
                stages.push(core::mem::take(&mut stage));
                filled = 0;
            }
        }
    }
    if !stage.is_empty() || stages.is_empty() {
        stages.push(stage);
    }
    stages
}

struct Plan<'a> {
    left: Left<'a>,
    panels: &'a Panels,
    tail: &'a Tail<'a>,
    stages: Vec<Vec<Run>>,
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
        let stages = self.plan.stages.len();
        let mut depth = 0;
        for (index, runs) in self.plan.stages.iter().enumerate() {
            let (begin, last) =
                (if index == 0 { Begin::Zero } else { Begin::Output }, index + 1 == stages);
            for panel in self.panels.clone() {
                for (tile, pointers) in table.chunks(self.plan.sources).enumerate() {
                    self.tile(simd, [panel, tile], (runs, depth, begin), pointers, last);
                }
            }
            depth += runs.iter().map(|run| run.length).sum::<usize>();
        }
    }

    /// One tile, finished with the last stage.
    #[inline(always)]
    fn tile<S: Simd>(
        &self,
        simd: S,
        [panel, tile]: [usize; 2],
        (runs, depth, begin): (&[Run], usize, Begin),
        pointers: &[Pointers],
        last: bool,
    ) {
        let panels = self.plan.panels;
        let (full, columns) = (panels.full_width(), panels.columns());
        let (first, column) = (self.first + tile * ROWS, panel * full);
        let (rows, width) = ((self.last - first).min(ROWS), (columns - column).min(full));
        let padded = panels.width(panel);
        let values = &panels.values(panel)[depth * padded..];
        let right = (values.as_ptr(), self.ahead(panel, depth, tile));
        let place = |row: usize| (first + row) * columns + column;
        if rows == ROWS && width == padded {
            let target = self.target.place(place(0), (ROWS - 1) * columns + width);
            // SAFETY: the pointers are those of the runs, the panel has their depth, and the target has the whole tile, of
            // which this task alone has the rows and panels.
            unsafe {
                micro::tile(simd, runs, pointers, right, padded, (target, columns, begin));
            }
        } else {
            let mut scratch = [0.0; ROWS * MOST];
            if begin == Begin::Output {
                for row in 0..rows {
                    // SAFETY: as above; the stage before has written it.
                    let target = unsafe { self.target.range(place(row), width) };
                    scratch[row * padded..][..width].copy_from_slice(target);
                }
            }
            let target = (scratch.as_mut_ptr(), padded, begin);
            // SAFETY: as above; the scratch memory has a whole tile.
            unsafe { micro::tile(simd, runs, pointers, right, padded, target) };
            for row in 0..rows {
                // SAFETY: this task alone has these rows and panels.
                unsafe { self.target.write(place(row), &scratch[row * padded..][..width]) };
            }
        }
        if last {
            for row in first..first + rows {
                // SAFETY: as above.
                let values = unsafe { self.target.range(row * columns + column, width) };
                self.plan.tail.finish(values, row, column);
            }
        }
    }

    /// What to fetch during a tile: a column of cache lines of the panel that comes next. A few tiles fetch all of it.
    #[inline(always)]
    fn ahead(&self, panel: usize, depth: usize, tile: usize) -> *const f32 {
        let panels = self.plan.panels;
        let (next, column) = (panel + 1, tile * LINE);
        match next < panels.count() && column < panels.width(next) {
            true => panels.values(next)[depth * panels.width(next)..].as_ptr().wrapping_add(column),
            false => panels.values(panel).as_ptr(),
        }
    }

    /// Tiles of values beside those of their gates.
    #[inline(always)]
    fn paired<S: Simd>(&self, simd: S, table: &[Pointers]) {
        let panels = self.plan.panels;
        let (full, half) = (panels.full_width(), panels.columns() / 2);
        let mut scratch = [[0.0; ROWS * MOST]; 2];
        let mut target = [0.0; MOST];
        for panel in self.panels.clone() {
            for (tile, pointers) in table.chunks(self.plan.sources).enumerate() {
                for (values, panel) in scratch.iter_mut().zip([panel, panel + half / full]) {
                    let right = panels.values(panel);
                    let mut depth = 0;
                    for (index, runs) in self.plan.stages.iter().enumerate() {
                        let begin = if index == 0 { Begin::Zero } else { Begin::Output };
                        let place = (values.as_mut_ptr(), full, begin);
                        let right = right[depth * full..].as_ptr();
                        let right = (right, self.ahead(panel, depth, tile));
                        // SAFETY: as in `tile`.
                        unsafe { micro::tile(simd, runs, pointers, right, full, place) };
                        depth += runs.iter().map(|run| run.length).sum::<usize>();
                    }
                }
                let first = self.first + tile * ROWS;
                for row in first..self.last.min(first + ROWS) {
                    let [values, gates] = &mut scratch;
                    let start = (row - first) * full;
                    let pair = [&mut values[start..][..full], &mut gates[start..][..full]];
                    self.plan.tail.finish_pair(&mut target[..full], pair, row, panel * full);
                    // SAFETY: this task alone has these rows and panels.
                    unsafe { self.target.write(row * half + panel * full, &target[..full]) };
                }
            }
        }
    }
}

/// Values of a cache line.
const LINE: usize = 16;
/// Columns of the widest tile of any machine: four registers of 16.
const MOST: usize = 64;
