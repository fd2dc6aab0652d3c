//! `model_index.json`: which components a model directory has.

use std::path::{Path, PathBuf};

use sd_nn::{
    checkpoint::ModelFamily,
    config::{ConfigError, ConfigFile},
};
use serde_json::Value;

use crate::{Error, ModelError};

/// Classes of pipelines whose components this crate runs.
pub(crate) const PIPELINE_CLASSES: [&str; 6] = [
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionDepth2ImgPipeline",
    UPSCALER,
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
];

/// The class of the pipelines that make pictures larger.
const UPSCALER: &str = "StableDiffusionUpscalePipeline";

/// The classes that correct outdated configurations of schedulers.
const CORRECTING: [&str; 2] = ["StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"];

/// What the classes of SDXL's pipelines begin with.
const XL: &str = "StableDiffusionXL";

/// A model directory with its index read.
#[derive(Debug)]
pub(crate) struct ModelIndex {
    directory: PathBuf,
    file: ConfigFile,
}

/// What the index says of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing, or that there is none.
    Absent,
    /// Its class.
    Class(String),
}

impl ModelIndex {
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        if !directory.exists() {
            return Err(ModelError::NotFound(directory.into()).into());
        }
        if !directory.is_dir() {
            return Err(ModelError::NotADirectory(directory.into()).into());
        }
        let file = match ConfigFile::open(directory.join("model_index.json")) {
            Err(ConfigError::NotFound { .. }) => {
                return Err(ModelError::NoIndex(directory.into()).into());
            }
            other => other?,
        };
        Ok(Self { directory: directory.into(), file })
    }

    /// What the index of a single file would say.
    pub(crate) fn of_file(path: &Path, index: &Value) -> Result<Self, Error> {
        Ok(Self { directory: path.into(), file: ConfigFile::from_text(path, &index.to_string())? })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The pipeline's class, whatever it is.
    pub(crate) fn class(&self) -> &str {
        self.file.class_name().unwrap_or("(none)")
    }

    /// Whether this is a pipeline of SDXL.
    pub(crate) fn is_xl(&self) -> bool {
        self.class().starts_with(XL)
    }

    /// Whether this is a pipeline that makes pictures larger.
    pub(crate) fn is_upscaler(&self) -> bool {
        self.class() == UPSCALER
    }

    /// The family whose autoencoder this pipeline has, if it is not that of 1.x.
    pub(crate) fn family(&self) -> Option<ModelFamily> {
        match (self.is_xl(), self.is_upscaler()) {
            (true, _) => Some(ModelFamily::XlBase),
            (_, true) => Some(ModelFamily::Sd2Upscaler),
            _ => None,
        }
    }

    /// Whether this pipeline corrects outdated configurations of its scheduler.
    pub(crate) fn corrects_schedulers(&self) -> bool {
        CORRECTING.contains(&self.class())
    }

    /// Whether it has a component, as opposed to saying nothing of it or that there is none.
    pub(crate) fn has(&self, component: &str) -> bool {
        !matches!(self.file.get(component).map(entry), None | Some(Some(Entry::Absent)))
    }

    /// An option, with the default of its class.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, Error> {
        match self.file.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.file.invalid(key, "expected true or false").into()),
        }
    }

    /// A number, with the default of its class.
    pub(crate) fn number(&self, key: &str, default: usize) -> Result<usize, Error> {
        let number = match self.file.get(key) {
            None | Some(Value::Null) => return Ok(default),
            Some(value) => value.as_u64().and_then(|number| usize::try_from(number).ok()),
        };
        number.ok_or_else(|| self.file.invalid(key, "expected a number of at least 0").into())
    }

    /// Refuses classes that are not supported.
    pub(crate) fn check_class(&self) -> Result<(), Error> {
        if PIPELINE_CLASSES.contains(&self.class()) {
            return Ok(());
        }
        Err(ModelError::Class {
            path: self.directory.clone(),
            class: self.class().to_owned(),
            supported: PIPELINE_CLASSES.to_vec(),
        }
        .into())
    }

    /// Names of all components that the index has, absent ones too.
    pub(crate) fn components(&self) -> Vec<(&str, Entry)> {
        let entries = self.file.values().iter().filter(|(key, _)| !key.starts_with('_'));
        entries.filter_map(|(key, value)| Some((key.as_str(), entry(value)?))).collect()
    }

    /// Components without which there is no picture.
    pub(crate) fn needed(&self) -> Vec<&'static str> {
        let first = ["text_encoder", "tokenizer"];
        let second = ["text_encoder_2", "tokenizer_2"];
        let text = match (self.is_xl(), self.has("text_encoder"), self.has("text_encoder_2")) {
            (false, ..) | (true, true, false) => first.to_vec(),
            (true, true, true) => [first, second].concat(),
            (true, false, _) => second.to_vec(),
        };
        let mut needed = [&["scheduler", "unet", "vae"][..], &text].concat();
        if self.is_upscaler() {
            needed.push("low_res_scheduler");
        }
        needed.sort_unstable();
        needed
    }

    /// The directory of a component that the pipeline cannot do without.
    pub(crate) fn component(
        &self,
        component: &'static str,
        classes: &[&'static str],
    ) -> Result<PathBuf, Error> {
        let missing = || ModelError::MissingComponent { path: self.directory.clone(), component };
        let value = self.file.get(component).ok_or_else(missing)?;
        let class = match entry(value) {
            Some(Entry::Class(class)) => class,
            Some(Entry::Absent) => return Err(missing().into()),
            None => {
                let message = "expected [\"library\", \"class\"] or [null, null]";
                return Err(self.file.invalid(component, message).into());
            }
        };
        if !classes.is_empty() && !classes.contains(&class.as_str()) {
            let (path, supported) = (self.directory.clone(), classes.to_vec());
            return Err(ModelError::ComponentClass { path, component, class, supported }.into());
        }
        let directory = self.directory.join(component);
        match directory.is_dir() {
            true => Ok(directory),
            false => Err(missing().into()),
        }
    }
}

