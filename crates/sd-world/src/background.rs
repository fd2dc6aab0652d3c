//! What objects lie on.

use crate::{Colour, SIDE, dice::Dice, names::named};

named! {
    /// The texture of a background, in two shades of one colour.
    pub enum Texture {
        /// One shade.
        Plain = "plain",
        /// Horizontal or vertical stripes.
        Stripes = "striped",
        /// Round dots in rows and columns.
        Dots = "dotted",
        /// From the one shade to the other across the picture.
        Gradient = "gradient",
    }
}

/// A background as it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Background {
    /// Its colour.
    pub colour: Colour,
    /// Its texture.
    pub texture: Texture,
    /// The first and the second shade, as sRGB from 0 to 255.
    pub shades: [[f32; 3]; 2],
    /// The direction across stripes or along a gradient: each coordinate is -1, 0 or 1.
    pub direction: [f32; 2],
    /// The distance in pixels from one stripe or dot to the next.
    pub period: f32,
    /// How far stripes and dots are shifted, in pixels.
    pub shift: [f32; 2],
}

impl Background {
    /// A background of this colour and texture.
    pub(crate) fn sample(dice: &mut Dice, colour: Colour, texture: Texture) -> Self {
        let mut shades = if texture == Texture::Plain {
            let shade = colour.shade(dice.between([0.3, 1.0]));
            [shade, shade]
        } else {
            [colour.shade(dice.between([0.0, 0.12])), colour.shade(dice.between([0.88, 1.0]))]
        };
        if dice.chance(50) {
            shades.swap(0, 1);
        }
        let direction = match texture {
            Texture::Gradient => {
                dice.pick(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [0.0, 1.0]])
            }
            _ => dice.pick(&[[1.0, 0.0], [0.0, 1.0]]),
        };
        let period = dice.between([22.0, 28.0]);
        let shift = [dice.between([0.0, period]), dice.between([0.0, period])];
        Self { colour, texture, shades, direction, period, shift }
    }

    /// The colour at a point of the picture, in pixels from its upper left corner.
    pub(crate) fn at(&self, x: f32, y: f32) -> [f32; 3] {
        let [a, b] = self.shades;
        if self.texture == Texture::Plain {
            return a;
        }
        let second = self.second(x, y);
        let mix = |channel: usize| a[channel] + (b[channel] - a[channel]) * second;
        [mix(0), mix(1), mix(2)]
    }

    /// How much of the second shade is at a point, from 0 to 1. Edges are one pixel wide.
    fn second(&self, x: f32, y: f32) -> f32 {
        let [dx, dy] = self.direction;
        match self.texture {
            Texture::Plain => 0.0,
            Texture::Gradient => {
                let half = SIDE as f32 / 2.0;
                let reach = 2.0 * half * (dx.abs() + dy.abs());
                0.5 + ((x - half) * dx + (y - half) * dy) / reach
            }
            Texture::Stripes => {
                let offset = self.offset(x * dx + y * dy + self.shift[0]).abs();
                (self.period / 4.0 - offset + 0.5).clamp(0.0, 1.0)
            }
            Texture::Dots => {
                let u = self.offset(x + self.shift[0]);
                let v = self.offset(y + self.shift[1]);
                (0.27 * self.period - (u * u + v * v).sqrt() + 0.5).clamp(0.0, 1.0)
            }
        }
    }

    /// How far a value, which is not negative, lies from the middle of its period.
    fn offset(&self, value: f32) -> f32 {
        let periods = (value / self.period) as u32;
        value - (periods as f32 + 0.5) * self.period
    }
}
