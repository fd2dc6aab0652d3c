//! The border of the model: checks, casts, features of scalars, and the way from `[b, c, h, w]` to `[b, h, w, c]`.

use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use sd_kernels::{DiffusionBackend, layout::to_channels_last};

use crate::{
    conditioning::ClassEmbedding,
    plan::{AddedInput, ClassInput, Signature},
    signals::Signals,
};

use super::{
    ClassLabels, Residuals, TextTime, UNetInput, UNetInputError,
    check::{finite, for_batch, one_each, shaped},
};

/// Where tensors go, and for how many samples.
struct Border<'a, B: Backend> {
    signature: &'a Signature,
    batch: usize,
    dtype: DType,
    device: B::Device,
}

/// Checks an input against a signature and brings it into the form and dtype of the captured part.
pub(crate) fn prepare<B: DiffusionBackend>(
    signature: &Signature,
    class_embedding: Option<&ClassEmbedding<B>>,
    dtype: DType,
    input: UNetInput<B>,
) -> Result<Signals<B>, UNetInputError> {
    let batch = input.sample.dims()[0];
    let border = Border { signature, batch, dtype, device: input.sample.device() };
    let skips = border.check_sample(&input.sample)?;
    let timesteps = for_batch("timesteps", input.timesteps, batch)?;
    finite("timesteps", &timesteps)?;
    border.check_context(&input.context)?;
    let keys = input.context.dims()[1];
    let sample = input.sample.cast(dtype);
    let sample = if signature.center { sample * 2.0 - 1.0 } else { sample };
    let residuals = border.residuals(input.residuals, &skips)?;
    Ok(Signals {
        sample: to_channels_last(sample),
        features: signature.features.tensor(&timesteps, dtype, &border.device),
        context: input.context.cast(dtype),
        mask: input.context_mask.map(|mask| border.mask(mask, keys)).transpose()?,
        class: border.class(input.class_labels, class_embedding)?,
        added: border.added(input.added)?,
        guidance: border.guidance(input.guidance_condition)?,
        down_residuals: residuals.down,
        mid_residual: residuals.mid,
    })
}

/// `[b, c, h, w]` to `[b, h, w, c]`, in memory too: otherwise the copy that a sum demands would be made in the captured part. A residual that was
/// permuted from `[b, h, w, c]`, as a model of this crate makes it, is not copied.
fn dense_channels_last<B: Backend>(image: Tensor<B, 4>) -> Tensor<B, 4> {
    let image = to_channels_last(image);
    let shape @ [batch, height, width, channels] = image.dims();
    image.reshape([batch, height * width * channels]).reshape(shape)
}

