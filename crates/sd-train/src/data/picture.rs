//! Pictures as a model takes them.

use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use crate::draws::Choices;

/// How pictures of any size become pictures of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Framing {
    /// Width and height, in pixels.
    pub size: [u32; 2],
    /// Whether the part that is cut out of a longer picture is chosen anew each time, rather than the middle.
    #[serde(default)]
    pub random_crop: bool,
    /// Whether half of the pictures are mirrored.
    #[serde(default)]
    pub random_flip: bool,
}

impl Framing {
    /// The middle of each picture, at this width and height.
    pub fn new(width: u32, height: u32) -> Self {
        Self { size: [width, height], random_crop: false, random_flip: false }
    }

    /// Scales a picture so that it covers the size, and cuts off what is beyond.
    pub fn apply(self, image: RgbImage, choices: &mut Choices) -> Picture {
        let [width, height] = self.size;
        let image = match image.dimensions() == (width, height) {
            true => image,
            false => self.cover(&image, choices),
        };
        let image = match self.random_flip && choices.chance(0.5) {
            true => imageops::flip_horizontal(&image),
            false => image,
        };
        Picture { image }
    }

    fn cover(self, image: &RgbImage, choices: &mut Choices) -> RgbImage {
        let [width, height] = self.size;
        let sides = [(image.width(), width), (image.height(), height)];
        let factor = sides
            .map(|(side, wanted)| f64::from(wanted) / f64::from(side.max(1)))
            .into_iter()
            .fold(0.0, f64::max);
        // The part is cut out of the picture as it is: scaled as a whole, one that is a hundred thousand pixels long and one high
        // would fill the memory.
        let [(left, wide), (top, high)] = sides.map(|(side, wanted)| {
            let rest = (f64::from(side) * factor).round() as usize;
            let rest = rest.saturating_sub(wanted as usize);
            let start = match self.random_crop {
                true => choices.below(rest + 1),
                false => rest / 2,
            };
            window(side, wanted, start as f64 / factor, factor)
        });
        let part = imageops::crop_imm(image, left, top, wide, high).to_image();
        imageops::resize(&part, width, height, imageops::FilterType::Lanczos3)
    }
}

/// Start and length, in pixels of the picture, of what becomes `wanted` pixels.
fn window(side: u32, wanted: u32, start: f64, factor: f64) -> (u32, u32) {
    let length = ((f64::from(wanted) / factor).round() as u32).clamp(1, side.max(1));
    let start = (start.round() as u32).min(side.saturating_sub(length));
    (start, length)
}

/// A picture of the size that is trained on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    image: RgbImage,
}

impl Picture {
    /// Writes its values, `[3, height, width]`, −1 to 1. What lies beyond them stays.
    pub fn write_planes(&self, values: &mut [f32]) {
        let length = self.image.as_raw().len() / 3;
        for (colour, plane) in values.chunks_mut(length.max(1)).take(3).enumerate() {
            for (value, pixel) in plane.iter_mut().zip(self.image.pixels()) {
                *value = f32::from(pixel.0[colour]) / 127.5 - 1.0;
            }
        }
    }

    /// Its pixels.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchRows, Draws};

    fn striped(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, _| image::Rgb([(x * 255 / width) as u8, 0, 255]))
    }

    #[test]
    fn pictures_are_covered_and_cut_in_the_middle() {
        let mut choices = Draws::new(0).choices(0, BatchRows::default());
        let picture = Framing::new(8, 8).apply(striped(64, 16), &mut choices);
        assert_eq!(picture.image().dimensions(), (8, 8));
        let red: Vec<u8> = picture.image().pixels().map(|pixel| pixel.0[0]).collect();
        assert!(red.iter().all(|red| (80..180).contains(red)), "{red:?}");

        let mut values = vec![0.0; 3 * 64];
        picture.write_planes(&mut values);
        assert!(values[64..128].iter().all(|green| *green == -1.0));
        assert!(values[128..].iter().all(|blue| *blue == 1.0));
    }

    /// What is cut out first and scaled then is what is scaled first and cut out then, but for the resampling.
    #[test]
    fn the_part_is_that_of_the_scaled_picture() {
        let image = RgbImage::from_fn(200, 96, |x, y| {
            image::Rgb([(x * 255 / 199) as u8, (y * 255 / 95) as u8, ((x + y) % 60 * 4) as u8])
        });
        let found = Framing::new(32, 32)
            .apply(image.clone(), &mut Draws::new(0).choices(0, BatchRows::default()));
        let mut scaled = imageops::resize(&image, 67, 32, imageops::FilterType::Lanczos3);
        let expected = imageops::crop(&mut scaled, 17, 0, 32, 32).to_image();
        for (found, expected) in found.image().pixels().zip(expected.pixels()) {
            for colour in 0..2 {
                assert!(
                    found.0[colour].abs_diff(expected.0[colour]) <= 3,
                    "{found:?} {expected:?}"
                );
            }
        }
    }

    #[test]
    fn extreme_pictures_need_no_more_memory_than_they_have() {
        let mut choices = Draws::new(0).choices(0, BatchRows::default());
        let framing = Framing { random_crop: true, ..Framing::new(512, 512) };
        for (width, height) in [(100_000, 1), (1, 100_000), (1, 1)] {
            let picture = framing.apply(striped(width, height), &mut choices);
            assert_eq!(picture.image().dimensions(), (512, 512));
        }
    }

    #[test]
    fn flips_and_crops_follow_the_draws() {
        let framing = Framing { random_crop: true, random_flip: true, ..Framing::new(8, 8) };
        let pictures = |seed| -> Vec<Picture> {
            let mut choices = Draws::new(seed).choices(0, BatchRows::default());
            (0..8).map(|_| framing.apply(striped(64, 16), &mut choices)).collect()
        };
        assert_eq!(pictures(1), pictures(1));
        assert_ne!(pictures(1)[0], pictures(1)[1]);
    }
}
