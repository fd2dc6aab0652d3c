//! Where the vocabulary of a single file is, which has none.

use std::path::{Path, PathBuf};

use crate::{Error, ModelError};

/// Files that make a vocabulary.
pub(crate) const VOCABULARIES: [&[&str]; 2] = [&["vocab.json", "merges.txt"], &["tokenizer.json"]];

/// The directory of a tokenizer's vocabulary: `given`, else what lies beside the file. Of either, the tokenizer's own
/// directory counts first, then those of other tokenizers (all of CLIP's share one vocabulary), then the directory itself.
///
/// # Errors
/// [`ModelError::NoVocabulary`].
pub(super) fn find(file: &Path, given: Option<&Path>, tokenizer: &str) -> Result<PathBuf, Error> {
    let beside = || file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let root = given.or_else(beside).unwrap_or(Path::new("."));
    let places = [tokenizer, "tokenizer", "tokenizer_2"].map(|name| root.join(name));
    let mut places = places.into_iter().chain([root.to_path_buf()]);
    let has = |place: &PathBuf| {
        VOCABULARIES.iter().any(|files| files.iter().all(|name| place.join(name).is_file()))
    };
    places.find(has).ok_or_else(|| {
        let looked_in = ["tokenizer", "tokenizer_2"].map(|name| root.join(name));
        let looked_in = [root.to_path_buf()].into_iter().chain(looked_in).collect();
        ModelError::NoVocabulary { path: file.into(), looked_in }.into()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(directory: &Path, names: &[&str]) {
        fs::create_dir_all(directory).unwrap();
        names.iter().for_each(|name| fs::write(directory.join(name), "").unwrap());
    }

    #[test]
    fn the_nearest_vocabulary_counts() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        let file = root.join("model.safetensors");
        let found = |given: Option<&Path>, name: &str| find(&file, given, name);
        let error = found(None, "tokenizer").unwrap_err();
        assert!(matches!(
            &error,
            Error::Model(ModelError::NoVocabulary { path, looked_in })
                if *path == file && looked_in.len() == 3 && looked_in[0] == root
        ));
        assert!(error.to_string().contains("vocab.json and merges.txt"), "{error}");
        write(root, &["vocab.json"]);
        assert!(found(None, "tokenizer").is_err(), "half a vocabulary");
        write(root, &["merges.txt"]);
        assert_eq!(found(None, "tokenizer").unwrap(), root);
        write(&root.join("tokenizer"), &["tokenizer.json"]);
        assert_eq!(found(None, "tokenizer_2").unwrap(), root.join("tokenizer"));
        write(&root.join("tokenizer_2"), &["vocab.json", "merges.txt"]);
        assert_eq!(found(None, "tokenizer_2").unwrap(), root.join("tokenizer_2"));
        assert_eq!(found(None, "tokenizer").unwrap(), root.join("tokenizer"));
        // What is given counts alone.
        let other = root.join("other");
        assert!(found(Some(&other), "tokenizer").is_err());
        assert_eq!(
            found(Some(&root.join("tokenizer_2")), "tokenizer").unwrap(),
            root.join("tokenizer_2")
        );
    }
}
