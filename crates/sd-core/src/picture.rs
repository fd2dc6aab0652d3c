//! From decoded tensors to images and files.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use burn::tensor::{Tensor, backend::Backend};
use image::RgbImage;
use tempfile::NamedTempFile;

use crate::Error;

/// Converts decoded images.
///
/// # Shapes
/// - decoded: `[batch, 3, height, width]`, -1 to 1; what lies beyond is clamped
///
/// # Errors
/// When the device cannot be read.
pub fn to_images<B: Backend>(decoded: Tensor<B, 4>) -> Result<Vec<RgbImage>, Error> {
    let [_, _, height, width] = decoded.dims();
    let data = decoded.try_into_data().map_err(|error| Error::Device(error.to_string()))?;
    let values: Vec<f32> = data.iter::<f32>().collect();
    let pixels = height * width;
    let images = values.chunks((3 * pixels).max(1)).map(|planes| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let pixel = y as usize * width + x as usize;
            image::Rgb(core::array::from_fn(|colour| to_byte(planes[colour * pixels + pixel])))
        })
    });
    Ok(images.collect())
}

/// -1 to 1 → 0 to 255, halves to even, as diffusers rounds.
pub(crate) fn to_byte(value: f32) -> u8 {
    ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}

/// Checks that a file can be written: what was there stays as it is. For finding out before the work, not after.
///
/// # Errors
/// When the directory does not exist or cannot be written, or the path is a directory.
pub fn check_writable(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(Error::Io { action: "write", path: path.into(), source });
    }
    temporary(path).map(drop)
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

/// Writes a file by a temporary one and a rename.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = temporary(path)?;
    let failed = || Error::io("write", path);
    file.write_all(bytes).map_err(failed())?;
    file.as_file().sync_all().map_err(failed())?;
    keep_permissions(&file, path).map_err(failed())?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

/// Temporary files are private; a picture has the permissions that any new file has, or those of the one it replaces.
fn keep_permissions(file: &NamedTempFile, path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).map_or(0o644, |metadata| metadata.permissions().mode());
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    }
    let _ = (file, path);
    Ok(())
}

fn temporary(path: &Path) -> Result<NamedTempFile, Error> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    NamedTempFile::new_in(&directory).map_err(|source| {
        // The temporary file's own name would only confuse.
        let source = std::io::Error::from(source.kind());
        Error::Io { action: "write", path: path.into(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn an_impossible_path_is_found_before_the_work() {
        let directory = tempfile::tempdir().unwrap();
        assert!(check_writable(directory.path()).is_err());
        let missing = directory.path().join("no/such/out.png");
        let error = check_writable(&missing).unwrap_err().to_string();
        assert!(error.contains("no/such/out.png"), "{error}");
        assert!(check_writable(&directory.path().join("out.png")).is_ok());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
