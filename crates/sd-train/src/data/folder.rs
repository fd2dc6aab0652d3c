//! A folder of pictures (PNG, JPEG, WebP) with `metadata.jsonl`, as Hugging Face's image folders have it.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Component, Path, PathBuf},
};

use image::{ImageReader, RgbImage};
use serde::Deserialize;

use super::DataError;

/// A folder with a `metadata.jsonl`: one object a line, `file_name` (inside the folder) and `text` (the caption).
#[derive(Debug)]
pub struct ImageFolder {
    examples: Vec<Example>,
    skipped: Vec<DataError>,
}

/// What was left out of a data set.
pub type Skipped = [DataError];

#[derive(Debug)]
struct Example {
    path: PathBuf,
    caption: String,
}

#[derive(Deserialize)]
struct Line {
    file_name: String,
    text: String,
}

impl ImageFolder {
    /// Opens a folder. Lines and pictures that are broken are left out, logged and [counted](Self::skipped); of pictures only
    /// the headers are read.
    ///
    /// # Errors
    /// When `metadata.jsonl` cannot be read, or nothing is left.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        let path = folder.join("metadata.jsonl");
        let failed = |source| DataError::Io { path: path.clone(), source };
        let file = BufReader::new(File::open(&path).map_err(failed)?);
        let mut this = Self { examples: Vec::new(), skipped: Vec::new() };
        for (index, line) in file.split(b'\n').enumerate() {
            let line = line.map_err(failed)?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match example(folder, &path, index + 1, &line) {
                Ok(example) => this.examples.push(example),
                Err(error) => {
                    tracing::warn!(%error, "left out");
                    this.skipped.push(error);
                }
            }
        }
        match this.examples.is_empty() {
            true => Err(DataError::Empty { path: folder.into(), skipped: this.skipped.len() }),
            false => Ok(this),
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Never: a folder without examples does not open.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// What was left out, and why.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// The caption of an example.
    pub fn caption(&self, index: usize) -> &str {
        &self.examples[index].caption
    }

    /// The picture of an example; transparency is left out.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub fn picture(&self, index: usize) -> Result<RgbImage, DataError> {
        let path = &self.examples[index].path;
        let image = reader(path)?.decode();
        let image = image.map_err(|source| DataError::Picture { path: path.clone(), source })?;
        Ok(image.to_rgb8())
    }
}

fn example(folder: &Path, path: &Path, line: usize, text: &[u8]) -> Result<Example, DataError> {
    let Line { file_name, text } = serde_json::from_slice(text)
        .map_err(|error| DataError::Line { path: path.into(), line, message: error.to_string() })?;
    let inside =
        Path::new(&file_name).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || file_name.is_empty() {
        return Err(DataError::Outside { path: path.into(), line, file_name });
    }
    let picture = folder.join(file_name);
    reader(&picture)?
        .into_dimensions()
        .map_err(|source| DataError::Picture { path: picture.clone(), source })?;
    Ok(Example { path: picture, caption: text })
}

/// A reader that goes by the contents, whatever the name says.
fn reader(path: &Path) -> Result<ImageReader<BufReader<File>>, DataError> {
    let failed = |source| DataError::Io { path: path.into(), source };
    ImageReader::open(path).map_err(failed)?.with_guessed_format().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn broken_lines_and_pictures_are_left_out_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        RgbImage::from_pixel(4, 3, image::Rgb([1, 2, 3])).save(inside("good.png")).unwrap();
        fs::write(inside("html.png"), "<html>").unwrap();
        let good = r#"{"file_name": "good.png", "text": "three", "other": 1}"#;
        let lines = [
            good,
            "",
            r#"{"file_name": "missing.png", "text": ""}"#,
            r#"{"file_name": "html.png", "text": ""}"#,
            r#"{"file_name": "../good.png", "text": ""}"#,
            r#"{"file_name": "good.png"}"#,
            "{",
            good,
        ];
        fs::write(inside("metadata.jsonl"), lines.join("\n")).unwrap();
        let data = ImageFolder::open(folder.path()).unwrap();
        assert_eq!((data.len(), data.skipped().len()), (2, 5));
        assert_eq!(data.caption(1), "three");
        assert_eq!(data.picture(0).unwrap().dimensions(), (4, 3));
        let errors: Vec<String> = data.skipped().iter().map(ToString::to_string).collect();
        for (error, expected) in
            errors.iter().zip(["missing.png", "html.png", "line 5", "line 6", "line 7"])
        {
            assert!(error.contains(expected), "{error} does not say {expected}");
        }
    }

    #[test]
    fn jpeg_and_webp_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        let image = RgbImage::from_pixel(16, 8, image::Rgb([200, 60, 20]));
        let mut lines = String::new();
        for name in ["a.jpg", "b.webp", "c.png"] {
            image.save(inside(name)).unwrap();
            lines += &format!("{{\"file_name\": \"{name}\", \"text\": \"\"}}\n");
        }
        let whole = fs::read(inside("a.jpg")).unwrap();
        fs::write(inside("broken.jpg"), &whole[..20]).unwrap();
        lines += "{\"file_name\": \"broken.jpg\", \"text\": \"\"}\n";
        fs::write(inside("metadata.jsonl"), lines).unwrap();
        let data = ImageFolder::open(folder.path()).unwrap();
        assert_eq!((data.len(), data.skipped().len()), (3, 1));
        assert!(data.skipped()[0].to_string().contains("broken.jpg"), "{}", data.skipped()[0]);
        for index in 0..3 {
            let picture = data.picture(index).unwrap();
            assert_eq!(picture.dimensions(), (16, 8));
            let [red, green, blue] = picture.get_pixel(8, 4).0;
            let off = [red.abs_diff(200), green.abs_diff(60), blue.abs_diff(20)];
            assert!(off.iter().all(|off| *off <= 4), "{index}: {off:?}");
        }
    }

    #[test]
    fn nothing_to_train_on_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(ImageFolder::open(folder.path()), Err(DataError::Io { .. })));
        fs::write(folder.path().join("metadata.jsonl"), "{\n").unwrap();
        let error = ImageFolder::open(folder.path()).unwrap_err();
        assert!(matches!(error, DataError::Empty { skipped: 1, .. }), "{error}");
    }
}
