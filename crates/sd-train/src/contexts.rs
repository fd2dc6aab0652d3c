//! What a frozen text encoder makes of the captions of a data set, encoded once.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use burn::tensor::{DType, FloatDType, Tensor, TensorData, backend::Backend};
use sd_nn::checkpoint::{CheckpointWriter, FileDtype, SafetensorsFile, TensorSpec, WeightSource};

use crate::{TrainError, data::ImageFolder};

/// Captions that are encoded at a time.
const BATCH: usize = 64;

/// What makes one table another: metadata of its file.
const KEY: &str = "of";

/// The features of every caption and of the empty one, in f32 in a file that is mapped into memory: a tensor
/// `[tokens, width]` for each text.
#[derive(Debug)]
pub struct ContextTable {
    file: SafetensorsFile,
    /// The number of the text of each example.
    texts: Vec<usize>,
    /// `[tokens, width]`.
    shape: [usize; 2],
}

impl ContextTable {
    /// The number of the empty text.
    const EMPTY: usize = 0;

    /// Encodes all captions, each text once, or takes them from a file that an earlier run wrote under the same `key`.
    ///
    /// The key is to say which text encoder and which captions these are; a file with another one is written anew.
    ///
    /// # Errors
    /// When the encoder refuses a caption, or the file cannot be written.
    pub fn open_or_encode<B: Backend>(
        path: &Path,
        key: &str,
        folder: &ImageFolder,
        encode: impl FnMut(&[&str]) -> Result<Tensor<B, 3>, TrainError>,
    ) -> Result<Self, TrainError> {
        let (texts, of_examples) = distinct(folder);
        if let Some(table) = Self::open(path, key, &texts, &of_examples) {
            return Ok(table);
        }
        write(path, key, &texts, encode)?;
        Self::open(path, key, &texts, &of_examples).ok_or_else(|| TrainError::State {
            path: path.into(),
            message: "is not what was just written to it".into(),
        })
    }

    /// The features of some examples, `[batch, tokens, width]`, those of the empty text where the caption is dropped.
    ///
    /// # Errors
    /// When the file is not what it was.
    ///
    /// # Panics
    /// When there is no such example.
    pub fn rows<B: Backend>(
        &self,
        examples: &[usize],
        dropped: &[bool],
        device: &B::Device,
    ) -> Result<Tensor<B, 3>, TrainError> {
        let [tokens, width] = self.shape;
        let mut values: Vec<f32> = Vec::with_capacity(examples.len() * tokens * width);
        for (example, dropped) in examples.iter().zip(dropped) {
            let text = if *dropped { Self::EMPTY } else { self.texts[*example] };
            let bytes = self.file.tensor(&text.to_string())?.bytes;
            values.extend(
                bytes
                    .chunks_exact(4)
                    .map(|four| f32::from_le_bytes(four.try_into().unwrap_or_default())),
            );
        }
        let data = TensorData::new(values, [examples.len(), tokens, width]);
        Ok(Tensor::from_data(data, (device, DType::F32)))
    }

    /// A table that was written before, if it is the one that is asked for and whole.
    fn open(path: &Path, key: &str, texts: &[&str], of_examples: &[usize]) -> Option<Self> {
        let file = SafetensorsFile::open(path).ok()?;
        if file.metadata().get(KEY).map(String::as_str) != Some(key) {
            tracing::info!(path = %path.display(), "captions of something else, encoded anew");
            return None;
        }
        let first = file.info(&Self::EMPTY.to_string())?.shape;
        let shape: [usize; 2] = first.as_slice().try_into().ok()?;
        let whole = (0..texts.len()).all(|text| {
            let info = file.info(&text.to_string());
            info.is_some_and(|info| info.shape == shape && info.dtype == FileDtype::F32)
        });
        whole.then(|| Self { file, texts: of_examples.to_vec(), shape })
    }
}

/// The texts of a data set, each once and the empty one first, and which of them each example has.
fn distinct(folder: &ImageFolder) -> (Vec<&str>, Vec<usize>) {
    let mut texts = vec![""];
    let mut numbers = HashMap::from([("", ContextTable::EMPTY)]);
    let of_examples = (0..folder.len()).map(|example| {
        let caption = folder.caption(example);
        *numbers.entry(caption).or_insert_with(|| {
            texts.push(caption);
            texts.len() - 1
        })
    });
    let of_examples = of_examples.collect();
    (texts, of_examples)
}

