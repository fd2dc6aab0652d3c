//! What the contents of a single file do not tell, or tell wrongly.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use super::ModelFamily;

/// What a U-Net predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Prediction {
    /// The noise.
    Noise,
    /// The velocity.
    Velocity,
}

impl Prediction {
    /// As configurations of schedulers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "epsilon",
            Self::Velocity => "v_prediction",
        }
    }
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a single file is understood, where its contents do not tell or tell wrongly.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SingleFileOptions {
    /// The family, in place of the one that is told from names and shapes.
    pub family: Option<ModelFamily>,
    /// What the U-Net predicts, in place of what is told or assumed.
    pub prediction: Option<Prediction>,
    /// Use the averaged weights of the U-Net, if the file has them.
    pub ema: bool,
    /// Values of configurations by component, which take the place of those that are told.
    pub configs: BTreeMap<String, Map<String, Value>>,
}

impl SingleFileOptions {
    /// Sets the family.
    pub fn family(mut self, family: ModelFamily) -> Self {
        self.family = Some(family);
        self
    }

    /// Sets what the U-Net predicts.
    pub fn prediction(mut self, prediction: Prediction) -> Self {
        self.prediction = Some(prediction);
        self
    }

    /// Chooses the averaged weights of the U-Net.
    pub fn ema(mut self, ema: bool) -> Self {
        self.ema = ema;
        self
    }

    /// Sets a value of a component's configuration.
    pub fn config(mut self, component: &str, key: &str, value: Value) -> Self {
        self.configs.entry(component.into()).or_default().insert(key.into(), value);
        self
    }
}
