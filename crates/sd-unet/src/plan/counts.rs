//! How many blocks each spatial transformer has.

use sd_nn::config::OneOrMany;

use crate::{UNetConfig, UNetConfigError};

use super::check::{MAX_LAYERS, counted, spread, within};

/// Transformer blocks of one level: for all of its transformers or for each, and where that stands.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    key: String,
    values: OneOrMany<usize>,
}

impl Counts {
    /// Of each level of the way down.
    pub(super) fn down(config: &UNetConfig, levels: usize) -> Result<Vec<Self>, UNetConfigError> {
        let key = "transformer_layers_per_block";
        Ok(Self::keyed(key, spread(key, &config.transformer_layers_per_block, levels)?))
    }

    /// Of each level of the way up, from the deepest: those of the way down reversed, unless they are given.
    pub(super) fn up(config: &UNetConfig, down: &[Self]) -> Result<Vec<Self>, UNetConfigError> {
        let key = "reverse_transformer_layers_per_block";
        if let Some(values) = &config.reverse_transformer_layers_per_block {
            counted(key, values, down.len())?;
            return Ok(Self::keyed(key, values.clone()));
        }
        if down.iter().any(|counts| matches!(counts.values, OneOrMany::Many(_))) {
            let needed_by = "a list of lists in `transformer_layers_per_block`".into();
            return Err(UNetConfigError::Missing { key, needed_by });
        }
        Ok(down.iter().rev().cloned().collect())
    }

    fn keyed(key: &str, values: Vec<OneOrMany<usize>>) -> Vec<Self> {
        let with_path = |(index, values)| Self { key: format!("{key}[{index}]"), values };
        values.into_iter().enumerate().map(with_path).collect()
    }

    /// One number for each of a level's transformers.
    pub(super) fn each(&self, transformers: usize) -> Result<Vec<usize>, UNetConfigError> {
        let counts = spread(self.key.clone(), &self.values, transformers)?;
        for count in &counts {
            within(self.key.clone(), *count, 0..=MAX_LAYERS)?;
        }
        Ok(counts)
    }

    /// The number of the middle's transformer: the first of a list.
    pub(super) fn first(&self) -> Result<usize, UNetConfigError> {
        let first = match &self.values {
            OneOrMany::One(count) => Some(*count),
            OneOrMany::Many(counts) => counts.first().copied(),
        };
        match first {
            Some(count) => within(self.key.clone(), count, 0..=MAX_LAYERS),
            None => {
                Err(UNetConfigError::WrongLength { key: self.key.clone(), expected: 1, found: 0 })
            }
        }
    }
}