/// Encodes texts and writes what comes of them as it comes: no more than a few are in memory.
fn write<B: Backend>(
    path: &Path,
    key: &str,
    texts: &[&str],
    mut encode: impl FnMut(&[&str]) -> Result<Tensor<B, 3>, TrainError>,
) -> Result<(), TrainError> {
    let [_, tokens, width] = encode(&texts[..1])?.dims();
    let spec = |text: usize| TensorSpec {
        name: text.to_string(),
        dtype: FileDtype::F32,
        shape: vec![tokens, width],
    };
    let metadata = BTreeMap::from([(KEY.to_owned(), key.to_owned())]);
    let specs = (0..texts.len()).map(spec).collect();
    let mut writer = CheckpointWriter::create_file(path, specs, &metadata)?;
    for (batch, some) in texts.chunks(BATCH).enumerate() {
        let data = encode(some)?.cast(FloatDType::F32).try_into_data();
        let data = data.map_err(|error| TrainError::part("text_encoder", error.to_string()))?;
        let values: Vec<f32> = data.iter::<f32>().collect();
        for (index, row) in values.chunks_exact(tokens * width).enumerate() {
            let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
            writer.write(&(batch * BATCH + index).to_string(), &bytes)?;
        }
    }
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type B = burn_ndarray::NdArray<f32>;

    fn folder(captions: &[&str]) -> (tempfile::TempDir, ImageFolder) {
        let directory = tempfile::tempdir().unwrap();
        image::RgbImage::new(2, 2).save(directory.path().join("a.png")).unwrap();
        let lines: String = captions
            .iter()
            .map(|text| serde_json::json!({"file_name": "a.png", "text": text}).to_string() + "\n")
            .collect();
        std::fs::write(directory.path().join("metadata.jsonl"), lines).unwrap();
        let folder = ImageFolder::open(directory.path()).unwrap();
        (directory, folder)
    }

    /// Features that tell the text: its length, twice.
    fn lengths(texts: &[&str]) -> Tensor<B, 3> {
        let values: Vec<f32> = texts.iter().flat_map(|text| [text.len() as f32; 2]).collect();
        Tensor::from_data(TensorData::new(values, [texts.len(), 1, 2]), &Default::default())
    }

    #[test]
    fn each_text_is_encoded_once_and_never_again() {
        let (directory, folder) = folder(&["red", "blue", "red", ""]);
        let path = directory.path().join("contexts.safetensors");
        let mut encoded = Vec::new();
        let table = ContextTable::open_or_encode(&path, "one", &folder, |texts| {
            encoded.extend(texts.iter().map(|text| (*text).to_owned()));
            Ok(lengths(texts))
        });
        // The empty text once more, which says how large the rows are.
        assert_eq!(encoded, ["", "", "red", "blue"]);
        let rows = |table: &ContextTable| -> Vec<f32> {
            let dropped = [false, true, false, false];
            let rows = table.rows::<B>(&[1, 1, 2, 3], &dropped, &Default::default()).unwrap();
            rows.into_data().iter().collect()
        };
        let expected = [4.0, 4.0, 0.0, 0.0, 3.0, 3.0, 0.0, 0.0];
        assert_eq!(rows(&table.unwrap()), expected);
        let again =
            ContextTable::open_or_encode::<B>(&path, "one", &folder, |_| panic!("it is all there"));
        assert_eq!(rows(&again.unwrap()), expected);
        let mut count = 0;
        let other = ContextTable::open_or_encode(&path, "two", &folder, |texts| {
            count += texts.len();
            Ok(lengths(texts))
        });
        assert_eq!((rows(&other.unwrap()), count), (expected.to_vec(), 4));
    }

    #[test]
    fn a_file_that_lacks_a_text_is_written_anew() {
        let (directory, small) = folder(&["red"]);
        let path = directory.path().join("contexts.safetensors");
        ContextTable::open_or_encode(&path, "one", &small, |texts| Ok(lengths(texts))).unwrap();
        let (_kept, large) = folder(&["red", "yellow"]);
        let table =
            ContextTable::open_or_encode(&path, "one", &large, |texts| Ok(lengths(texts))).unwrap();
        let row = table.rows::<B>(&[1], &[false], &Default::default()).unwrap();
        assert_eq!(row.into_data().iter::<f32>().collect::<Vec<_>>(), [6.0, 6.0]);
    }
}
