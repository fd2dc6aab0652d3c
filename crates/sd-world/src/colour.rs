//! The colours of the world.

use crate::names::named;

named! {
    /// A colour: not a point but a range of shades, from a dark one to a light one.
    ///
    /// The ranges are at least 60 of 255 apart, so that noise of half of that does not change a colour's name.
    pub enum Colour {
        /// Red.
        Red = "red",
        /// Green.
        Green = "green",
        /// Blue.
        Blue = "blue",
        /// Yellow.
        Yellow = "yellow",
        /// Purple.
        Purple = "purple",
        /// Orange.
        Orange = "orange",
        /// White.
        White = "white",
        /// Black.
        Black = "black",
        /// Gray, of backgrounds only.
        Gray = "gray",
    }
}

impl Colour {
    /// The colours that objects have.
    pub const OF_OBJECTS: &'static [Self] = &[
        Self::Red,
        Self::Green,
        Self::Blue,
        Self::Yellow,
        Self::Purple,
        Self::Orange,
        Self::White,
        Self::Black,
    ];

    /// The darkest and the lightest shade, as sRGB bytes.
    pub const fn shades(self) -> [[u8; 3]; 2] {
        match self {
            Self::Red => [[165, 20, 30], [235, 55, 55]],
            Self::Green => [[20, 115, 45], [60, 180, 80]],
            Self::Blue => [[25, 50, 165], [65, 105, 240]],
            Self::Yellow => [[215, 188, 30], [255, 232, 85]],
            Self::Purple => [[105, 25, 135], [170, 75, 205]],
            Self::Orange => [[215, 100, 10], [255, 140, 40]],
            Self::White => [[208, 208, 210], [255, 255, 255]],
            Self::Black => [[5, 5, 8], [58, 58, 62]],
            Self::Gray => [[108, 108, 112], [155, 155, 158]],
        }
    }

    /// The shade at `t`, from 0 for the darkest to 1 for the lightest.
    pub fn shade(self, t: f32) -> [f32; 3] {
        let [dark, light] = self.shades();
        std::array::from_fn(|channel| {
            let (dark, light) = (f32::from(dark[channel]), f32::from(light[channel]));
            dark + (light - dark) * t
        })
    }

    /// Where `rgb` lies along the shades: 0 at the darkest, 1 at the lightest, outside of both beyond them.
    pub(crate) fn shade_of(self, rgb: [u8; 3]) -> f32 {
        let [dark, light] = self.shades();
        let (mut along, mut length) = (0.0, 0.0);
        for channel in 0..3 {
            let step = f32::from(light[channel]) - f32::from(dark[channel]);
            along += step * (f32::from(rgb[channel]) - f32::from(dark[channel]));
            length += step * step;
        }
        along / length
    }

    /// The squared distance of `rgb` from the nearest shade.
    pub(crate) fn distance(self, rgb: [u8; 3]) -> f32 {
        let nearest = self.shade(self.shade_of(rgb).clamp(0.0, 1.0));
        (0..3).map(|channel| (f32::from(rgb[channel]) - nearest[channel]).powi(2)).sum()
    }

    /// The colour that `rgb` would be called.
    pub fn nearest(rgb: [u8; 3]) -> Self {
        let mut best = (f32::INFINITY, Self::Gray);
        for &colour in Self::ALL {
            let distance = colour.distance(rgb);
            if distance < best.0 {
                best = (distance, colour);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_far_apart() {
        for &colour in Colour::ALL {
            for step in 0..=10 {
                let shade = colour.shade(step as f32 / 10.0).map(|value| value.round() as u8);
                assert_eq!(Colour::nearest(shade), colour);
                for &other in Colour::ALL {
                    let distance = other.distance(shade).sqrt();
                    assert!(other == colour || distance > 60.0, "{colour} {other} {distance}");
                }
            }
        }
    }
}
