//! Token ids, checked on the host so that no model waits for its device.

use super::{ClipTextConfig, ClipTextError};

/// The EOS id that shipped configurations have, although no tokenizer does.
const LEGACY_EOS: u32 = 2;

/// Which token of a prompt the pooled output is taken from.
///
/// Prefer [`Id`](Self::Id) with the tokenizer's own EOS: it is right with tokens that were added behind the vocabulary
/// (textual inversion) as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EosToken {
    /// What transformers does: the configuration's id, but [`HighestId`](Self::HighestId) when that is missing or 2, the
    /// wrong value that all Stable Diffusion models ship with.
    #[default]
    FromConfig,
    /// The first token with this id.
    Id(u32),
    /// The first token of the highest id, which in CLIP's vocabulary is EOS.
    HighestId,
}

impl EosToken {
    /// The index of the token in a prompt.
    fn place(self, config: &ClipTextConfig, ids: &[u32]) -> Result<usize, u32> {
        let id = match (self, config.eos_token_id) {
            (Self::Id(id), _) => Some(id),
            (Self::HighestId, _) | (Self::FromConfig, None | Some(LEGACY_EOS)) => None,
            (Self::FromConfig, id) => id,
        };
        let wanted = id.or_else(|| ids.iter().max().copied()).unwrap_or(LEGACY_EOS);
        ids.iter().position(|&id| id == wanted).ok_or(wanted)
    }
}

/// Ids of one length whose embeddings exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckedIds {
    /// Prompt after prompt.
    pub(crate) ids: Vec<i32>,
    /// `[prompts, tokens]`.
    pub(crate) shape: [usize; 2],
    /// For each prompt, the index of its EOS among all tokens.
    pub(crate) eos: Vec<i32>,
}

impl CheckedIds {
    /// Checks everything that a model needs of its input.
    pub(crate) fn new<R: AsRef<[u32]>>(
        prompts: &[R],
        eos: EosToken,
        config: &ClipTextConfig,
        entries: usize,
    ) -> Result<Self, ClipTextError> {
        let tokens = prompts.first().map_or(0, |prompt| prompt.as_ref().len());
        let max = config.max_position_embeddings;
        if tokens == 0 {
            return Err(ClipTextError::Empty);
        }
        if tokens > max {
            return Err(ClipTextError::TooLong { max, found: tokens });
        }
        let shape = [prompts.len(), tokens];
        let mut checked = Self { ids: Vec::new(), shape, eos: Vec::new() };
        for (prompt, ids) in prompts.iter().enumerate() {
            let ids = ids.as_ref();
            if ids.len() != tokens {
                return Err(ClipTextError::Ragged { prompt, expected: tokens, found: ids.len() });
            }
            if let Some(place) = ids.iter().position(|&id| id as usize >= entries) {
                return Err(ClipTextError::UnknownId { prompt, place, id: ids[place], entries });
            }
            let place =
                eos.place(config, ids).map_err(|eos| ClipTextError::NoEos { prompt, eos })?;
            checked.eos.push((prompt * tokens + place) as i32);
            checked.ids.extend(ids.iter().map(|&id| id as i32));
        }
        Ok(checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(eos: EosToken, prompts: &[&[u32]]) -> Result<CheckedIds, ClipTextError> {
        let config = ClipTextConfig {
            max_position_embeddings: 4,
            eos_token_id: Some(LEGACY_EOS),
            ..Default::default()
        };
        CheckedIds::new(prompts, eos, &config, 10)
    }

    #[test]
    fn eos_is_the_first_of_its_kind() {
        let prompts: [&[u32]; 2] = [&[1, 8, 8, 0], &[1, 5, 9, 8]];
        assert_eq!(check(EosToken::Id(8), &prompts).unwrap().eos, [1, 7]);
        assert_eq!(check(EosToken::HighestId, &prompts).unwrap().eos, [1, 6]);
        assert_eq!(check(EosToken::FromConfig, &prompts).unwrap().eos, [1, 6]);
        let config = ClipTextConfig { eos_token_id: Some(5), ..Default::default() };
        let checked = CheckedIds::new(&prompts[1..], EosToken::FromConfig, &config, 10).unwrap();
        assert_eq!(checked.eos, [1]);
        assert_eq!(checked.shape, [1, 4]);
        assert_eq!(checked.ids, [1, 5, 9, 8]);
    }

    #[test]
    fn what_cannot_be_embedded_is_told() {
        let error = |prompts: &[&[u32]]| check(EosToken::Id(8), prompts).unwrap_err();
        assert_eq!(error(&[]), ClipTextError::Empty);
        assert_eq!(error(&[&[]]), ClipTextError::Empty);
        assert_eq!(error(&[&[8; 5]]), ClipTextError::TooLong { max: 4, found: 5 });
        let ragged = ClipTextError::Ragged { prompt: 1, expected: 2, found: 1 };
        assert_eq!(error(&[&[1, 8], &[8]]), ragged);
        let unknown = ClipTextError::UnknownId { prompt: 1, place: 0, id: 10, entries: 10 };
        assert_eq!(error(&[&[1, 8], &[10, 8]]), unknown);
        let huge = ClipTextError::UnknownId { prompt: 0, place: 0, id: u32::MAX, entries: 10 };
        assert_eq!(error(&[&[u32::MAX]]), huge);
        assert_eq!(error(&[&[1, 7]]), ClipTextError::NoEos { prompt: 0, eos: 8 });
    }
}
