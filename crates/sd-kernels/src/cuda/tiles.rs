//! How a product is cut into tiles, and among how many blocks a sum is split.
//!
//! Measured on an H200 (132 multiprocessors) over the shapes of SD 1.5 and SDXL; a rule in place of a search at run time, so that the
//! first image does not wait for one.

/// Rows of a tile.
pub(super) const ROWS: usize = 128;

/// Elements of the summed dimension that are multiplied at once.
pub(super) const STEP: usize = 64;

/// What is to be cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Tiles along the rows.
    pub(super) row_tiles: usize,
    /// Columns of the output.
    pub(super) columns: usize,
    /// Steps through the summed dimension.
    pub(super) steps: usize,
    /// Whether a column of the output takes two of the product.
    pub(super) gated: bool,
    /// Multiprocessors.
    pub(super) processors: usize,
}

/// How it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cut {
    /// Columns of a tile, of the product.
    pub(super) columns: usize,
    /// Whether groups of threads take turns with whole tiles, in place of sharing each.
    pub(super) alternate: bool,
    /// Blocks among which a sum is split.
    pub(super) splits: usize,
}

impl Cut {
    /// Columns of the output in a tile.
    pub(super) fn output_columns(self, gated: bool) -> usize {
        if gated { self.columns / 2 } else { self.columns }
    }
}

/// Widths of tiles, and the microseconds of a step through one.
const WIDTHS: [(usize, f64); 5] = [(32, 0.25), (80, 0.28), (128, 0.416), (160, 0.455), (256, 0.74)];

/// Most blocks of a sum.
const MOST_SPLITS: usize = 8;

/// Fewest steps of a block of a split sum.
const FEWEST_STEPS: usize = 5;

/// Microseconds: to begin; to write a tile, and each of its columns; the share of that which is not hidden behind the next tile where
/// groups alternate; and to add up the parts of a split sum, and each 160 columns of each part but the first.
const BEGIN: f64 = 3.0;
const WRITE: f64 = 0.3;
const WRITE_COLUMN: f64 = 0.005;
const NOT_HIDDEN: f64 = 0.7;
const SPLIT: f64 = 2.5;
const SPLIT_PART: f64 = 1.5;

/// Microseconds that a cut is expected to take.
fn time(extent: Extent, cut: Cut, step: f64) -> f64 {
    let across = cut.output_columns(extent.gated);
    let tiles = extent.row_tiles * extent.columns.div_ceil(across) * cut.splits;
    let waves = tiles.div_ceil(extent.processors) as f64;
    let write =
        (WRITE + WRITE_COLUMN * across as f64) * if cut.alternate { NOT_HIDDEN } else { 1.0 };
    let parts = (cut.splits - 1) as f64 * cut.columns as f64 / 160.0;
    let split = if cut.splits > 1 { SPLIT + SPLIT_PART * parts } else { 0.0 };
    BEGIN + waves * (extent.steps.div_ceil(cut.splits) as f64 * step + write) + split
}

/// The cut that is expected to be fastest.
pub(super) fn cut(extent: Extent) -> Cut {
    let mut best = (f64::INFINITY, Cut { columns: 128, alternate: false, splits: 1 });
    for (columns, step) in WIDTHS {
        let across = if extent.gated { columns / 2 } else { columns };
        if across > extent.columns.next_multiple_of(32) {
            continue;
        }
        let tiles = extent.row_tiles * extent.columns.div_ceil(across);
        for splits in 1..=MOST_SPLITS {
            if splits > 1 && extent.steps / splits < FEWEST_STEPS {
                break;
            }
            let alternate = tiles > extent.processors && columns < 256 && splits == 1;
            let cut = Cut { columns, alternate, splits };
            let time = time(extent, cut, step);
            if time < best.0 {
                best = (time, cut);
            }
        }
    }
    best.1
}

/// log2 of the width and height in pixels of tiles of [`ROWS`] pixels over images of so many samples, rows and columns: as few tiles
/// as there can be, and these as wide as they can be.
pub(super) fn pixels([samples, height, width]: [usize; 3]) -> (u32, u32) {
    let all = ROWS.ilog2();
    let shapes = (0..=all).flat_map(|log_w| (0..=all - log_w).map(move |log_h| (log_w, log_h)));
    let tiles = |(log_w, log_h): (u32, u32)| {
        width.div_ceil(1 << log_w)
            * height.div_ceil(1 << log_h)
            * samples.div_ceil(ROWS >> (log_w + log_h))
    };
    shapes.min_by_key(|shape| (tiles(*shape), all - shape.0)).unwrap_or((all, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: usize, columns: usize, summed: usize, gated: bool) -> Cut {
        let (row_tiles, steps) = (rows.div_ceil(ROWS), summed.div_ceil(STEP));
        cut(Extent { row_tiles, columns, steps, gated, processors: 132 })
    }

    #[test]
    fn a_cut_can_be_made() {
        for rows in [1, 77, 154, 512, 2048, 8192, 1 << 20] {
            for columns in [3, 4, 8, 320, 640, 1280, 5120] {
                for summed in [8, 64, 320, 1280, 11_520] {
                    for gated in [false, true] {
                        let cut = of(rows, columns, summed, gated);
                        // What the instruction takes, in halves where they are gates, of which eight rows are an atom.
                        assert!(
                            cut.columns <= 256 && cut.output_columns(gated).is_multiple_of(8),
                            "{cut:?}"
                        );
                        assert!(
                            cut.splits == 1 || summed.div_ceil(STEP) >= cut.splits * FEWEST_STEPS,
                            "{cut:?}"
                        );
                        // Sums of 128 rows of 256 columns are more than a group's registers.
                        assert!(!(cut.alternate && cut.columns == 256), "{cut:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn few_rows_are_split() {
        assert!(of(128, 1280, 11_520, false).splits > 1);
        assert_eq!(of(8192, 320, 2880, false).splits, 1);
    }

    #[test]
    fn tiles_cover_images() {
        for [samples, height, width] in
            [[2, 64, 64], [2, 8, 8], [1, 17, 23], [3, 9, 7], [1, 1, 1], [2, 5, 300]]
        {
            let (log_w, log_h) = pixels([samples, height, width]);
            assert!(log_w + log_h <= ROWS.ilog2());
        }
        assert_eq!(pixels([2, 64, 64]), (6, 1));
        assert_eq!(pixels([2, 8, 8]), (3, 3));
    }
}
