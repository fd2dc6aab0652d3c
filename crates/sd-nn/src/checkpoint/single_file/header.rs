//! What a file's header says of the configurations of its components.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{super::CheckpointError, SingleFile};

/// Before a component's name: values of its configuration that names and shapes do not tell, as a JSON object.
const PREFIX: &str = "sd.config.";

/// Keys of configurations that say nothing of the model.
const ABOUT_THE_FILE: [&str; 5] =
    ["architectures", "dtype", "model_type", "torch_dtype", "transformers_version"];

/// What the header has noted down of a component.
pub(super) fn noted(
    origin: &str,
    metadata: &BTreeMap<String, String>,
    component: &str,
) -> Result<Map<String, Value>, CheckpointError> {
    let key = format!("{PREFIX}{component}");
    let Some(text) = metadata.get(&key) else { return Ok(Map::new()) };
    serde_json::from_str(text).map_err(|error| CheckpointError::InvalidNote {
        origin: origin.into(),
        key,
        message: error.to_string(),
    })
}

impl SingleFile {
    /// Notes down, for the header of the file, what of a component's configuration is not told by the file. Whoever opens it
    /// with that header, finds the configuration as it is.
    pub fn note_config(
        &self,
        component: &str,
        config: &Map<String, Value>,
        header: &mut BTreeMap<String, String>,
    ) {
        let Some(told) = self.component(component) else { return };
        let is_untold = |(key, value): &(&String, &Value)| {
            let about_the_file = key.starts_with('_') || ABOUT_THE_FILE.contains(&key.as_str());
            !about_the_file && told.config().get(key.as_str()) != Some(*value)
        };
        let untold: Map<String, Value> = config
            .iter()
            .filter(is_untold)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !untold.is_empty() {
            header.insert(format!("{PREFIX}{component}"), Value::Object(untold).to_string());
        }
    }
}