impl<B: DiffusionBackend> Border<'_, B> {
    /// The shapes of the skips, `[channels, height, width]` each.
    fn check_sample(&self, sample: &Tensor<B, 4>) -> Result<Vec<[usize; 3]>, UNetInputError> {
        let dims @ [batch, channels, height, width] = sample.dims();
        let wrong = |expected| {
            Err(UNetInputError::WrongShape {
                input: "sample".into(),
                expected,
                found: dims.to_vec(),
            })
        };
        if channels != self.signature.in_channels || batch == 0 || height == 0 || width == 0 {
            return wrong(format!("[batch, {}, height, width]", self.signature.in_channels));
        }
        match self.signature.skip_shapes([height, width]) {
            Some(skips) => Ok(skips),
            None => wrong("a height and width that can be halved on every level".into()),
        }
    }

    fn check_context(&self, context: &Tensor<B, 3>) -> Result<(), UNetInputError> {
        let dims @ [batch, keys, width] = context.dims();
        let expected = self.signature.context_width.unwrap_or(width);
        if batch == self.batch && keys > 0 && width == expected {
            return Ok(());
        }
        Err(UNetInputError::WrongShape {
            input: "context".into(),
            expected: format!("[{}, keys, {expected}]", self.batch),
            found: dims.to_vec(),
        })
    }

    /// Scores of keys with a 0 are lowered by 10000, as in diffusers.
    fn mask(&self, mask: Tensor<B, 2>, keys: usize) -> Result<Tensor<B, 4>, UNetInputError> {
        shaped("context_mask", &mask, [self.batch, keys])?;
        let bias = mask.cast(self.dtype).sub_scalar(1.0).mul_scalar(10_000.0);
        Ok(bias.reshape([self.batch, 1, 1, keys]))
    }

    fn class(
        &self,
        labels: Option<ClassLabels<B>>,
        embedding: Option<&ClassEmbedding<B>>,
    ) -> Result<Option<Tensor<B, 2>>, UNetInputError> {
        let (input, key) = ("class_labels", "class_embed_type` or `num_class_embeds");
        let (expected, labels) = match (self.signature.class, labels) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(UNetInputError::Unexpected { input, key }),
            (Some(_), None) => return Err(UNetInputError::Missing { input, key }),
            (Some(expected), Some(labels)) => (expected, labels),
        };
        match (expected, labels) {
            (ClassInput::Index { entries }, ClassLabels::Indices(indices)) => {
                one_each(input, &indices, self.batch)?;
                if let Some(&label) = indices.iter().find(|label| **label >= entries) {
                    return Err(UNetInputError::UnknownClass { label, entries });
                }
                Ok(self.look_up(&indices, embedding))
            }
            (ClassInput::Scalar, ClassLabels::Scalars(scalars)) => {
                one_each(input, &scalars, self.batch)?;
                finite(input, &scalars)?;
                Ok(Some(self.signature.features.tensor(&scalars, self.dtype, &self.device)))
            }
            (ClassInput::Vector { width }, ClassLabels::Vectors(vectors)) => {
                shaped(input, &vectors, [self.batch, width])?;
                Ok(Some(vectors.cast(self.dtype)))
            }
            (expected, found) => Err(UNetInputError::WrongLabels {
                expected: match expected {
                    ClassInput::Index { .. } => "indices",
                    ClassInput::Scalar => "scalars",
                    ClassInput::Vector { .. } => "vectors",
                },
                found: match found {
                    ClassLabels::Indices(_) => "indices",
                    ClassLabels::Scalars(_) => "scalars",
                    ClassLabels::Vectors(_) => "vectors",
                },
            }),
        }
    }

    /// The table's entries, `[batch, time]`.
    fn look_up(
        &self,
        indices: &[usize],
        embedding: Option<&ClassEmbedding<B>>,
    ) -> Option<Tensor<B, 2>> {
        let Some(ClassEmbedding::Table(table)) = embedding else { return None };
        let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
        let indices = TensorData::new(indices, [self.batch, 1]);
        let rows = table.forward(Tensor::<B, 2, Int>::from_data(indices, &self.device));
        let width = rows.dims()[2];
        Some(rows.reshape([self.batch, width]).cast(self.dtype))
    }

    fn added(&self, added: Option<TextTime<B>>) -> Result<Option<Tensor<B, 2>>, UNetInputError> {
        let (input, key) = ("added", "addition_embed_type");
        match (self.signature.added, added) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(UNetInputError::Unexpected { input, key }),
            (Some(_), None) => Err(UNetInputError::Missing { input, key }),
            (Some(expected), Some(added)) => self.text_time(expected, added).map(Some),
        }
    }

    /// Pooled text, then the features of each scalar.
    fn text_time(
        &self,
        expected: AddedInput,
        added: TextTime<B>,
    ) -> Result<Tensor<B, 2>, UNetInputError> {
        let rows = for_batch("added.time_ids", added.time_ids, self.batch)?;
        let scalars = rows.concat();
        finite("added.time_ids", &scalars)?;
        let count = scalars.len() / self.batch;
        let text_width = (count.checked_mul(expected.features.width))
            .and_then(|features| expected.width.checked_sub(features))
            .filter(|_| rows.iter().all(|row| row.len() == count));
        let Some(text_width) = text_width else {
            let width = expected.features.width;
            return Err(UNetInputError::WrongCount {
                input: "added.time_ids".into(),
                expected: format!(
                    "the same number for each sample, {width} features each, {} with the text's",
                    expected.width
                ),
                found: rows.iter().map(Vec::len).max().unwrap_or(0),
            });
        };
        shaped("added.text_embeds", &added.text_embeds, [self.batch, text_width])?;
        let text = added.text_embeds.cast(self.dtype);
        if count == 0 {
            return Ok(text);
        }
        let features = expected.features.tensor::<B>(&scalars, self.dtype, &self.device);
        let features = features.reshape([self.batch, count * expected.features.width]);
        Ok(Tensor::cat(vec![text, features], 1))
    }

    fn guidance(
        &self,
        condition: Option<Tensor<B, 2>>,
    ) -> Result<Option<Tensor<B, 2>>, UNetInputError> {
        let input = "guidance_condition";
        match (self.signature.guidance, condition) {
            (_, None) => Ok(None),
            (None, Some(_)) => Err(UNetInputError::Unexpected { input, key: "time_cond_proj_dim" }),
            (Some(width), Some(condition)) => {
                shaped(input, &condition, [self.batch, width])?;
                Ok(Some(condition.cast(self.dtype)))
            }
        }
    }

    /// The residuals as `[b, h, w, c]`; none are an empty list.
    fn residuals(
        &self,
        residuals: Option<Residuals<B>>,
        skips: &[[usize; 3]],
    ) -> Result<Residuals<B>, UNetInputError> {
        let Some(residuals) = residuals else {
            return Ok(Residuals { down: Vec::new(), mid: None });
        };
        one_each("residuals.down", &residuals.down, skips.len())?;
        let place = |name: String, tensor: Tensor<B, 4>, [channels, height, width]: [usize; 3]| {
            shaped(name, &tensor, [self.batch, channels, height, width])?;
            Ok(dense_channels_last(tensor.cast(self.dtype)))
        };
        let down = residuals.down.into_iter().zip(skips).enumerate();
        let down = down
            .map(|(index, (tensor, shape))| {
                place(format!("residuals.down[{index}]"), tensor, *shape)
            })
            .collect::<Result<_, _>>()?;
        let last = skips[skips.len() - 1];
        let mid =
            residuals.mid.map(|tensor| place("residuals.mid".into(), tensor, last)).transpose()?;
        Ok(Residuals { down, mid })
    }
}
