//! Connected regions of one colour.

use std::ops::Range;

use image::RgbImage;

use crate::{Colour, SIDE};

use super::grid::{Grid, MARGIN, ROW, UNKNOWN, around, beside, cell, pixel};

/// A connected region of one colour.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) colour: Colour,
    pub(super) cells: Vec<usize>,
}

/// The width in pixels of the frame whose most frequent colour is the background: objects do not reach it.
const FRAME: usize = 4;
/// Of a pixel and its eight neighbours, so many have one colour within a region.
const ALIKE: usize = 7;
/// The pixels of the smallest region that is not a part of a blurred edge.
const LEAST_CORE: usize = 10;
/// A blurred edge has two regions beside it, each with this share of its border at least.
const LEAST_SIDE: f32 = 0.2;

/// The background's colour.
pub(super) fn background(grid: &Grid) -> Colour {
    let side = SIDE as usize;
    let frame = (0..FRAME * side).flat_map(|index| {
        let (along, depth) = (index % side, index / side);
        let opposite = side - 1 - depth;
        [cell(along, depth), cell(along, opposite), cell(depth, along), cell(opposite, along)]
    });
    let main = most_frequent(frame.filter_map(|cell| grid.colour(cell)));
    main.map_or(Colour::Gray, |(colour, _)| colour)
}

/// The most frequent colour and how often it occurs.
pub(super) fn most_frequent(colours: impl Iterator<Item = Colour>) -> Option<(Colour, usize)> {
    let mut counts = [0; Colour::ALL.len()];
    colours.for_each(|colour| counts[colour as usize] += 1);
    let counts = Colour::ALL.iter().copied().zip(counts);
    counts.filter(|&(_, count)| count > 0).max_by_key(|&(_, count)| count)
}

/// The regions of a picture. The pixels of edges and of noise belong to the regions around them.
///
/// An edge from red to yellow is orange where it is blurred, but nowhere wide enough to be a region of its own.
pub(super) fn regions(mut grid: Grid, image: &RgbImage) -> (Grid, Vec<Region>) {
    keep_cores(&mut grid);
    for region in components(&grid) {
        if region.cells.len() < LEAST_CORE {
            forget(&mut grid, &region);
        }
    }
    grow(&mut grid, image);
    let mut regions = components(&grid);
    let edges: Vec<&Region> = regions.iter().filter(|region| is_edge(&grid, region)).collect();
    if !edges.is_empty() {
        let mut whole = grid.clone();
        edges.iter().for_each(|region| forget(&mut whole, region));
        grow(&mut whole, image);
        grid = whole;
        regions = components(&grid);
    }
    (grid, regions)
}

/// Forgets the pixels that are not like their neighbours.
fn keep_cores(grid: &mut Grid) {
    let raw = grid.cells.clone();
    for index in inner_cells() {
        let own = raw[index];
        if own == MARGIN {
            continue;
        }
        let mut alike = 1;
        for &other in &around(index) {
            if raw[other] == own || raw[other] == MARGIN {
                alike += 1;
            }
        }
        if alike < ALIKE {
            grid.cells[index] = UNKNOWN;
        }
    }
}

/// Gives unknown pixels to the regions beside them, those nearest to a region first: of several regions, to the one
/// whose colour is nearest.
fn grow(grid: &mut Grid, image: &RgbImage) {
    let mut unknown: Vec<usize> =
        inner_cells().filter(|&index| grid.cells[index] == UNKNOWN).collect();
    while !unknown.is_empty() {
        let mut found: Vec<(usize, Colour)> = Vec::new();
        unknown.retain(|&index| {
            let [x, y] = pixel(index);
            let rgb = image.get_pixel(x as u32, y as u32).0;
            let nearest = around(index)
                .iter()
                .filter_map(|&other| grid.colour(other))
                .min_by(|a, b| a.distance(rgb).total_cmp(&b.distance(rgb)));
            found.extend(nearest.map(|colour| (index, colour)));
            nearest.is_none()
        });
        if found.is_empty() {
            // No region at all: noise only.
            found.extend(unknown.drain(..).map(|index| (index, Colour::Gray)));
        }
        found.iter().for_each(|&(index, colour)| grid.cells[index] = colour as u8);
    }
}

/// Whether the region is nowhere five pixels wide and lies between two others, as blurred edges do.
fn is_edge(grid: &Grid, region: &Region) -> bool {
    let own = region.colour as u8;
    let is_wide = |&index: &usize| {
        let [x, y] = pixel(index);
        let inner = 2..SIDE as usize - 2;
        inner.contains(&x)
            && inner.contains(&y)
            && (0..25)
                .all(|near| grid.cells[index - 2 * ROW - 2 + near / 5 * ROW + near % 5] == own)
    };
    if region.cells.iter().any(is_wide) {
        return false;
    }
    let border: Vec<Colour> = region
        .cells
        .iter()
        .flat_map(|&index| beside(index))
        .filter_map(|other| grid.colour(other))
        .filter(|&colour| colour != region.colour)
        .collect();
    let Some((main, count)) = most_frequent(border.iter().copied()) else { return false };
    let rest = border.iter().copied().filter(|&colour| colour != main);
    let least = LEAST_SIDE * border.len() as f32;
    count as f32 >= least && most_frequent(rest).is_some_and(|(_, count)| count as f32 >= least)
}

fn forget(grid: &mut Grid, region: &Region) {
    region.cells.iter().for_each(|&index| grid.cells[index] = UNKNOWN);
}

/// The connected regions (side by side, not corner to corner) of all colours.
fn components(grid: &Grid) -> Vec<Region> {
    let mut is_done = vec![false; grid.cells.len()];
    let mut regions = Vec::new();
    for start in inner_cells() {
        if is_done[start] {
            continue;
        }
        let Some(colour) = grid.colour(start) else { continue };
        is_done[start] = true;
        let mut cells = vec![start];
        let mut next = 0;
        while next < cells.len() {
            for &other in &beside(cells[next]) {
                if !is_done[other] && grid.cells[other] == grid.cells[start] {
                    is_done[other] = true;
                    cells.push(other);
                }
            }
            next += 1;
        }
        regions.push(Region { colour, cells });
    }
    regions
}

/// The cells of the picture, with those of the margin that lie between rows.
const fn inner_cells() -> Range<usize> {
    ROW + 1..ROW * ROW - ROW - 1
}
