//! Two CLIP text encoders that read the same prompts.

use burn::tensor::Tensor;
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{ParameterError, ParameterMap, ParameterView, Parameters};

use super::ClipEncoder;
use crate::{
    Conditioning, Error, ModelError, PipelineParameterMap,
    component::{TextEncoder, TextInput},
};

/// The text encoders of SDXL: the token features of both side by side, the pooled vector of the second.
#[derive(Debug, Clone)]
pub struct ClipPair<B: DiffusionBackend> {
    first: ClipEncoder<B>,
    second: ClipEncoder<B>,
}

impl<B: DiffusionBackend> ClipPair<B> {
    /// Two encoders, the first of which gives the first features.
    ///
    /// # Errors
    /// When they read prompts of different lengths.
    pub fn new(first: ClipEncoder<B>, second: ClipEncoder<B>) -> Result<Self, Error> {
        let lengths = [&first, &second].map(|encoder| encoder.tokenizer().max_length());
        if lengths[0] != lengths[1] {
            let [first, second] = lengths;
            let message = format!("tokens that the two text encoders read: {first} and {second}");
            return Err(ModelError::Mismatch(message).into());
        }
        Ok(Self { first, second })
    }

    /// The first encoder.
    pub fn first(&self) -> &ClipEncoder<B> {
        &self.first
    }

    /// The second encoder.
    pub fn second(&self) -> &ClipEncoder<B> {
        &self.second
    }
}

impl<B: DiffusionBackend> TextEncoder<B> for ClipPair<B> {
    fn width(&self) -> Option<usize> {
        Some(self.first.width()? + self.second.width()?)
    }

    fn pooled_width(&self) -> Option<usize> {
        self.second.pooled_width()
    }

    fn prompts_per_picture(&self) -> usize {
        2
    }

    fn visit_components(&self, visit: &mut dyn FnMut(&str, ParameterView<'_, B>)) {
        self.first.visit_components(visit);
        self.second.visit_components(visit);
    }

    fn map_components(
        &mut self,
        map: &mut PipelineParameterMap<'_, B>,
    ) -> Result<(), ParameterError> {
        self.first.map_components(map)?;
        self.second.map_components(map)
    }

    fn encode(&self, input: &TextInput<'_>) -> Result<Conditioning<B>, Error> {
        let first = self.first.encode(input)?;
        let prompts = input.prompts_2.unwrap_or(input.prompts);
        let second = self.second.encode(&TextInput { prompts, ..input.clone() })?;
        let dtype = first.context.dtype();
        let context = Tensor::cat(vec![first.context, second.context.cast(dtype)], 2);
        Ok(Conditioning { context, ..second })
    }
}

/// Paths of the first encoder's parameters, then those of the second's. [`TextEncoder::visit_components`] tells them apart.
impl<B: DiffusionBackend> Parameters<B> for ClipPair<B> {
    fn visit_parameters(&self, visit: &mut dyn FnMut(ParameterView<'_, B>)) {
        self.first.visit_parameters(visit);
        self.second.visit_parameters(visit);
    }

    fn map_parameters(&mut self, map: &mut ParameterMap<'_, B>) -> Result<(), ParameterError> {
        self.first.map_parameters(map)?;
        self.second.map_parameters(map)
    }
}
