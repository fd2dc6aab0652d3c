//! Many pictures in one.

use image::{RgbImage, imageops};

/// Pixels between pictures.
const GAP: u32 = 4;

/// Pictures of one size in rows.
pub fn contact_sheet(pictures: &[RgbImage], columns: usize) -> RgbImage {
    let columns = columns.clamp(1, pictures.len().max(1)) as u32;
    let rows = (pictures.len() as u32).div_ceil(columns);
    let (width, height) = pictures.first().map_or((1, 1), RgbImage::dimensions);
    let side = |count: u32, size: u32| GAP + count * (size + GAP);
    let mut sheet =
        RgbImage::from_pixel(side(columns, width), side(rows, height), image::Rgb([255; 3]));
    for (index, picture) in (0u32..).zip(pictures) {
        let (column, row) = (index % columns, index / columns);
        let (x, y) = (GAP + column * (width + GAP), GAP + row * (height + GAP));
        imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_rows() {
        let pictures: Vec<RgbImage> =
            (0..3).map(|red| RgbImage::from_pixel(2, 3, image::Rgb([red, 0, 0]))).collect();
        let sheet = contact_sheet(&pictures, 2);
        assert_eq!(sheet.dimensions(), (4 + 2 * 6, 4 + 2 * 7));
        assert_eq!(sheet.get_pixel(4, 11).0, [2, 0, 0]);
        assert_eq!(sheet.get_pixel(10, 4).0, [1, 0, 0]);
        assert_eq!(sheet.get_pixel(10, 11).0, [255; 3]);
    }
}
