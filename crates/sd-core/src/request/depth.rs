//! Pictures from pictures and how far away things are in them.

use image::GrayImage;
use thiserror::Error;

use super::{ImageToImage, RequestError};

/// How far away things are in a picture, in any unit: larger is nearer, as estimators of depth (DPT, MiDaS) have it.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthMap {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

/// Why values are no depth map.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DepthMapError {
    /// Another number of values than the size says, or none.
    #[error("a depth map of {width} by {height} needs as many values, at least one, found {found}")]
    Length {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// How many values there are.
        found: usize,
    },
    /// A value that is no number.
    #[error("the depth map has a value that is not finite at index {index}")]
    NotFinite {
        /// Where, row by row.
        index: usize,
    },
}

impl DepthMap {
    /// A depth map of values row by row, of any size: it is scaled to the latents.
    ///
    /// # Errors
    /// When there is another number of values, or one of them is not finite.
    pub fn new(width: usize, height: usize, values: Vec<f32>) -> Result<Self, DepthMapError> {
        let found = values.len();
        if found == 0 || width.checked_mul(height) != Some(found) {
            return Err(DepthMapError::Length { width, height, found });
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(DepthMapError::NotFinite { index }),
            None => Ok(Self { width, height, values }),
        }
    }

    /// A depth map of a picture: white is nearest.
    ///
    /// # Errors
    /// When it has no pixel.
    pub fn from_image(image: &GrayImage) -> Result<Self, DepthMapError> {
        let values = image.as_raw().iter().map(|byte| f32::from(*byte)).collect();
        Self::new(image.width() as usize, image.height() as usize, values)
    }

    /// The map at another size, from -1 (farthest) to 1, as the model reads it: row by row.
    ///
    /// # Errors
    /// When everything is equally far away.
    pub(crate) fn scaled(&self, width: usize, height: usize) -> Result<Vec<f32>, RequestError> {
        let columns: Vec<Taps> = (0..width).map(|x| Taps::new(x, width, self.width)).collect();
        let rows = (0..height).map(|y| Taps::new(y, height, self.height));
        let values: Vec<f64> = rows
            .flat_map(|row| {
                columns.iter().map(move |column| self.sample(column, &row)).collect::<Vec<_>>()
            })
            .collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if most <= least {
            return Err(RequestError::FlatDepth);
        }
        let scaled = values.iter().map(|value| 2.0 * (value - least) / (most - least) - 1.0);
        Ok(scaled.map(|value| value as f32).collect())
    }

    fn sample(&self, column: &Taps, row: &Taps) -> f64 {
        row.over(|y| column.over(|x| f64::from(self.values[y * self.width + x])))
    }
}

/// The four places that bicubic interpolation takes a value from, and their weights, as PyTorch has them: pixels are areas, and
/// what lies outside is the border.
struct Taps([(usize, f64); 4]);

impl Taps {
    /// For place `to` of `length` over `from` values.
    fn new(to: usize, length: usize, from: usize) -> Self {
        let place = (to as f64 + 0.5) * from as f64 / length as f64 - 0.5;
        let (first, part) = (place.floor(), place - place.floor());
        let weights = [far(part + 1.0), near(part), near(1.0 - part), far(2.0 - part)];
        let last = (from - 1) as f64;
        Self(core::array::from_fn(|tap| {
            let index = (first - 1.0 + tap as f64).clamp(0.0, last);
            (index as usize, weights[tap])
        }))
    }

    fn over(&self, value: impl Fn(usize) -> f64) -> f64 {
        self.0.iter().map(|(index, weight)| weight * value(*index)).sum()
    }
}

/// The slope of the cubic at its zeros.
const SLOPE: f64 = -0.75;

/// Weight of a place at most one pixel away.
fn near(x: f64) -> f64 {
    ((SLOPE + 2.0) * x - (SLOPE + 3.0)) * x * x + 1.0
}

/// Weight of a place one to two pixels away.
fn far(x: f64) -> f64 {
    ((SLOPE * x - 5.0 * SLOPE) * x + 8.0 * SLOPE) * x - 4.0 * SLOPE
}

/// Pictures from pictures whose depth stays, by a model of diffusers' `StableDiffusionDepth2ImgPipeline`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DepthToImage {
    /// What the pictures are made from, and how.
    pub image: ImageToImage,
    /// How far away things are: one map, or several, which are repeated one after the other.
    pub depths: Vec<DepthMap>,
}

impl DepthToImage {
    /// A request for pictures like the source and of this depth. diffusers' own strength is 0.8.
    pub fn new(image: ImageToImage, depth: DepthMap) -> Self {
        Self { image, depths: vec![depth] }
    }

    /// Sets several depth maps.
    pub fn depths(self, depths: Vec<DepthMap>) -> Self {
        Self { depths, ..self }
    }

    /// Checks everything that does not depend on the model.
    ///
    /// # Errors
    /// [`RequestError`] for the first value that makes no sense.
    pub fn validate(&self) -> Result<(), RequestError> {
        self.image.validate()?;
        let (found, batch) = (self.depths.len(), self.image.text.batch_size());
        match found > 0 && batch.is_multiple_of(found) {
            true => Ok(()),
            false => Err(RequestError::SourceCount { found, batch }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_depth_map() {
        assert!(DepthMap::new(2, 2, vec![0.0; 3]).is_err());
        assert!(DepthMap::new(0, 5, vec![]).is_err());
        assert!(DepthMap::new(usize::MAX, 2, vec![0.0; 2]).is_err());
        let error = DepthMap::new(1, 2, vec![0.0, f32::NAN]).unwrap_err();
        assert_eq!(error, DepthMapError::NotFinite { index: 1 });
        let flat = DepthMap::from_image(&GrayImage::new(3, 2)).unwrap();
        assert_eq!(flat.scaled(2, 2), Err(RequestError::FlatDepth));
    }

    /// `torch.nn.functional.interpolate(…, mode="bicubic")` of `arange(12) ** 2` as 3 by 4 to 2 by 3, scaled.
    #[test]
    fn maps_are_scaled_as_pytorch_does_it() {
        let values = (0..12u8).map(|value| f32::from(value).powi(2)).collect();
        let found = DepthMap::new(4, 3, values).unwrap().scaled(3, 2).unwrap();
        let expected = [-1.0000000, -0.9183818, -0.7543825, 0.0531020, 0.4853603, 1.0000000];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        }
        assert_eq!(found.len(), expected.len());
    }
}
