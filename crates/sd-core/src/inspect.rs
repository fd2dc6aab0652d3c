//! What a model directory holds, without loading it.

use std::{collections::BTreeMap, fmt, path::Path};

use sd_clip::ClipTokenizer;
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::find_weights;
use serde::Serialize;

use crate::{
    Error,
    components::{ClipEncoder, UNetDenoiser, VaeCodec},
    loading,
    model_index::{Entry, ModelIndex, PIPELINE_CLASSES},
};

/// What a model directory holds.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ModelReport {
    /// The pipeline's class.
    pub class: String,
    /// Whether this crate runs that class.
    pub supported: bool,
    /// Whether its denoiser reads an aesthetic score, as SDXL's refiner.
    pub requires_aesthetics_score: bool,
    /// The components, in the order of the index.
    pub components: Vec<ComponentReport>,
    /// Components that are needed and not there.
    pub missing: Vec<String>,
    /// Parameters of all components.
    pub parameters: u64,
}

/// What a component's directory holds.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ComponentReport {
    /// Its name, which is that of its directory.
    pub name: String,
    /// Its class; `None` when the index says that there is none.
    pub class: Option<String>,
    /// Variant of the weights that are found, such as `fp16`.
    pub variant: Option<String>,
    /// Number of parameters; 0 for components without weights.
    pub parameters: u64,
    /// Parameters by dtype.
    pub dtypes: BTreeMap<String, u64>,
    /// Bytes of the weights.
    pub bytes: u64,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Looks into a model directory: components, parameter counts, dtypes, what is missing. Reads configurations and headers, no
/// weights; a broken component is reported and does not hide the others. Nothing runs on the backend, so any will do.
///
/// # Errors
/// When it is no model directory, or an option of its index is broken.
pub fn inspect<B: DiffusionBackend>(directory: impl AsRef<Path>) -> Result<ModelReport, Error> {
    let index = ModelIndex::open(directory.as_ref())?;
    let components: Vec<ComponentReport> = index
        .components()
        .into_iter()
        .map(|(name, entry)| component::<B>(&index, name, entry))
        .collect();
    let usable = |name: &str| {
        let found = components.iter().find(|component| component.name == name);
        found.is_some_and(|component| component.class.is_some() && component.problem.is_none())
    };
    let missing =
        index.needed().into_iter().filter(|name| !usable(name)).map(str::to_owned).collect();
    Ok(ModelReport {
        class: index.class().to_owned(),
        supported: PIPELINE_CLASSES.contains(&index.class()),
        requires_aesthetics_score: index.is_xl()
            && index.flag("requires_aesthetics_score", false)?,
        parameters: components.iter().map(|component| component.parameters).sum(),
        components,
        missing,
    })
}

/// The classes of text encoders whose pooled vectors SDXL reads.
const WITH_PROJECTION: [&str; 1] = ["CLIPTextModelWithProjection"];

/// The classes that a component may have in a pipeline, if only some are known.
fn classes(index: &ModelIndex, name: &str) -> Option<&'static [&'static str]> {
    let only_first = index.is_xl() && !index.has("text_encoder_2");
    Some(match name {
        "text_encoder" if only_first => &WITH_PROJECTION,
        "text_encoder" => &loading::TEXT_ENCODERS,
        "text_encoder_2" => &WITH_PROJECTION,
        "tokenizer" | "tokenizer_2" => &loading::TOKENIZERS,
        "unet" => &loading::UNETS,
        "vae" => &loading::VAES,
        _ => return None,
    })
}

/// Refuses a component whose class the pipeline does not run.
fn check_class(index: &ModelIndex, name: &str, class: &str) -> Result<(), String> {
    match classes(index, name).filter(|_| index.needed().contains(&name)) {
        Some(classes) if !classes.contains(&class) => {
            Err(format!("the class is not supported, expected {}", classes.join(" or ")))
        }
        _ => Ok(()),
    }
}

fn component<B: DiffusionBackend>(index: &ModelIndex, name: &str, entry: Entry) -> ComponentReport {
    let mut report = ComponentReport {
        name: name.to_owned(),
        class: None,
        variant: None,
        parameters: 0,
        dtypes: BTreeMap::new(),
        bytes: 0,
        problem: None,
    };
    if let Entry::Class(class) = entry {
        let directory = index.directory().join(name);
        let found = match directory.is_dir() {
            true => {
                examine::<B>(&directory, &class, &mut report).map_err(|error| error.to_string())
            }
            false => Err("no such directory".to_owned()),
        };
        report.problem = found.and_then(|()| check_class(index, name, &class)).err();
        report.class = Some(class);
    }
    report
}

/// Reads what a component of this class consists of, as loading it would.
fn examine<B: DiffusionBackend>(
    directory: &Path,
    class: &str,
    report: &mut ComponentReport,
) -> Result<(), Error> {
    let is = |classes: &[&str]| classes.contains(&class);
    if class.ends_with("Scheduler") {
        return loading::scheduler(directory).map(drop);
    }
    if is(&loading::TOKENIZERS) {
        return Ok(ClipTokenizer::from_dir(directory).map(drop)?);
    }
    if ["Tokenizer", "TokenizerFast", "Extractor", "Processor"]
        .iter()
        .any(|end| class.ends_with(end))
    {
        return Ok(());
    }
    count(directory, report)?;
    if is(&loading::TEXT_ENCODERS) {
        return ClipEncoder::<B>::check(directory);
    }
    if is(&loading::UNETS) {
        return UNetDenoiser::<B>::check(directory);
    }
    if is(&loading::VAES) {
        return VaeCodec::<B>::check(directory);
    }
    Ok(())
}

fn count(directory: &Path, report: &mut ComponentReport) -> Result<(), Error> {
    let found = find_weights(directory, None)?;
    let source = found.files.open()?;
    report.variant = found.variant;
    for name in source.names() {
        let Some(info) = source.info(&name) else { continue };
        let elements = info.shape.iter().map(|size| *size as u64).product::<u64>();
        report.parameters += elements;
        report.bytes += elements * info.dtype.bitsize() as u64 / 8;
        *report.dtypes.entry(format!("{:?}", info.dtype)).or_default() += elements;
    }
    Ok(())
}

impl ModelReport {
    /// The report as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl fmt::Display for ModelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = if self.supported { "" } else { " (not supported)" };
        writeln!(f, "{}{note}, {} parameters", self.class, count_text(self.parameters))?;
        for component in &self.components {
            writeln!(f, "  {component}")?;
        }
        match self.missing.as_slice() {
            [] => write!(f, "nothing is missing"),
            missing => write!(f, "missing: {}", missing.join(", ")),
        }
    }
}

impl fmt::Display for ComponentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class.as_deref().unwrap_or("none");
        write!(f, "{:<18} {class}", self.name)?;
        if self.parameters > 0 {
            let dtypes: Vec<&str> = self.dtypes.keys().map(String::as_str).collect();
            let mebibytes = self.bytes as f64 / f64::from(1 << 20);
            let parameters = count_text(self.parameters);
            write!(f, ", {parameters} parameters, {}, {mebibytes:.1} MiB", dtypes.join(" + "))?;
        }
        if let Some(variant) = &self.variant {
            write!(f, ", variant {variant}")?;
        }
        match &self.problem {
            Some(problem) => write!(f, ", problem: {problem}"),
            None => Ok(()),
        }
    }
}

pub(crate) fn count_text(count: u64) -> String {
    match count {
        1_000_000_000.. => format!("{:.2} G", count as f64 / 1e9),
        1_000_000.. => format!("{:.1} M", count as f64 / 1e6),
        _ => count.to_string(),
    }
}
