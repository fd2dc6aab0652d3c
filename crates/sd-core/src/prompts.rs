//! The prompts of a run.

use std::sync::Arc;

use burn::tensor::backend::Backend;

use crate::{
    Conditioning, Error, TextToImage,
    component::{PromptRole, TextEncoder, TextInput},
};

/// The prompts of a run, each encoded when a branch of the guidance first asks for it, and the last batch that was made of
/// them.
pub(crate) struct Prompts<B: Backend> {
    encoder: Arc<dyn TextEncoder<B>>,
    positive: Vec<String>,
    negative: Vec<String>,
    clip_skip: Option<usize>,
    images_per_prompt: usize,
    encoded: Vec<(PromptRole, Conditioning<B>)>,
    batched: Option<(Vec<PromptRole>, Conditioning<B>)>,
}

impl<B: Backend> Prompts<B> {
    pub(crate) fn new(encoder: Arc<dyn TextEncoder<B>>, request: &TextToImage) -> Self {
        let negative = match request.negative_prompts.as_slice() {
            [] => vec![String::new(); request.prompts.len()],
            [one] => vec![one.clone(); request.prompts.len()],
            several => several.to_vec(),
        };
        Self {
            encoder,
            positive: request.prompts.clone(),
            negative,
            clip_skip: request.clip_skip,
            images_per_prompt: request.images_per_prompt,
            encoded: Vec::new(),
            batched: None,
        }
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
        // As in diffusers, clip skip is for the prompts only.
        let (prompts, clip_skip) = match role {
            PromptRole::Positive => (&self.positive, self.clip_skip),
            PromptRole::Negative => (&self.negative, None),
        };
        let mut input = TextInput::new(prompts, role);
        input.clip_skip = clip_skip;
        let conditioning = self.encoder.encode(&input)?.repeat_each(self.images_per_prompt);
        self.encoded.push((role, conditioning.clone()));
        Ok(conditioning)
    }
}
