//! The texture of a background.

use image::RgbImage;

use crate::{Colour, SIDE, Texture};

use super::grid::{Grid, cell};

/// The side of the blocks over which noise is averaged, in pixels.
const BLOCK: usize = 4;
/// The blocks in each direction.
const BLOCKS: usize = SIDE as usize / BLOCK;
/// The standard deviation of a plain background at most, where the colour's range of shades is 1.
const PLAIN: f64 = 0.14;
/// The share of the variance that a gradient's slope explains at least.
const SLOPE: f64 = 0.7;
/// The share of the variance that rows, or columns, explain at least if they are stripes.
const STRIPES: f64 = 0.6;

/// A block of background: its column, its row and its mean shade.
type Block = (usize, usize, f64);

/// Finds the texture of a picture's background.
pub(super) fn read(grid: &Grid, image: &RgbImage, background: Colour) -> Texture {
    let blocks: Vec<Block> = (0..BLOCKS * BLOCKS)
        .filter_map(|index| block(grid, image, background, index % BLOCKS, index / BLOCKS))
        .collect();
    let count = blocks.len().max(1) as f64;
    let mean = blocks.iter().map(|block| block.2).sum::<f64>() / count;
    let variance = blocks.iter().map(|block| (block.2 - mean).powi(2)).sum::<f64>() / count;
    if variance.sqrt() < PLAIN {
        return Texture::Plain;
    }
    let columns = between(&blocks, mean, |block| block.0) / (count * variance);
    let rows = between(&blocks, mean, |block| block.1) / (count * variance);
    if slope(&blocks) / (count * variance) > SLOPE {
        Texture::Gradient
    } else if rows.max(columns) > STRIPES {
        Texture::Stripes
    } else {
        Texture::Dots
    }
}

/// The mean shade of a block, if all of it is background.
fn block(
    grid: &Grid,
    image: &RgbImage,
    background: Colour,
    column: usize,
    row: usize,
) -> Option<Block> {
    let mut sum = [0u32; 3];
    for index in 0..BLOCK * BLOCK {
        let (x, y) = (column * BLOCK + index % BLOCK, row * BLOCK + index / BLOCK);
        if grid.cells[cell(x, y)] != background as u8 {
            return None;
        }
        let rgb = image.get_pixel(x as u32, y as u32).0;
        sum.iter_mut().zip(rgb).for_each(|(sum, value)| *sum += u32::from(value));
    }
    let mean = sum.map(|sum| (sum / (BLOCK * BLOCK) as u32) as u8);
    Some((column, row, f64::from(background.shade_of(mean))))
}

/// The sum of squares that the means of rows, or of columns, explain.
fn between(blocks: &[Block], mean: f64, line: impl Fn(&Block) -> usize) -> f64 {
    let mut sums = [(0.0, 0.0); BLOCKS];
    for block in blocks {
        let (count, sum) = &mut sums[line(block)];
        *count += 1.0;
        *sum += block.2 - mean;
    }
    sums.iter().filter(|(count, _)| *count > 0.0).map(|(count, sum)| sum * sum / count).sum()
}

/// The sum of squares that a plane explains.
fn slope(blocks: &[Block]) -> f64 {
    let count = blocks.len() as f64;
    let mean = |value: &dyn Fn(&Block) -> f64| blocks.iter().map(value).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(&|block| block.0 as f64), mean(&|block| block.1 as f64));
    let mean_shade = mean(&|block| block.2);
    let (mut xx, mut xy, mut yy, mut xs, mut ys) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for block in blocks {
        let (x, y, shade) =
            (block.0 as f64 - mean_x, block.1 as f64 - mean_y, block.2 - mean_shade);
        xx += x * x;
        xy += x * y;
        yy += y * y;
        xs += x * shade;
        ys += y * shade;
    }
    let determinant = xx * yy - xy * xy;
    if determinant <= 0.0 {
        return 0.0;
    }
    let a = (xs * yy - ys * xy) / determinant;
    let b = (ys * xx - xs * xy) / determinant;
    a * xs + b * ys
}
