//! Examples as files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::{Split, World};

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The directory cannot be made.
    #[error("making the directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A picture cannot be written.
    #[error("writing the picture {}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A text file cannot be written.
    #[error("writing {}: {source}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// See [`World::write_folder`].
pub(crate) fn write(
    world: &World,
    directory: &Path,
    split: Split,
    range: Range<u64>,
) -> Result<(), FolderError> {
    make_directory(directory)?;
    let lines = range
        .into_par_iter()
        .map(|index| picture(world, directory, split, index))
        .collect::<Result<Vec<_>, _>>()?;
    let path = directory.join("metadata.jsonl");
    let text_error = |source| FolderError::Text { path: path.clone(), source };
    let mut metadata = BufWriter::new(File::create(&path).map_err(text_error)?);
    for line in lines {
        writeln!(metadata, "{line}").map_err(text_error)?;
    }
    metadata.flush().map_err(text_error)
}

/// Writes an example's picture; its line of the metadata.
fn picture(
    world: &World,
    directory: &Path,
    split: Split,
    index: u64,
) -> Result<serde_json::Value, FolderError> {
    let example = world.example(split, index);
    let name = format!("{index:08}.png");
    let path = directory.join(&name);
    example.image.save(&path).map_err(|source| FolderError::Picture { path, source })?;
    Ok(serde_json::json!({ "file_name": name, "text": example.caption }))
}

/// Makes a directory and those above it.
pub(crate) fn make_directory(path: &Path) -> Result<(), FolderError> {
    fs::create_dir_all(path)
        .map_err(|source| FolderError::Directory { path: path.to_owned(), source })
}

/// Writes a text file.
pub(crate) fn write_text(path: PathBuf, text: &str) -> Result<(), FolderError> {
    fs::write(&path, text).map_err(|source| FolderError::Text { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_line_for_every_picture() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("new/folder");
        let world = World::new(5);
        world.write_folder(&folder, Split::Train, 10..13).unwrap();
        let metadata = fs::read_to_string(folder.join("metadata.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> =
            metadata.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        for (index, line) in (10..).zip(&lines) {
            let example = world.example(Split::Train, index);
            assert_eq!(line["text"], example.caption);
            let picture = image::open(folder.join(line["file_name"].as_str().unwrap())).unwrap();
            assert_eq!(picture.into_rgb8(), example.image);
        }
    }

    #[test]
    fn errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        let error = World::new(5).write_folder(&path, Split::Train, 0..1).unwrap_err();
        assert!(matches!(&error, FolderError::Directory { path: found, .. } if *found == path));
        assert!(error.to_string().contains("file"), "{error}");
    }
}
