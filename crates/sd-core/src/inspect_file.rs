//! What a single file of weights is, without loading it.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use sd_nn::checkpoint::{
    Component, FileContents, SingleFile, SingleFileOptions, WeightFile, WeightSource, open,
};
use serde::Serialize;

use crate::{Error, inspect::count_text};

/// What a file of weights is.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct FileReport {
    /// Its format, told from its contents.
    pub format: String,
    /// What it holds, in words.
    pub contents: String,
    /// Whether it is a whole model.
    pub whole: bool,
    /// What its U-Net predicts, as schedulers' configurations call it.
    pub prediction_type: Option<String>,
    /// Whether it has averaged weights of the U-Net besides.
    pub ema: bool,
    /// The components that it can be taken apart into.
    pub components: Vec<FileComponent>,
    /// Elements of all tensors.
    pub parameters: u64,
    /// Elements by the type that the file has them in.
    pub dtypes: BTreeMap<String, u64>,
    /// Tensors in the file.
    pub tensors: usize,
    /// Tensors that are no part of any component.
    pub unused: Vec<String>,
    /// What stands beside the tensors.
    pub metadata: BTreeMap<String, String>,
}

/// A component in a file.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct FileComponent {
    /// Its name in diffusers' layout.
    pub name: String,
    /// Its class in diffusers or transformers.
    pub class: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Parameters by dtype.
    pub dtypes: BTreeMap<String, u64>,
}

/// Looks into a file of weights of any format: what it is, of which family, with which components. Reads headers, no weights.
///
/// # Errors
/// When the file cannot be read, or holds no weights.
pub fn inspect_file(path: impl AsRef<Path>) -> Result<FileReport, Error> {
    let file = Arc::new(open(path)?);
    let contents = FileContents::of(&file);
    let single = match contents {
        FileContents::Model(_)
        | FileContents::UNet(_)
        | FileContents::Vae
        | FileContents::TextEncoder => {
            Some(SingleFile::new(file.clone(), file.metadata(), &SingleFileOptions::default())?)
        }
        _ => None,
    };
    let names = file.names();
    let (parameters, dtypes) = count(&file, names.iter().map(String::as_str));
    let components = single.iter().flat_map(SingleFile::components);
    Ok(FileReport {
        format: file.kind().to_string(),
        contents: contents.to_string(),
        whole: matches!(contents, FileContents::Model(_)),
        prediction_type: single
            .as_ref()
            .filter(|single| single.component("unet").is_some())
            .map(|single| single.prediction().to_string()),
        ema: single.as_ref().is_some_and(SingleFile::has_ema),
        components: components.map(|component| component_report(&file, component)).collect(),
        parameters,
        dtypes,
        tensors: names.len(),
        unused: single.map(|single| single.unused().to_vec()).unwrap_or_default(),
        metadata: file.metadata().clone(),
    })
}

fn component_report(file: &WeightFile, component: &Component) -> FileComponent {
    let names = component.names();
    let mut dtypes = BTreeMap::new();
    let mut parameters = 0;
    for name in &names {
        let Some(info) = component.info(name) else { continue };
        let elements = info.shape.iter().map(|size| *size as u64).product::<u64>();
        let dtype = component.key(name).and_then(|key| file.dtype_name(key)).unwrap_or_default();
        parameters += elements;
        *dtypes.entry(dtype).or_default() += elements;
    }
    FileComponent {
        name: component.name().into(),
        class: component.class().into(),
        parameters,
        dtypes,
    }
}

fn count<'a>(
    file: &WeightFile,
    names: impl Iterator<Item = &'a str>,
) -> (u64, BTreeMap<String, u64>) {
    let mut dtypes = BTreeMap::new();
    for name in names {
        let (Some(info), Some(dtype)) = (file.info(name), file.dtype_name(name)) else { continue };
        let elements = info.shape.iter().map(|size| *size as u64).product::<u64>();
        *dtypes.entry(dtype).or_default() += elements;
    }
    (dtypes.values().sum(), dtypes)
}

impl FileReport {
    /// The report as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prediction = self.prediction_type.as_deref().map(|name| format!(", {name}"));
        let ema = if self.ema { ", with averaged weights (EMA)" } else { "" };
        writeln!(f, "{}{}{ema}", self.contents, prediction.unwrap_or_default())?;
        let dtypes: Vec<&str> = self.dtypes.keys().map(String::as_str).collect();
        write!(
            f,
            "  {} file of {} tensors, {} elements, {}",
            self.format,
            self.tensors,
            count_text(self.parameters),
            dtypes.join(" + ")
        )?;
        for component in &self.components {
            let dtypes: Vec<&str> = component.dtypes.keys().map(String::as_str).collect();
            write!(
                f,
                "\n  {:<18} {}, {} parameters, {}",
                component.name,
                component.class,
                count_text(component.parameters),
                dtypes.join(" + ")
            )?;
        }
        match self.unused.as_slice() {
            [] => Ok(()),
            [first, ..] => {
                write!(f, "\n  {} tensors belong to no component, first {first}", self.unused.len())
            }
        }
    }
}
