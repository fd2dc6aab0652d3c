//! Cheap pictures of latents.

use burn::tensor::{Tensor, backend::Backend};
use image::RgbImage;

use crate::{Error, picture::to_byte};

/// Red, green and blue of each channel of the latents of SD 1.x and 2.x: the least-squares fit that the community uses
/// (published by Birch-san, 2022, for the KL-f8 autoencoder).
const SD_FACTORS: [[f32; 3]; 4] = [
    [0.298, 0.207, 0.208],
    [0.187, 0.286, 0.173],
    [-0.158, 0.189, 0.264],
    [-0.184, -0.271, -0.473],
];

/// Draws latents as small RGB pictures, one pixel for each latent, by a linear map of the channels. It costs one read from
/// the device, and nothing like a decoder. Latents of other than four channels show their first three.
///
/// # Shapes
/// - latents: `[batch, channels, height, width]`
///
/// # Errors
/// When the device cannot be read.
pub fn preview<B: Backend>(latents: &Tensor<B, 4>) -> Result<Vec<RgbImage>, Error> {
    let [_, channels, height, width] = latents.dims();
    let data = latents.clone().try_into_data().map_err(|error| Error::Device(error.to_string()))?;
    let values: Vec<f32> = data.iter::<f32>().collect();
    let pixels = height * width;
    let pictures = values.chunks((channels * pixels).max(1)).map(|picture| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let pixel = y as usize * width + x as usize;
            let channel =
                |index: usize| picture.get(index * pixels + pixel).copied().unwrap_or(0.0);
            image::Rgb(core::array::from_fn(|colour| to_byte(mix(channels, colour, channel))))
        })
    });
    Ok(pictures.collect())
}

/// One colour of a pixel, about -1 to 1.
fn mix(channels: usize, colour: usize, channel: impl Fn(usize) -> f32) -> f32 {
    if channels == SD_FACTORS.len() {
        SD_FACTORS.iter().enumerate().map(|(index, rgb)| rgb[colour] * channel(index)).sum()
    } else {
        channel(colour.min(channels.saturating_sub(1)))
    }
}

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use super::*;

    type B = crate::backend::Cpu;

    #[test]
    fn a_zero_latent_is_grey() {
        for channels in [1, 3, 4, 16] {
            let latents = Tensor::<B, 4>::zeros([2, channels, 3, 5], &Default::default());
            let pictures = preview(&latents).unwrap();
            assert_eq!(pictures.len(), 2);
            assert_eq!(pictures[0].dimensions(), (5, 3));
            assert!(pictures[0].pixels().all(|pixel| pixel.0 == [128; 3]));
        }
    }
}
