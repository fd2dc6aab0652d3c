//! What the fuzz targets call: every parser of this crate on bytes in memory. Nothing here is for other use.

use super::{FileKind, ForeignFormat, gguf, header::Header, pickle, torch};

/// The header of a `.safetensors` file.
pub fn safetensors(file: &[u8]) {
    if let Ok(header) = Header::parse(file) {
        for entry in header.entries {
            assert!(file.get(entry.range).is_some(), "{}", entry.name);
        }
    }
}

/// Python pickles, one behind the other.
pub fn pickle(mut bytes: &[u8]) {
    while let Ok(pickle) = pickle::load(bytes) {
        bytes = &bytes[pickle.len..];
    }
}

/// A PyTorch file of either form, with the elements of its tensors.
pub fn torch(file: &[u8]) {
    torch::exercise(file);
}

/// A GGUF file, with the elements of its tensors.
pub fn gguf(file: &[u8]) {
    gguf::exercise(file);
}

/// What any file is told to be.
pub fn sniff(start: &[u8]) {
    let _ = (FileKind::of_start(start), ForeignFormat::detect(start));
}

/// JSON: a configuration, and the index of a sharded checkpoint.
pub fn json(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(config) = crate::config::ConfigFile::from_text("config.json", text) {
        let _ = config.parse::<std::collections::BTreeMap<String, f64>>();
    }
    super::sharded::exercise(text);
}
