//! The left side of a product: rows, by where they lie.

use super::{
    convolution::Pixels,
    register_tile::{Begin, Run},
};

/// Depth that is gone through at a time, so that this much of a panel stays in the second cache.
const DEPTH: usize = 2048;

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
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Rows(matrix) => matrix.rows,
            Self::Pixels(pixels) => pixels.rows(),
        }
    }

    /// Values that a row adds to what is read for a block.
    pub(super) fn footprint(&self) -> usize {
        match self {
            Self::Rows(matrix) => matrix.depth.min(DEPTH),
            Self::Pixels(pixels) => pixels.footprint(),
        }
    }

    /// The lengths of depth that lie together, in their order.
    pub(super) fn sources(&self) -> Vec<usize> {
        match self {
            Self::Rows(matrix) => vec![matrix.depth],
            Self::Pixels(pixels) => pixels.sources(),
        }
    }

    /// Where the sources of a row lie. A row beyond the last is the last.
    pub(super) fn point(&self, row: usize, set: &mut dyn FnMut(usize, *const f32)) {
        match self {
            Self::Rows(matrix) => {
                let first = row.min(matrix.rows - 1) * matrix.stride;
                set(0, matrix.values[first..][..matrix.depth].as_ptr());
            }
            Self::Pixels(pixels) => pixels.point(row.min(pixels.rows() - 1), set),
        }
    }
}

/// A part of the depth.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) runs: Vec<Run>,
    /// Where it begins.
    pub(super) first: usize,
}

impl Stage {
    /// Its depth.
    pub(super) fn length(&self) -> usize {
        self.runs.iter().map(|run| run.length).sum()
    }

    /// Its rows of a panel.
    pub(super) fn rows(&self) -> core::ops::Range<usize> {
        self.first..self.first + self.length()
    }

    /// Whether there are sums of an earlier stage.
    pub(super) fn begin(&self) -> Begin {
        if self.first == 0 { Begin::Zero } else { Begin::Output }
    }
}

/// The depth of some sources in stages of [`DEPTH`], the last of which is shorter. There is at least one.
pub(super) fn stages(sources: &[usize]) -> Vec<Stage> {
    let mut stages = Vec::new();
    let (mut stage, mut depth) = (Stage { runs: Vec::new(), first: 0 }, 0);
    for (source, length) in sources.iter().enumerate() {
        let mut offset = 0;
        while offset < *length {
            let filled = depth - stage.first;
            let run = Run { source, offset, length: (length - offset).min(DEPTH - filled) };
            offset += run.length;
            depth += run.length;
            stage.runs.push(run);
            if depth - stage.first == DEPTH {
                let next = Stage { runs: Vec::new(), first: depth };
                stages.push(core::mem::replace(&mut stage, next));
            }
        }
    }
    if !stage.runs.is_empty() || stages.is_empty() {
        stages.push(stage);
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_all_of_the_depth() {
        for sources in
            [vec![], vec![5], vec![DEPTH], vec![DEPTH, 1], vec![320; 9], vec![3 * DEPTH + 7, 9]]
        {
            let stages = stages(&sources);
            let mut depth = 0;
            for (index, stage) in stages.iter().enumerate() {
                assert_eq!(stage.first, depth);
                let length: usize = stage.runs.iter().map(|run| run.length).sum();
                assert!(length == DEPTH || index + 1 == stages.len());
                depth += length;
            }
            assert_eq!(depth, sources.iter().sum::<usize>());
            for (source, length) in sources.iter().enumerate() {
                let runs = stages.iter().flat_map(|stage| &stage.runs);
                let found = runs.filter(|run| run.source == source).fold(0, |end, run| {
                    assert_eq!(run.offset, end);
                    end + run.length
                });
                assert_eq!(found, *length);
            }
        }
    }
}
