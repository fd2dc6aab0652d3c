//! Typed reading of single keys, with errors that name the key.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::{error::ConfigError, names::UnknownName};

/// The keys of one configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) class: &'a str,
    pub(crate) values: &'a Map<String, Value>,
}

/// How JSON names the type of a value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong_type(key: &str, expected: &'static str, value: &Value) -> ConfigError {
    let mut text = value.to_string();
    if text.chars().count() > 40 {
        text = text.chars().take(40).chain("…".chars()).collect();
    }
    let found = if value.is_null() { text } else { format!("{} {text}", type_name(value)) };
    ConfigError::WrongType { key: key.to_string(), expected, found }
}

/// A JSON number, or one of the three that JSON lacks and Python writes (see `config::bare_constants`).
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            "NaN" => Some(f64::NAN),
            _ => None,
        },
        _ => None,
    }
}

impl Fields<'_> {
    fn read<T>(
        &self,
        key: &str,
        expected: &'static str,
        default: T,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, ConfigError> {
        match self.values.get(key) {
            None => Ok(default),
            Some(value) => convert(value).ok_or_else(|| wrong_type(key, expected, value)),
        }
    }

    pub(crate) fn number(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        self.read(key, "a number", default, number)
    }

    /// A finite number of at least `least`.
    pub(crate) fn number_from(
        &self,
        key: &str,
        default: f64,
        least: f64,
    ) -> Result<f64, ConfigError> {
        let value = self.number(key, default)?;
        if value.is_finite() && value >= least {
            return Ok(value);
        }
        Err(out_of_range(key, format!("a finite number of at least {least}"), value))
    }

    pub(crate) fn optional_number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.read(key, "a number or null", None, |value| match value {
            Value::Null => Some(None),
            value => number(value).map(Some),
        })
    }

    /// A finite number above `bound`, or none.
    pub(crate) fn optional_number_above(
        &self,
        key: &str,
        bound: f64,
    ) -> Result<Option<f64>, ConfigError> {
        let value = self.optional_number(key)?;
        match value.filter(|value| !(value.is_finite() && *value > bound)) {
            Some(value) => Err(out_of_range(key, format!("a finite number above {bound}"), value)),
            None => Ok(value),
        }
    }

    /// A whole number; `1.0` is one too, as it is in Python.
    pub(crate) fn count(
        &self,
        key: &str,
        default: usize,
        least: usize,
        most: usize,
    ) -> Result<usize, ConfigError> {
        let value = self.read(key, "a whole number", default as f64, |value| {
            number(value).filter(|number| number.fract() == 0.0)
        })?;
        if value >= least as f64 && value <= most as f64 {
            return Ok(value as usize);
        }
        Err(out_of_range(key, format!("a whole number from {least} to {most}"), value))
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        self.read(key, "a boolean", default, Value::as_bool)
    }

    /// A switch that is off by default and that diffusers writes as null, too.
    pub(crate) fn switch(&self, key: &str) -> Result<bool, ConfigError> {
        self.read(key, "a boolean or null", false, |value| {
            if value.is_null() { Some(false) } else { value.as_bool() }
        })
    }

    pub(crate) fn optional_numbers(&self, key: &str) -> Result<Option<Vec<f64>>, ConfigError> {
        self.read(key, "an array of numbers or null", None, |value| match value {
            Value::Null => Some(None),
            Value::Array(items) => items.iter().map(number).collect::<Option<Vec<_>>>().map(Some),
            _ => None,
        })
    }

    pub(crate) fn text(&self, key: &str, default: &str) -> Result<String, ConfigError> {
        self.read(key, "a string", default.to_string(), |value| value.as_str().map(str::to_string))
    }

    pub(crate) fn name<T: FromStr<Err = UnknownName>>(
        &self,
        key: &str,
        default: T,
    ) -> Result<T, ConfigError> {
        match self.values.get(key) {
            Some(Value::Null) => Err(wrong_type(key, "a string", &Value::Null)),
            _ => Ok(self.optional_name(key)?.unwrap_or(default)),
        }
    }

    pub(crate) fn optional_name<T: FromStr<Err = UnknownName>>(
        &self,
        key: &str,
    ) -> Result<Option<T>, ConfigError> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => text
                .parse()
                .map(Some)
                .map_err(|source| ConfigError::UnknownValue { key: key.to_string(), source }),
            Some(value) => Err(wrong_type(key, "a string or null", value)),
        }
    }

    pub(crate) fn unsupported(&self, key: &str, value: impl ToString) -> ConfigError {
        ConfigError::Unsupported {
            class: self.class.to_string(),
            key: key.to_string(),
            value: value.to_string(),
        }
    }

    /// An error if the switch is on.
    pub(crate) fn refuse_switch(&self, key: &str) -> Result<(), ConfigError> {
        if self.switch(key)? { Err(self.unsupported(key, true)) } else { Ok(()) }
    }
}

pub(crate) fn out_of_range(key: &str, expected: String, found: impl ToString) -> ConfigError {
    ConfigError::OutOfRange { key: key.to_string(), expected, found: found.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with<T>(value: Value, read: impl Fn(Fields<'_>) -> T) -> T {
        let values = [("key".to_string(), value)].into_iter().collect();
        read(Fields { class: "Test", values: &values })
    }

    #[test]
    fn wrong_types_name_key_expected_and_found() {
        let error = with(json!("abc"), |f| f.number("key", 0.0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "scheduler config key `key`: expected a number, found a string \"abc\""
        );
        let error = with(json!(null), |f| f.flag("key", true)).unwrap_err();
        assert_eq!(error.to_string(), "scheduler config key `key`: expected a boolean, found null");
        assert!(with(json!([1, "x"]), |f| f.optional_numbers("key")).is_err());
        assert!(with(json!(7), |f| f.text("key", "")).is_err());
    }

    #[test]
    fn absent_null_and_special_values() {
        assert_eq!(with(json!(1), |f| f.number("other", 2.5)), Ok(2.5));
        assert_eq!(with(json!(null), |f| f.switch("key")), Ok(false));
        assert_eq!(with(json!(null), |f| f.optional_numbers("key")), Ok(None));
        assert_eq!(with(json!("-Infinity"), |f| f.number("key", 0.0)), Ok(f64::NEG_INFINITY));
        assert!(with(json!("-Infinity"), |f| f.number_from("key", 0.0, 0.0)).is_err());
        assert_eq!(with(json!(3.0), |f| f.count("key", 0, 1, 10)), Ok(3));
        assert!(with(json!(3.5), |f| f.count("key", 0, 1, 10)).is_err());
        assert!(with(json!(-1), |f| f.count("key", 0, 0, 10)).is_err());
    }
}
