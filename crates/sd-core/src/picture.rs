//! From decoded tensors to images and files.

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use image::RgbImage;

use crate::{Error, output::write_atomically};

/// Converts decoded images.
///
/// # Shapes
/// - decoded: `[batch, 3, height, width]`, -1 to 1; what lies beyond is clamped
///
/// # Errors
/// When there are other than 3 channels, a value is not finite, or the device cannot be read.
pub fn to_images<B: Backend>(decoded: Tensor<B, 4>) -> Result<Vec<RgbImage>, Error> {
    let [_, channels, height, width] = decoded.dims();
    if channels != 3 {
        return Err(Error::ImageChannels { found: channels });
    }
    let data = decoded.try_into_data().map_err(|error| Error::Device(error.to_string()))?;
    let values: Vec<f32> = data.iter::<f32>().collect();
    let pixels = height * width;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite { image: index / (3 * pixels) });
    }
    let images = values.chunks((3 * pixels).max(1)).map(|planes| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let pixel = y as usize * width + x as usize;
            image::Rgb(core::array::from_fn(|colour| to_byte(planes[colour * pixels + pixel])))
        })
    });
    Ok(images.collect())
}

/// An image as models take it: `[1, 3, height, width]`, -1 to 1, in f32.
pub(crate) fn from_image<B: Backend>(image: &RgbImage, device: &B::Device) -> Tensor<B, 4> {
    let bytes = image.as_raw();
    let planes = (0..3).flat_map(|colour| bytes.iter().skip(colour).step_by(3));
    let values: Vec<f32> = planes.map(|byte| 2.0 * (f32::from(*byte) / 255.0) - 1.0).collect();
    let shape = [1, 3, image.height() as usize, image.width() as usize];
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// -1 to 1 → 0 to 255, halves to even, as diffusers rounds.
pub(crate) fn to_byte(value: f32) -> u8 {
    ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}

/// Writes a PNG with the parameters of its generation in a text chunk (`parameters`, as other programs read it). The file
/// appears whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn save_png(image: &RgbImage, parameters: &str, path: &Path) -> Result<(), Error> {
    let encode =
        |error: png::EncodingError| Error::Encode { path: path.into(), message: error.to_string() };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // iTXt is UTF-8, tEXt is not.
    encoder.add_itxt_chunk("parameters".to_owned(), parameters.to_owned()).map_err(encode)?;
    let mut writer = encoder.write_header().map_err(encode)?;
    writer.write_image_data(image.as_raw()).map_err(encode)?;
    writer.finish().map_err(encode)?;
    write_atomically(path, &bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[cfg(feature = "ndarray")]
    #[test]
    fn what_is_no_picture_is_refused() {
        let images = |channels: usize, last: f32| {
            let mut values = vec![0.0; 2 * channels * 4];
            *values.last_mut().unwrap() = last;
            let data = TensorData::new(values, [2, channels, 2, 2]);
            to_images::<crate::backend::Cpu>(Tensor::from_data(data, &Default::default()))
        };
        assert_eq!(images(3, 1.0).unwrap()[1].get_pixel(1, 1).0, [128, 128, 255]);
        assert!(matches!(images(4, 0.0), Err(Error::ImageChannels { found: 4 })));
        assert!(matches!(images(3, f32::NAN), Err(Error::NotFinite { image: 1 })));
    }

    #[cfg(feature = "ndarray")]
    #[test]
    fn images_come_back() {
        let image = RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, 100 + y as u8, 255]));
        let tensor = from_image::<crate::backend::Cpu>(&image, &Default::default());
        assert_eq!(tensor.dims(), [1, 3, 2, 3]);
        assert_eq!(to_images(tensor).unwrap(), [image]);
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!([to_byte(-1.0), to_byte(1.0), to_byte(0.0)], [0, 255, 128]);
        assert_eq!([to_byte(-7.0), to_byte(7.0), to_byte(f32::NAN)], [0, 255, 0]);
        assert_eq!(to_byte(2.0 * (0.5 / 255.0) - 1.0), 0);
        assert_eq!(to_byte(2.0 * (2.5 / 255.0) - 1.0), 2);
    }

    #[test]
    fn parameters_are_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.png");
        let image = RgbImage::from_pixel(3, 2, image::Rgb([1, 2, 3]));
        save_png(&image, "ein Leuchtturm – 灯台\nSteps: 5", &path).unwrap();
        assert_eq!(image::open(&path).unwrap().to_rgb8(), image);
        let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(&path).unwrap()));
        let reader = decoder.read_info().unwrap();
        let chunk = &reader.info().utf8_text[0];
        assert_eq!(chunk.keyword, "parameters");
        assert_eq!(chunk.get_text().unwrap(), "ein Leuchtturm – 灯台\nSteps: 5");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
