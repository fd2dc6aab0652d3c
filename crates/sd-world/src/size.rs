//! How large objects are.

use crate::names::named;

named! {
    /// A size, by the radius in pixels of an object's bounding square.
    pub enum Size {
        /// A radius of 11 to 13 pixels.
        Small = "small",
        /// A radius of 17 to 20 pixels.
        Medium = "medium",
        /// A radius of 25 to 29 pixels, and up to 42 around another object.
        Large = "large",
    }
}

impl Size {
    /// The radii that are drawn, in pixels.
    pub const fn radii(self) -> [f32; 2] {
        match self {
            Self::Small => [11.0, 13.0],
            Self::Medium => [17.0, 20.0],
            Self::Large => [25.0, 29.0],
        }
    }

    /// The size that a radius is called: the limits lie in the middle of the gaps.
    pub fn of_radius(radius: f32) -> Self {
        if radius < 15.0 {
            Self::Small
        } else if radius < 22.5 {
            Self::Medium
        } else {
            Self::Large
        }
    }
}
