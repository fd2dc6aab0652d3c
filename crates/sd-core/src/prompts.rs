//! The prompts of a run.

use std::sync::Arc;

use burn::tensor::backend::Backend;
use sd_kernels::DiffusionBackend;

use crate::{
    Conditioning, Error, RequestError, TextToImage,
    component::{PromptRole, TextEncoder, TextInput},
    pipeline::Parts,
    request::TimeIds,
};

/// The prompts of one role.
struct Texts {
    prompts: Vec<String>,
    prompts_2: Option<Vec<String>>,
}

/// The prompts of a run, each encoded when a branch of the guidance first asks for it, and the last batch that was made of
/// them.
pub(crate) struct Prompts<B: Backend> {
    encoder: Arc<dyn TextEncoder<B>>,
    positive: Texts,
    /// `None` for zeros.
    negative: Option<Texts>,
    clip_skip: Option<usize>,
    images_per_prompt: usize,
    time_ids: Option<TimeIds>,
    encoded: Vec<(PromptRole, Conditioning<B>)>,
    batched: Option<(Vec<PromptRole>, Conditioning<B>)>,
}

impl<B: DiffusionBackend> Prompts<B> {
    /// The prompts of a request, with numbers about the picture.
    ///
    /// # Errors
    /// When the request has prompts for a second encoder, and the model has none.
    pub(crate) fn new(
        parts: &Parts<B>,
        request: &TextToImage,
        time_ids: Option<TimeIds>,
    ) -> Result<Self, RequestError> {
        if parts.text_encoder.prompts_per_picture() < 2 {
            let reason = "it has one text encoder";
            for (name, prompts) in [
                ("prompt_2", &request.prompts_2),
                ("negative_prompt_2", &request.negative_prompts_2),
            ] {
                if !prompts.is_empty() {
                    return Err(RequestError::NotForModel { name, reason });
                }
            }
        }
        let count = request.prompts.len();
        let zeros = parts.config.force_zeros_for_empty_prompt
            && request.negative_prompts.is_empty()
            && request.negative_prompts_2.is_empty();
        let negative = || Texts {
            prompts: for_each(&request.negative_prompts, count)
                .unwrap_or_else(|| vec![String::new(); count]),
            prompts_2: for_each(&request.negative_prompts_2, count),
        };
        Ok(Self {
            encoder: parts.text_encoder.clone(),
            positive: Texts {
                prompts: request.prompts.clone(),
                prompts_2: for_each(&request.prompts_2, count),
            },
            negative: (!zeros).then(negative),
            clip_skip: request.clip_skip,
            images_per_prompt: request.images_per_prompt,
            time_ids,
            encoded: Vec::new(),
            batched: None,
        })
    }

    /// The conditionings of some branches, one after the other.
    pub(crate) fn batched(&mut self, branches: &[PromptRole]) -> Result<Conditioning<B>, Error> {
        if let Some((last, conditioning)) = &self.batched
            && last == branches
        {
            return Ok(conditioning.clone());
        }
        if branches.is_empty() {
            return Err(Error::component("guidance", "no branches, expected at least one"));
        }
        let parts: Result<_, Error> = branches.iter().map(|role| self.of(*role)).collect();
        let conditioning = Conditioning::cat(parts?);
        self.batched = Some((branches.to_vec(), conditioning.clone()));
        Ok(conditioning)
    }

    fn of(&mut self, role: PromptRole) -> Result<Conditioning<B>, Error> {
        if let Some((_, conditioning)) = self.encoded.iter().find(|(known, _)| *known == role) {
            return Ok(conditioning.clone());
        }
        let conditioning = match (role, &self.negative) {
            (PromptRole::Positive, _) => self.encode(&self.positive, role)?,
            (PromptRole::Negative, Some(texts)) => self.encode(texts, role)?,
            (PromptRole::Negative, None) => self.of(PromptRole::Positive)?.zeros_like(),
        };
        let time_ids = self.time_ids.as_ref().map(|ids| match role {
            PromptRole::Positive => ids.positive.clone(),
            PromptRole::Negative => ids.negative.clone(),
        });
        let conditioning = match time_ids {
            Some(time_ids) => conditioning.with_time_ids(time_ids),
            None => conditioning,
        };
        self.encoded.push((role, conditioning.clone()));
        Ok(conditioning)
    }

    /// One row for each picture.
    fn encode(&self, texts: &Texts, role: PromptRole) -> Result<Conditioning<B>, Error> {
        let mut input = TextInput::new(&texts.prompts, role);
        input.prompts_2 = texts.prompts_2.as_deref();
        // As in diffusers, clip skip is for the prompts only.
        input.clip_skip = self.clip_skip.filter(|_| role == PromptRole::Positive);
        Ok(self.encoder.encode(&input)?.repeat_each(self.images_per_prompt))
    }
}

/// As many prompts as asked for, of none, one or as many.
fn for_each(prompts: &[String], count: usize) -> Option<Vec<String>> {
    match prompts {
        [] => None,
        [one] => Some(vec![one.clone(); count]),
        several => Some(several.to_vec()),
    }
}
