//! The model.

use burn::{
    module::Module,
    tensor::{DType, Tensor, backend::Backend},
};
use sd_kernels::{
    Activation, AttentionMask, CaptureKey, DiffusionBackend, Epilogue, layout::to_channels_first,
    ops,
};
use sd_nn::{Conv2d, GroupNorm, ModelId, TimestepEmbedding};

use crate::{
    UNetConfig, UNetInput, UNetInputError,
    blocks::{Conditioning, DownBlock, MidBlock, UpBlock},
    conditioning::ClassEmbedding,
    input::prepare,
    plan::{Plan, Signature},
    signals::{Signals, describe, lower, next},
};

/// The U-Net of Stable Diffusion 1.x, 2.x and XL (diffusers' `UNet2DConditionModel`), made by [`UNetConfig::init`].
///
/// The path of each parameter is its key in diffusers' files.
#[derive(Module, Debug)]
pub struct UNet2DConditionModel<B: Backend> {
    conv_in: Conv2d<B>,
    time_embedding: TimestepEmbedding<B>,
    class_embedding: Option<ClassEmbedding<B>>,
    add_embedding: Option<TimestepEmbedding<B>>,
    down_blocks: Vec<DownBlock<B>>,
    mid_block: Option<MidBlock<B>>,
    up_blocks: Vec<UpBlock<B>>,
    conv_norm_out: GroupNorm<B>,
    conv_out: Conv2d<B>,
    id: ModelId<B>,
    config: UNetConfig,
    signature: Signature,
}

sd_nn::impl_parameters!(UNet2DConditionModel);

impl<B: DiffusionBackend> UNet2DConditionModel<B> {
    pub(crate) fn from_plan(config: UNetConfig, plan: Plan, device: &B::Device) -> Self {
        Self {
            conv_in: plan.conv_in.init(device),
            time_embedding: plan.time_embedding.init(device),
            class_embedding: plan.class_embedding.map(|config| config.init(device)),
            add_embedding: plan.add_embedding.map(|config| config.init(device)),
            down_blocks: plan.down_blocks.iter().map(|config| config.init(device)).collect(),
            mid_block: plan.mid_block.map(|config| config.init(device)),
            up_blocks: plan.up_blocks.iter().map(|config| config.init(device)).collect(),
            conv_norm_out: plan.conv_norm_out.init(device),
            conv_out: plan.conv_out.init(device),
            id: ModelId::new(),
            config,
            signature: plan.signature,
        }
    }

    /// The configuration that the model was made of.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Tells the model that a weight was changed by reference rather than through [`Module::map`], so that nothing
    /// recorded before is replayed ([`DiffusionBackend::capture`]).
    pub fn weights_changed(&mut self) {
        self.id.renew();
    }

    /// Element type of the weights, in which the model computes.
    pub fn dtype(&self) -> DType {
        self.conv_in.weight.get().dtype()
    }

    /// Predicts what the model was trained to predict: noise, velocity or the clean sample.
    ///
    /// # Shapes
    /// - input: see [`UNetInput`]
    /// - output: `[batch, out_channels, height, width]`, in the model's dtype
    ///
    /// # Errors
    /// [`UNetInputError`]: an input does not fit the model or the others.
    pub fn forward(&self, input: UNetInput<B>) -> Result<Tensor<B, 4>, UNetInputError> {
        let dtype = self.dtype();
        let signals = prepare(&self.signature, self.class_embedding.as_ref(), dtype, input)?;
        let (presence, inputs) = signals.into_list();
        let key = CaptureKey {
            model: self.id.get(),
            inputs: describe::<B>(&inputs),
            variant: presence.variant(),
        };
        let outputs = B::capture(&key, inputs, |inputs| {
            vec![lower(self.denoise(Signals::from_list(presence, inputs)))]
        });
        let output: Tensor<B, 4> = next(&mut outputs.into_iter());
        Ok(to_channels_first(output))
    }

    /// The captured part: nothing is launched here but through the operations of [`DiffusionBackend`].
    ///
    /// # Shapes
    /// - signals: see [`Signals`]
    /// - output: `[batch, height, width, out]`
    fn denoise(&self, mut signals: Signals<B>) -> Tensor<B, 4> {
        let conditioning = self.conditioning(&mut signals);
        let mut image = self.conv_in.forward(signals.sample);
        let mut skips = vec![image.clone()];
        for block in &self.down_blocks {
            image = block.forward(image, &conditioning, &mut skips);
        }
        for (skip, residual) in skips.iter_mut().zip(signals.down_residuals) {
            *skip = ops::linear_combination([(1.0, skip.clone()), (1.0, residual)]);
        }
        if let Some(block) = &self.mid_block {
            image = block.forward(image, &conditioning);
        }
        if let Some(residual) = signals.mid_residual {
            image = ops::linear_combination([(1.0, image), (1.0, residual)]);
        }
        for block in &self.up_blocks {
            image = block.forward(image, &conditioning, &mut skips);
        }
        let image = self.conv_norm_out.forward_with(image, None, Some(self.config.act_fn));
        self.conv_out.forward(image)
    }

    /// The sum of all embeddings, activated once for all ResNet blocks, and the context.
    fn conditioning(&self, signals: &mut Signals<B>) -> Conditioning<B> {
        let epilogue = Epilogue { activation: self.config.timestep_post_act, ..Epilogue::new() };
        let (features, guidance) = (signals.features.clone(), signals.guidance.take());
        let mut time = self.time_embedding.forward(features, guidance, epilogue);
        if let Some(labels) = signals.class.take() {
            time = match &self.class_embedding {
                Some(embedding) => embedding.add(labels, time),
                None => ops::linear_combination([(1.0, time), (1.0, labels)]),
            };
        }
        if let (Some(embedding), Some(added)) = (&self.add_embedding, signals.added.take()) {
            time = embedding.forward(added, None, Epilogue::new().residual(Some(time)));
        }
        let activations = self.config.time_embedding_act_fn.into_iter().chain([self.config.act_fn]);
        let activate = |time, activation: Activation| {
            ops::epilogue(time, Epilogue::new().activation(activation))
        };
        Conditioning {
            time: activations.fold(time, activate),
            context: signals.context.clone(),
            mask: signals.mask.take().map_or(AttentionMask::None, AttentionMask::Additive),
        }
    }
}