/// `[library, class]`, `[null, null]`, or something else (a scalar option).
fn entry(value: &Value) -> Option<Entry> {
    match value.as_array()?.as_slice() {
        [_, Value::String(class)] => Some(Entry::Class(class.clone())),
        [Value::Null, Value::Null] => Some(Entry::Absent),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(text: &str) -> (tempfile::TempDir, Result<ModelIndex, Error>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("model_index.json"), text).unwrap();
        std::fs::create_dir(directory.path().join("unet")).unwrap();
        let index = ModelIndex::open(directory.path());
        (directory, index)
    }

    #[test]
    fn components_are_found() {
        let text = r#"{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "U"],
            "vae": [null, null], "text_encoder": ["a", "b"], "scheduler": "x", "flag": true}"#;
        let (_keep, index) = index(text);
        let index = index.unwrap();
        assert!(index.check_class().is_ok());
        assert!(index.component("unet", &["U"]).is_ok());
        let error = |component, classes: &[&'static str]| {
            index.component(component, classes).unwrap_err().to_string()
        };
        assert!(error("unet", &["V"]).contains("unet is a `U`, supported: V"));
        assert!(error("vae", &[]).contains("has no vae"));
        assert!(error("text_encoder", &[]).contains("has no text_encoder"), "no directory");
        assert!(error("tokenizer", &[]).contains("has no tokenizer"));
        assert!(error("scheduler", &[]).contains("expected [\"library\", \"class\"]"));
        assert_eq!(index.components().len(), 3);
        assert!(index.has("unet") && index.has("scheduler"), "a broken entry is not an absent one");
        assert!(!index.has("vae") && !index.has("tokenizer") && !index.is_xl());
        assert_eq!(index.needed(), ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]);
        assert!(index.flag("flag", false).unwrap() && index.flag("other", true).unwrap());
        assert!(index.flag("scheduler", true).unwrap_err().to_string().contains("true or false"));
    }

    #[test]
    fn other_directories_are_refused() {
        let missing = ModelIndex::open(Path::new("no/such/model")).unwrap_err().to_string();
        assert!(missing.contains("no such directory"), "{missing}");
        let (_keep, broken) = index("{");
        assert!(broken.unwrap_err().to_string().contains("line 1"));
        let (_keep, refiner) = index(
            r#"{"_class_name": "StableDiffusionXLImg2ImgPipeline", "text_encoder": [null, null],
            "text_encoder_2": ["a", "b"]}"#,
        );
        let needed = refiner.unwrap().needed();
        assert_eq!(needed, ["scheduler", "text_encoder_2", "tokenizer_2", "unet", "vae"]);
        let (_keep, other) = index(r#"{"_class_name": "FluxPipeline"}"#);
        let error = other.unwrap().check_class().unwrap_err().to_string();
        assert!(error.contains("`FluxPipeline`") && error.contains("StableDiffusionPipeline"));
    }
}
