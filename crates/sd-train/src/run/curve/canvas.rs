//! A picture that plotters draws on, text included: plotters' own bitmaps need a font from the system for that.

use std::convert::Infallible;

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use plotters_backend::{
    BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    text_anchor::{HPos, VPos},
};

const HEIGHT: RasterHeight = RasterHeight::Size32;
const WEIGHT: FontWeight = FontWeight::Regular;

type Failed = DrawingErrorKind<Infallible>;

/// A white picture.
pub(super) struct Canvas<'a> {
    image: &'a mut RgbImage,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(image: &'a mut RgbImage) -> Self {
        image.fill(255);
        Self { image }
    }

    fn blend(&mut self, (x, y): BackendCoord, colour: BackendColor, share: f64) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        let Some(pixel) = self.image.get_pixel_mut_checked(x, y) else { return };
        let (red, green, blue) = colour.rgb;
        let share = (colour.alpha * share).clamp(0.0, 1.0);
        let mix = |below: u8, above: u8| {
            (f64::from(below) * (1.0 - share) + f64::from(above) * share).round() as u8
        };
        let Rgb([r, g, b]) = *pixel;
        *pixel = Rgb([mix(r, red), mix(g, green), mix(b, blue)]);
    }
}

/// Width and height of a text, in pixels.
fn size(text: &str) -> (i32, i32) {
    let width = text.chars().count() * get_raster_width(WEIGHT, HEIGHT);
    (width as i32, HEIGHT.val() as i32)
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.image.dimensions()
    }

    fn ensure_prepared(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Result<(), Failed> {
        self.blend(point, color, 1.0);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Result<(), Failed> {
        let (width, height) = size(text);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        let mut left = left;
        for letter in text.chars() {
            let Some(raster) = get_raster(letter, WEIGHT, HEIGHT) else { continue };
            for (row, shares) in (top..).zip(raster.rows()) {
                for (column, share) in (left..).zip(shares) {
                    let (dx, dy) = style.transform().transform(column, row);
                    self.blend((x + dx, y + dy), style.color(), f64::from(*share) / 255.0);
                }
            }
            left += raster.width() as i32;
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _: &S,
    ) -> Result<(u32, u32), Failed> {
        let (width, height) = size(text);
        Ok((width as u32, height as u32))
    }
}
