//! Shapes, recognised by what they cover.

use std::sync::LazyLock;

use crate::{Shape, draw::draw_rows};

use super::moments::Moments;
use super::outline::Outline;

/// The cells of a mask in each direction.
const CELLS: usize = 64;
/// A mask reaches so many standard deviations from the mean: the tip of a triangle lies 2.83 away.
const REACH: f32 = 3.0;
/// A shape that is stretched by more than this is less like itself.
const STRETCH: f32 = 1.2;

/// What is covered, on a grid whose unit is the standard deviation in either direction: rows of bits.
type Mask = [u64; CELLS];

/// The mask of what `covers` says, around a mean.
fn mask(moments: &Moments, covers: impl Fn([f32; 2]) -> bool) -> Mask {
    let place = |cell: usize| ((cell as f32 + 0.5) / CELLS as f32 * 2.0 - 1.0) * REACH;
    let mut mask = [0; CELLS];
    for (row, bits) in mask.iter_mut().enumerate() {
        let y = moments.mean[1] + place(row) * moments.spread[1];
        for column in 0..CELLS {
            let x = moments.mean[0] + place(column) * moments.spread[0];
            *bits |= u64::from(covers([x, y])) << column;
        }
    }
    mask
}

/// A shape, crisp or blurred.
#[derive(Debug)]
struct Template {
    shape: Shape,
    /// Relative to the centre and the radius of the crisp shape.
    moments: Moments,
    mask: Mask,
}

/// How often a template is blurred: to a standard deviation of 0, 0.1 and 0.2 of its radius. Small objects lose their
/// points and corners.
const BLURS: [usize; 3] = [0, 5, 20];

static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let variants = Shape::ALL.iter().flat_map(|&shape| BLURS.map(|blurs| (shape, blurs)));
    variants.map(|(shape, blurs)| Template::new(shape, blurs)).collect()
});

impl Template {
    fn new(shape: Shape, blurs: usize) -> Self {
        const RADIUS: f32 = 16.0;
        const SIDE: usize = 48;
        const CENTRE: f32 = SIDE as f32 / 2.0;
        let mut canvas = vec![0.0; SIDE * SIDE];
        draw_rows(shape, [CENTRE; 2], RADIUS, SIDE, |row, coverage| {
            canvas[row * SIDE..(row + 1) * SIDE].copy_from_slice(coverage);
        });
        for _ in 0..blurs {
            canvas = blur(&canvas, 1);
            canvas = blur(&canvas, SIDE);
        }
        // Between the middles of pixels, the canvas is interpolated.
        let covers = |[x, y]: [f32; 2]| {
            let (x, y) = (x - 0.5, y - 0.5);
            let limit = (SIDE - 1) as f32;
            if x < 0.0 || y < 0.0 || x >= limit || y >= limit {
                return false;
            }
            let (column, row) = (x as usize, y as usize);
            let (u, v) = (x - column as f32, y - row as f32);
            let at = |index: usize| canvas[index] * (1.0 - u) + canvas[index + 1] * u;
            let first = row * SIDE + column;
            at(first) * (1.0 - v) + at(first + SIDE) * v >= 0.5
        };
        // Four points in a pixel.
        const FINE: usize = 2;
        let points = (0..FINE * FINE * SIDE * SIDE).map(|index| {
            let place = |value: usize| (value as f32 + 0.5) / FINE as f32;
            [place(index % (FINE * SIDE)), place(index / (FINE * SIDE))]
        });
        let mut moments = Moments::new(points.filter(|&point| covers(point)), 1.0 / FINE as f32);
        let mask = mask(&moments, covers);
        moments.mean = moments.mean.map(|value| (value - CENTRE) / RADIUS);
        moments.spread = moments.spread.map(|value| value / RADIUS);
        Self { shape, moments, mask }
    }

    /// How like the template a mask is, from 0 to 1.
    fn fit(&self, mask: &Mask, moments: &Moments) -> f32 {
        let (mut both, mut either) = (0, 0);
        for (a, b) in self.mask.iter().zip(mask) {
            both += (a & b).count_ones();
            either += (a | b).count_ones();
        }
        let stretch = moments.stretch() / self.moments.stretch();
        let excess = (stretch.max(1.0 / stretch) / STRETCH).max(1.0);
        both as f32 / either.max(1) as f32 / excess
    }
}

/// Blurs with the kernel 1 2 1 along values that are `step` apart. The ends stay as they are.
fn blur(values: &[f32], step: usize) -> Vec<f32> {
    let mut blurred = values.to_vec();
    for index in step..values.len() - step {
        blurred[index] = 0.5 * values[index] + 0.25 * (values[index - step] + values[index + step]);
    }
    blurred
}

/// The shape that is most like an object.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) shape: Shape,
    pub(super) fit: f32,
    pub(super) centre: [f32; 2],
    pub(super) radius: f32,
}

/// Finds the shape that is most like the object.
pub(super) fn best(outline: &Outline) -> Match {
    let found = &outline.moments;
    let mask = mask(found, |point| outline.covers(point));
    let mut best = (f32::NEG_INFINITY, &TEMPLATES[0]);
    for template in TEMPLATES.iter() {
        let fit = template.fit(&mask, found);
        if fit > best.0 {
            best = (fit, template);
        }
    }
    let (fit, template) = best;
    let known = &template.moments;
    let radius = (found.spread[0] / known.spread[0] * found.spread[1] / known.spread[1]).sqrt();
    let centre = [0, 1].map(|axis| found.mean[axis] - known.mean[axis] * radius);
    Match { shape: template.shape, fit, centre, radius }
}
