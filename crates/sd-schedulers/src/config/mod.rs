//! `scheduler_config.json`.

mod fields;
mod training;

use serde_json::{Map, Value};

pub(crate) use fields::{Fields, out_of_range};
pub use training::TrainingConfig;

use crate::{Scheduler, error::ConfigError, kind};

/// What one `scheduler_config.json` says: a class name and the keys that were given explicitly.
///
/// A key that is absent has the default of the class that reads it, so that the same keys can be read by another class
/// ([`SchedulerKind::with_config_of`](crate::SchedulerKind::with_config_of)). Keys that no class knows are kept and
/// written back.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct SchedulerConfig {
    class_name: String,
    values: Map<String, Value>,
}

impl SchedulerConfig {
    /// A configuration in which every key has the default of its class.
    pub fn new(class_name: impl Into<String>) -> Self {
        Self { class_name: class_name.into(), values: Map::new() }
    }

    /// Reads the text of a `scheduler_config.json`. Values are checked when a scheduler is [built](Self::build).
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let json = replace_bare_constants(text);
        let value: Value =
            serde_json::from_str(&json).map_err(|error| ConfigError::Json(error.to_string()))?;
        match value {
            Value::Object(values) => values.try_into(),
            other => Err(ConfigError::NotAnObject { found: fields::type_name(&other) }),
        }
    }

    /// The text of a `scheduler_config.json` that [`from_json`](Self::from_json) and diffusers read.
    pub fn to_json(&self) -> String {
        let text = format!("{:#}\n", Value::Object(self.clone().into()));
        // As Python writes them; JSON itself has no such numbers, and as strings they would not be numbers to diffusers.
        ["-Infinity", "Infinity", "NaN"].iter().fold(text, |text, constant| {
            text.replace(&format!(": \"{constant}\""), &format!(": {constant}"))
        })
    }

    /// The scheduler class, `DDIMScheduler` for instance.
    pub fn class_name(&self) -> &str {
        &self.class_name
    }

    /// The value that was given for a key, if one was.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The same with one key set.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.insert(key.into(), value.into());
        self
    }

    /// The same with one key back at its class default.
    pub fn without(mut self, key: &str) -> Self {
        self.values.remove(key);
        self
    }

    /// The same keys for another class.
    pub fn for_class(mut self, class_name: impl Into<String>) -> Self {
        self.class_name = class_name.into();
        self
    }

    /// The keys that describe how the model was trained.
    pub fn training(&self) -> Result<TrainingConfig, ConfigError> {
        TrainingConfig::read(self.fields())
    }

    /// The scheduler of this configuration's class.
    ///
    /// # Errors
    /// If the class is none of this crate, or a value has the wrong type, no meaning or no support.
    pub fn build(self) -> Result<Box<dyn Scheduler>, ConfigError> {
        kind::build(self)
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields { class: &self.class_name, values: &self.values }
    }
}

impl TryFrom<Map<String, Value>> for SchedulerConfig {
    type Error = ConfigError;

    fn try_from(mut values: Map<String, Value>) -> Result<Self, ConfigError> {
        let class_name = match values.remove("_class_name") {
            Some(Value::String(name)) => name,
            None => return Err(ConfigError::MissingKey { key: "_class_name" }),
            Some(other) => {
                return Err(ConfigError::WrongType {
                    key: "_class_name".to_string(),
                    expected: "a string",
                    found: fields::type_name(&other).to_string(),
                });
            }
        };
        // diffusers may list keys whose values are only the defaults of the class that wrote them.
        if let Some(Value::Array(defaults)) = values.remove("_use_default_values") {
            for key in defaults.iter().filter_map(Value::as_str) {
                values.remove(key);
            }
        }
        Ok(Self { class_name, values })
    }
}

impl From<SchedulerConfig> for Map<String, Value> {
    fn from(config: SchedulerConfig) -> Self {
        let mut values = config.values;
        values.insert("_class_name".to_string(), Value::String(config.class_name));
        values
    }
}

/// Quotes the bare `NaN`, `Infinity` and `-Infinity` that Python's `json` writes (`"lambda_min_clipped": -Infinity` in
/// every configuration of DPM-Solver) and JSON does not have.
fn replace_bare_constants(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let (mut in_string, mut escaped) = (false, false);
    while let Some(character) = rest.chars().next() {
        let constant = ["-Infinity", "Infinity", "NaN"]
            .into_iter()
            .find(|name| !in_string && rest.starts_with(name));
        if let Some(constant) = constant {
            result.extend(["\"", constant, "\""]);
            rest = &rest[constant.len()..];
            continue;
        }
        if character == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && character == '\\' && !escaped;
        result.push(character);
        rest = &rest[character.len_utf8()..];
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const SD15: &str = r#"{
        "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false, "skip_prk_steps": true,
        "steps_offset": 1, "trained_betas": null, "clip_sample": false, "a key of tomorrow": [1, {"x": "NaN"}]
    }"#;

    #[test]
    fn reads_and_writes_back_every_key() {
        let config = SchedulerConfig::from_json(SD15).unwrap();
        assert_eq!(config.class_name(), "PNDMScheduler");
        assert_eq!(config.get("steps_offset"), Some(&Value::from(1)));
        assert_eq!(config.get("a key of tomorrow").unwrap()[1]["x"], "NaN");
        assert_eq!(SchedulerConfig::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn python_constants_are_read_and_written() {
        let text = r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "note": "\"Infinity"}"#;
        let config = SchedulerConfig::from_json(text).unwrap();
        assert_eq!(config.get("lambda_min_clipped"), Some(&Value::from("-Infinity")));
        assert_eq!(config.get("note"), Some(&Value::from("\"Infinity")));
        assert!(config.to_json().contains("\"lambda_min_clipped\": -Infinity"));
        assert_eq!(SchedulerConfig::from_json(&config.to_json()).unwrap(), config);
        config.build().unwrap();
    }

    #[test]
    fn keys_marked_as_defaults_are_not_explicit() {
        let text = r#"{"_class_name": "DDIMScheduler", "_use_default_values": ["clip_sample"], "clip_sample": true, "steps_offset": 1}"#;
        let config = SchedulerConfig::from_json(text).unwrap();
        assert_eq!(config.get("clip_sample"), None);
        assert_eq!(config.get("steps_offset"), Some(&Value::from(1)));
    }

    #[test]
    fn malformed_files_are_errors() {
        let error = |text: &str| SchedulerConfig::from_json(text).unwrap_err();
        assert!(matches!(error("{"), ConfigError::Json(_)));
        assert!(matches!(error("<html>"), ConfigError::Json(_)));
        assert_eq!(error("[1]"), ConfigError::NotAnObject { found: "an array" });
        assert_eq!(error("{}"), ConfigError::MissingKey { key: "_class_name" });
        assert!(matches!(error(r#"{"_class_name": 3}"#), ConfigError::WrongType { .. }));
    }
}
