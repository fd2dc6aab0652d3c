//! A picture as colours.

use std::sync::LazyLock;

use image::RgbImage;

use crate::{Colour, SIDE};

/// The cells of a row: the picture's, and one at either end.
pub(super) const ROW: usize = SIDE as usize + 2;

/// A colour for each pixel, in rows with a margin of one cell, so that every pixel has eight neighbours.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    /// Indices of colours, or one of the two below. As numbers they are compared quickly even where nothing is optimised.
    pub(super) cells: Vec<u8>,
}

/// A pixel of which nothing is known yet.
pub(super) const UNKNOWN: u8 = 254;
/// A cell outside of the picture.
pub(super) const MARGIN: u8 = 255;

/// The cell of a pixel.
pub(super) const fn cell(x: usize, y: usize) -> usize {
    (y + 1) * ROW + x + 1
}

/// The pixel of a cell that is not in the margin.
pub(super) const fn pixel(cell: usize) -> [usize; 2] {
    [cell % ROW - 1, cell / ROW - 1]
}

/// The cells left, right, above and below.
pub(super) const fn beside(cell: usize) -> [usize; 4] {
    [cell - 1, cell + 1, cell - ROW, cell + ROW]
}

/// All eight cells around.
pub(super) const fn around(cell: usize) -> [usize; 8] {
    let (above, below) = (cell - ROW, cell + ROW);
    [above - 1, above, above + 1, cell - 1, cell + 1, below - 1, below, below + 1]
}

/// The bits of a channel that are looked at.
const BITS: usize = 5;

/// The nearest colour of every RGB value, to five bits.
static NEAREST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let value = |index: usize, shift: usize| {
        let bits = (index >> (shift * BITS)) & ((1 << BITS) - 1);
        // The middle of the values that share these bits.
        (bits << (8 - BITS) | 1 << (7 - BITS)) as u8
    };
    (0..1 << (3 * BITS))
        .map(|index| Colour::nearest([value(index, 2), value(index, 1), value(index, 0)]) as u8)
        .collect()
});

impl Grid {
    /// The nearest colour of each pixel of a picture that is [`SIDE`] square.
    pub(super) fn classify(image: &RgbImage) -> Self {
        let nearest = &*NEAREST;
        let mut cells = vec![MARGIN; ROW * ROW];
        let rows = image.as_raw().chunks_exact(3 * SIDE as usize);
        for (row, cells) in rows.zip(cells.chunks_exact_mut(ROW).skip(1)) {
            for (rgb, cell) in row.chunks_exact(3).zip(&mut cells[1..]) {
                let bits = |value: u8| usize::from(value) >> (8 - BITS);
                let index = (bits(rgb[0]) << (2 * BITS)) | (bits(rgb[1]) << BITS) | bits(rgb[2]);
                *cell = nearest[index];
            }
        }
        Self { cells }
    }

    /// The colour of a cell, if it is known.
    pub(super) fn colour(&self, cell: usize) -> Option<Colour> {
        Colour::ALL.get(usize::from(self.cells[cell])).copied()
    }
}
