//! Scenes become pictures.

use image::RgbImage;

use crate::{Object, SIDE, Scene, Shape};

/// Lines per row of pixels. Along a line, coverage is exact.
const LINES: usize = 4;

impl Scene {
    /// Draws the scene: [`SIDE`] pixels square, with smooth edges.
    pub fn draw(&self) -> RgbImage {
        let side = SIDE as usize;
        let mut pixels = Vec::with_capacity(side * side);
        for y in 0..side {
            for x in 0..side {
                pixels.push(self.background.at(x as f32 + 0.5, y as f32 + 0.5));
            }
        }
        for object in self.objects.iter().rev() {
            object.draw(&mut pixels);
        }
        let mut image = RgbImage::new(SIDE, SIDE);
        for (pixel, colour) in image.pixels_mut().zip(&pixels) {
            // Rounded: a shade is never negative.
            pixel.0 = colour.map(|value| (value + 0.5) as u8);
        }
        image
    }
}

impl Object {
    /// Blends the object over the pixels, which are in rows of [`SIDE`].
    fn draw(&self, pixels: &mut [[f32; 3]]) {
        draw_rows(self.shape, self.centre, self.radius, SIDE as usize, |row, coverage| {
            let row = pixels.chunks_exact_mut(SIDE as usize).nth(row).unwrap_or_default();
            for (pixel, &covered) in row.iter_mut().zip(coverage) {
                if covered > 0.0 {
                    for (value, shade) in pixel.iter_mut().zip(self.shade) {
                        *value += (shade - *value) * covered;
                    }
                }
            }
        });
    }
}

/// Calls `draw` for each row of a square of `side` pixels that a shape may reach, with the share of each pixel that it
/// covers.
pub(crate) fn draw_rows(
    shape: Shape,
    [x, y]: [f32; 2],
    radius: f32,
    side: usize,
    mut draw: impl FnMut(usize, &[f32]),
) {
    // Bounds below zero become zero.
    let first = (y - radius).floor() as usize;
    let last = ((y + radius).ceil() as usize).min(side);
    let mut coverage = vec![0.0; side];
    for row in first..last {
        coverage.fill(0.0);
        for line in 0..LINES {
            let height = row as f32 + (line as f32 + 0.5) / LINES as f32;
            for span in shape.spans((height - y) / radius).as_slice() {
                cover(&mut coverage, span.map(|edge| x + edge * radius));
            }
        }
        coverage.iter_mut().for_each(|covered| *covered = (*covered / LINES as f32).min(1.0));
        draw(row, &coverage);
    }
}

/// Adds to each pixel of a row how much of it lies in the span.
fn cover(coverage: &mut [f32], [start, end]: [f32; 2]) {
    let last = (end.ceil() as usize).min(coverage.len());
    for (x, covered) in coverage.iter_mut().enumerate().take(last).skip(start as usize) {
        *covered += (end.min(x as f32 + 1.0) - start.max(x as f32)).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Background, Colour, Description, Group, Size, Texture};

    fn scene(shape: Shape) -> Scene {
        Scene {
            description: Description::new(vec![Group::one(Colour::White, shape)]),
            background: Background {
                colour: Colour::Black,
                texture: Texture::Plain,
                shades: [[0.0; 3]; 2],
                direction: [1.0, 0.0],
                period: 20.0,
                shift: [0.0; 2],
            },
            objects: vec![Object {
                shape,
                colour: Colour::White,
                size: Size::Medium,
                centre: [60.25, 64.0],
                radius: 20.0,
                shade: [255.0; 3],
            }],
        }
    }

    /// The area that the white pixels of a black picture make up.
    fn area(image: &RgbImage) -> f32 {
        image.pixels().map(|pixel| f32::from(pixel.0[0]) / 255.0).sum()
    }

    #[test]
    fn areas_are_right() {
        let square = area(&scene(Shape::Square).draw());
        assert!((square - 36.0 * 36.0).abs() < 2.0, "{square}");
        let circle = area(&scene(Shape::Circle).draw());
        assert!((circle - std::f32::consts::PI * 400.0).abs() < 3.0, "{circle}");
        let ring = area(&scene(Shape::Ring).draw());
        assert!((ring / circle - 0.75).abs() < 0.01, "{ring}");
    }

    #[test]
    fn edges_are_smooth_and_the_rest_is_crisp() {
        let image = scene(Shape::Square).draw();
        assert_eq!(image.get_pixel(42, 64).0, [191; 3]);
        assert_eq!(image.get_pixel(43, 64).0, [255; 3]);
        assert_eq!(image.get_pixel(41, 64).0, [0; 3]);
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let mut scene = scene(Shape::Circle);
        for centre in [[0.0, 0.0], [-5.0, 130.0], [128.0, 60.0], [300.0, -300.0]] {
            scene.objects[0].centre = centre;
            assert!(area(&scene.draw()) < 700.0);
        }
    }
}
