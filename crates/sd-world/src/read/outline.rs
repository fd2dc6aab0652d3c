//! What an object covers, with what lies on it.

use crate::Colour;

use super::grid::{Grid, ROW};
use super::moments::Moments;
use super::regions::{Region, most_frequent};

/// The outline of an object.
///
/// An object lies on a ground: on the background, or on another object. What it surrounds belongs to it if something else
/// lies there, not if the ground shows through.
#[derive(Debug)]
pub(super) struct Outline {
    /// The colour of the object.
    pub(super) colour: Colour,
    /// The colour that it lies on.
    pub(super) ground: Option<Colour>,
    /// The number of pixels.
    pub(super) area: usize,
    /// Where they lie, in the picture.
    pub(super) moments: Moments,
    /// The column and the row of the mask's first cell, in the grid.
    corner: [usize; 2],
    /// The mask's width.
    width: usize,
    /// What is there, in rows, with at least one cell outside all around.
    mask: Vec<Part>,
}

/// What a cell is to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A part of it.
    Own,
    /// Surrounded by it, and a part of it.
    Covered,
    /// Surrounded by it, and not a part of it.
    Hole,
    /// Outside.
    Outside,
}

impl Outline {
    pub(super) fn new(region: &Region, grid: &Grid) -> Self {
        let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
        for &index in &region.cells {
            for (axis, value) in [index % ROW, index / ROW].into_iter().enumerate() {
                low[axis] = low[axis].min(value - 1);
                high[axis] = high[axis].max(value + 1);
            }
        }
        let width = high[0] + 1 - low[0];
        let mut mask = vec![Part::Hole; width * (high[1] + 1 - low[1])];
        for &index in &region.cells {
            mask[(index / ROW - low[1]) * width + index % ROW - low[0]] = Part::Own;
        }
        mark_outside(&mut mask, width);

        let in_grid = |index: usize| (low[1] + index / width) * ROW + low[0] + index % width;
        let colour = |&index: &usize| grid.colour(in_grid(index));
        let all = |part: Part| -> Vec<usize> {
            (0..mask.len()).filter(|&index| mask[index] == part).collect()
        };
        let touches =
            |&index: &usize| beside(index, width, mask.len()).any(|other| mask[other] == Part::Own);
        let outside = all(Part::Outside);
        let ground =
            most_frequent(outside.iter().filter(|index| touches(index)).filter_map(colour));
        let ground = ground.map(|(colour, _)| colour);
        let holes = all(Part::Hole);
        let see_through = holes.iter().filter(|index| colour(index) == ground).count();
        if 2 * see_through <= holes.len() {
            holes.iter().for_each(|&index| mask[index] = Part::Covered);
        }

        let covered: Vec<[f32; 2]> = (0..mask.len())
            .filter(|&index| matches!(mask[index], Part::Own | Part::Covered))
            // The grid has a cell more than the picture on each side.
            .map(|index| [low[0] + index % width, low[1] + index / width])
            .map(|cell| cell.map(|value| value as f32 - 0.5))
            .collect();
        let (area, moments) = (covered.len(), Moments::new(covered.into_iter(), 1.0));
        Self { colour: region.colour, ground, area, moments, corner: low, width, mask }
    }

    /// What lies at a point of the picture.
    fn part(&self, [x, y]: [f32; 2]) -> Part {
        let (x, y) = (x + 1.0 - self.corner[0] as f32, y + 1.0 - self.corner[1] as f32);
        if x < 0.0 || y < 0.0 || x >= self.width as f32 {
            return Part::Outside;
        }
        self.mask.get(y as usize * self.width + x as usize).copied().unwrap_or(Part::Outside)
    }

    /// Whether the object covers a point of the picture.
    pub(super) fn covers(&self, point: [f32; 2]) -> bool {
        matches!(self.part(point), Part::Own | Part::Covered)
    }

    /// Whether another object lies within this one's outline: that is, whether its first pixel is surrounded.
    pub(super) fn surrounds(&self, other: &Self) -> bool {
        let first = other.mask.iter().position(|&part| part == Part::Own);
        first.is_some_and(|first| {
            let x = (other.corner[0] + first % other.width) as f32 - 0.5;
            let y = (other.corner[1] + first / other.width) as f32 - 0.5;
            matches!(self.part([x, y]), Part::Covered | Part::Hole)
        })
    }

    /// Whether another region is no object, but what this object lies on, seen through its hole.
    pub(super) fn shows(&self, other: &Self) -> bool {
        self.ground == Some(other.colour) && self.surrounds(other)
    }
}

/// Marks what is connected with the first cell.
fn mark_outside(mask: &mut [Part], width: usize) {
    let mut open = vec![0];
    while let Some(index) = open.pop() {
        if mask[index] == Part::Hole {
            mask[index] = Part::Outside;
            open.extend(beside(index, width, mask.len()));
        }
    }
}

/// The cells beside a cell of a mask. The ends of rows are outside, so it does not matter that they are beside the next.
fn beside(index: usize, width: usize, length: usize) -> impl Iterator<Item = usize> {
    let others =
        [index.checked_sub(1), Some(index + 1), index.checked_sub(width), Some(index + width)];
    others.into_iter().flatten().filter(move |&other| other < length)
}
