//! A picture before it is drawn.

use crate::{Background, Colour, Description, Shape, Size};

/// An object in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its shape.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// Its size.
    pub size: Size,
    /// The centre of its bounding square, in pixels from the upper left corner: x, y.
    pub centre: [f32; 2],
    /// Half the side of its bounding square, in pixels.
    pub radius: f32,
    /// The shade of its colour, as sRGB from 0 to 255.
    pub shade: [f32; 3],
}

/// Everything that is in a picture, and what its caption says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// What the caption says. It is true of the rest by a clear margin.
    pub description: Description,
    /// What objects lie on.
    pub background: Background,
    /// The objects, in the order of the description's groups. Earlier ones hide later ones.
    pub objects: Vec<Object>,
}
