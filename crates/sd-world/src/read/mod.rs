//! What a picture shows, found out by plain image analysis.

mod grid;
mod moments;
mod outline;
mod regions;
mod template;
mod texture;

use image::{RgbImage, imageops};

use crate::{Colour, SIDE, Shape, Size, Texture};

use grid::Grid;
use outline::Outline;

/// What was found in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The background's colour.
    pub background: Colour,
    /// The background's texture.
    pub texture: Texture,
    /// The objects, from the top of the picture downwards.
    pub objects: Vec<Seen>,
}

/// An object that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Its colour.
    pub colour: Colour,
    /// Its shape, if it is like one.
    pub shape: Option<Shape>,
    /// How like it is: the area that it has in common with the shape most like it, over the area of both together.
    pub fit: f32,
    /// Its size.
    pub size: Size,
    /// The centre and half the side of the bounding square that the shape would have, in pixels.
    pub centre: [f32; 2],
    /// See [`centre`](Self::centre).
    pub radius: f32,
    /// The object within whose outline it lies, as an index of [`Reading::objects`].
    pub inside: Option<usize>,
}

/// The pixels of the smallest object. Anything smaller is a speck.
const SPECK: usize = 45;
/// An object that is less like its shape than this has none.
const LEAST_FIT: f32 = 0.7;

/// Reads a picture: the background, and the objects with their colours, shapes, sizes and places.
///
/// Pixels are sorted by colour, with blurred edges given to the nearest of the regions that they lie between. Each
/// connected region of another colour than the background is an object; its shape is that whose outline, moved and
/// stretched to the same mean and spread, covers it best. A moderate blur and noise do not matter.
///
/// A picture of another size is scaled to [`SIDE`] first. An empty one is black.
pub fn read(image: &RgbImage) -> Reading {
    let resized;
    let image = if image.dimensions() == (SIDE, SIDE) {
        image
    } else {
        resized = match image.dimensions() {
            (0, _) | (_, 0) => RgbImage::new(SIDE, SIDE),
            _ => imageops::resize(image, SIDE, SIDE, imageops::FilterType::Triangle),
        };
        &resized
    };
    let colours = Grid::classify(image);
    let background = regions::background(&colours);
    let (colours, regions) = regions::regions(colours, image);
    let outlines: Vec<Outline> = regions
        .into_iter()
        .filter(|region| region.colour != background && region.cells.len() >= SPECK)
        .map(|region| Outline::new(&region, &colours))
        .collect();
    let mut objects: Vec<&Outline> = outlines
        .iter()
        .filter(|outline| !outlines.iter().any(|other| other.shows(outline)))
        .collect();
    objects.sort_by(|a, b| a.moments.mean[1].total_cmp(&b.moments.mean[1]));
    Reading {
        background,
        texture: texture::read(&colours, image, background),
        objects: objects.iter().map(|outline| recognise(outline, &objects)).collect(),
    }
}

/// Finds out what an object is.
fn recognise(outline: &Outline, all: &[&Outline]) -> Seen {
    let matched = template::best(outline);
    // Of several outlines around it, the smallest.
    let inside = (all.iter().enumerate())
        .filter(|(_, other)| other.surrounds(outline))
        .min_by_key(|(_, other)| other.area)
        .map(|(index, _)| index);
    Seen {
        colour: outline.colour,
        shape: (matched.fit >= LEAST_FIT).then_some(matched.shape),
        fit: matched.fit,
        size: Size::of_radius(matched.radius),
        centre: matched.centre,
        radius: matched.radius,
        inside,
    }
}
