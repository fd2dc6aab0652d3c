//! The levels of the way down, the middle and the way up.

use sd_kernels::Padding;
use sd_nn::{
    Downsample2DConfig, GroupNormConfig, ResnetBlock2DConfig, TimeScaleShift, Transformer2DConfig,
    Upsample2DConfig,
};

use crate::{
    DownBlockType, MidBlockType, TimeScaleShiftType, UNetConfig, UNetConfigError, UpBlockType,
    blocks::{DownBlockConfig, MidBlockConfig, UpBlockConfig},
};

use super::{
    Skip,
    check::{MAX_LAYERS, MAX_WIDTH, counted, divides, finite, spread, within, within_total},
    counts::Counts,
};

const MAX_LEVELS: usize = 16;

/// Channels of each level.
pub(super) fn channels(config: &UNetConfig) -> Result<&[usize], UNetConfigError> {
    let levels = config.down_block_types.len();
    if !(1..=MAX_LEVELS).contains(&levels) {
        let (key, found) = ("down_block_types".into(), format!("a list of {levels}"));
        let expected = format!("1 to {MAX_LEVELS} levels");
        return Err(UNetConfigError::OutOfRange { key, found, expected });
    }
    counted("up_block_types", &config.up_block_types, levels)?;
    counted("block_out_channels", &config.block_out_channels, levels)?;
    for (level, channels) in config.block_out_channels.iter().enumerate() {
        within(format!("block_out_channels[{level}]"), *channels, 1..=MAX_WIDTH)?;
    }
    Ok(&config.block_out_channels)
}

/// One level, shared by the way down and the way up.
struct Level {
    channels: usize,
    layers: usize,
    heads: usize,
    context: Option<usize>,
    only_cross_attention: bool,
    down: DownBlockType,
    up: UpBlockType,
    down_transformers: Counts,
    up_transformers: Counts,
}

/// All levels, from the top.
pub(super) struct Levels<'a> {
    config: &'a UNetConfig,
    levels: Vec<Level>,
    groups: usize,
    time_width: usize,
}

impl<'a> Levels<'a> {
    /// Spreads the lists of a configuration, whose [`channels`] have been checked, over the levels.
    pub(super) fn new(config: &'a UNetConfig, time_width: usize) -> Result<Self, UNetConfigError> {
        let count = config.block_out_channels.len();
        let layers = spread("layers_per_block", &config.layers_per_block, count)?;
        let heads = spread("attention_head_dim", &config.attention_head_dim, count)?;
        let only_cross = spread("only_cross_attention", &config.only_cross_attention, count)?;
        let context = match &config.cross_attention_dim {
            Some(widths) => {
                spread("cross_attention_dim", widths, count)?.into_iter().map(Some).collect()
            }
            None => vec![None; count],
        };
        let down = Counts::down(config, count)?;
        let up = Counts::up(config, &down)?;

        let levels = (0..count).map(|level| Level {
            channels: config.block_out_channels[level],
            layers: layers[level],
            heads: heads[level],
            context: context[level],
            only_cross_attention: only_cross[level],
            down: config.down_block_types[level],
            up: config.up_block_types[count - 1 - level],
            down_transformers: down[level].clone(),
            up_transformers: up[count - 1 - level].clone(),
        });
        let groups = config.norm_num_groups.ok_or_else(|| UNetConfigError::Missing {
            key: "norm_num_groups",
            needed_by: "every block".into(),
        })?;
        let levels = Self { config, levels: levels.collect(), groups, time_width };
        levels.check()?;
        Ok(levels)
    }

    /// Checks what does not depend on the kind of block.
    fn check(&self) -> Result<(), UNetConfigError> {
        for level in &self.levels {
            within("layers_per_block", level.layers, 1..=MAX_LAYERS)?;
            if let Some(width) = level.context {
                within("cross_attention_dim", width, 1..=MAX_WIDTH)?;
            }
        }
        divides("norm_num_groups", self.groups, self.levels[0].channels)?;
        within("downsample_padding", self.config.downsample_padding, 0..=1)?;
        finite("norm_eps", self.config.norm_eps, |eps| eps >= 0.0, "finite and not negative")?;
        let scale = self.config.mid_block_scale_factor;
        finite("mid_block_scale_factor", scale, |scale| scale != 0.0, "finite and not 0")?;
        Ok(())
    }

    /// Padding of the downsampling convolutions.
    pub(super) fn downsample_padding(&self) -> Padding {
        match self.config.downsample_padding {
            0 => Padding::end(1),
            pixels => Padding::same(pixels),
        }
    }

    /// The way down.
    pub(super) fn down_blocks(&self) -> Result<Vec<DownBlockConfig>, UNetConfigError> {
        let mut input = self.levels[0].channels;
        let mut blocks = Vec::with_capacity(self.levels.len());
        for (index, level) in self.levels.iter().enumerate() {
            let inputs =
                (0..level.layers).map(|layer| if layer == 0 { input } else { level.channels });
            let resnets = inputs
                .map(|input| self.resnet(input, level.channels, 1.0))
                .collect::<Result<_, _>>()?;
            let attentions = match level.down {
                DownBlockType::DownBlock2D => Vec::new(),
                DownBlockType::CrossAttnDownBlock2D => {
                    let counts = level.down_transformers.each(level.layers)?;
                    self.transformers(level, &counts, level.only_cross_attention)?
                }
            };
            let downsampler = (index + 1 < self.levels.len()).then(|| Downsample2DConfig {
                channels: level.channels,
                padding: self.downsample_padding(),
            });
            blocks.push(DownBlockConfig { resnets, attentions, downsampler });
            input = level.channels;
        }
        Ok(blocks)
    }

    /// The middle, whose transformer never has `only_cross_attention`.
    pub(super) fn mid_block(&self) -> Result<Option<MidBlockConfig>, UNetConfigError> {
        let Some(kind) = self.config.mid_block_type else { return Ok(None) };
        let level = &self.levels[self.levels.len() - 1];
        let scale = self.config.mid_block_scale_factor;
        let resnet = self.resnet(level.channels, level.channels, scale)?;
        Ok(Some(match kind {
            MidBlockType::UNetMidBlock2D => {
                MidBlockConfig { resnets: vec![resnet], attentions: Vec::new() }
            }
            MidBlockType::UNetMidBlock2DCrossAttn => {
                let count = level.down_transformers.first()?;
                let attentions = self.transformers(level, &[count], false)?;
                MidBlockConfig { resnets: vec![resnet; 2], attentions }
            }
        }))
    }

    /// The way up, from the deepest level.
    pub(super) fn up_blocks(&self) -> Result<Vec<UpBlockConfig>, UNetConfigError> {
        let mut previous = self.levels[self.levels.len() - 1].channels;
        let mut blocks = Vec::with_capacity(self.levels.len());
        for (index, level) in self.levels.iter().enumerate().rev() {
            let (layers, channels) = (level.layers + 1, level.channels);
            let above = self.levels[index.saturating_sub(1)].channels;
            let inputs = (0..layers).map(|layer| {
                let image = if layer == 0 { previous } else { channels };
                let skip = if layer + 1 == layers { above } else { channels };
                image + skip
            });
            let resnets =
                inputs.map(|input| self.resnet(input, channels, 1.0)).collect::<Result<_, _>>()?;
            let attentions = match level.up {
                UpBlockType::UpBlock2D => Vec::new(),
                UpBlockType::CrossAttnUpBlock2D => {
                    let counts = level.up_transformers.each(layers)?;
                    self.transformers(level, &counts, level.only_cross_attention)?
                }
            };
            let upsampler = (index > 0).then_some(Upsample2DConfig { channels });
            blocks.push(UpBlockConfig { resnets, attentions, upsampler });
            previous = channels;
        }
        Ok(blocks)
    }

    /// The norm before the last convolution.
    pub(super) fn norm_out(&self) -> GroupNormConfig {
        let channels = self.levels[0].channels;
        GroupNormConfig { groups: self.groups, channels, eps: self.config.norm_eps }
    }

    /// The skips, in the order in which they are made.
    pub(super) fn skips(&self) -> Vec<Skip> {
        let mut skips = vec![Skip { channels: self.levels[0].channels, halvings: 0 }];
        for (halvings, level) in self.levels.iter().enumerate() {
            let skip = Skip { channels: level.channels, halvings };
            skips.extend(vec![skip; level.layers]);
            if halvings + 1 < self.levels.len() {
                skips.push(Skip { halvings: halvings + 1, ..skip });
            }
        }
        skips
    }

    /// Width of the one context that all cross-attentions share.
    pub(super) fn context_width(&self) -> Result<Option<usize>, UNetConfigError> {
        let last = self.levels.len() - 1;
        let middle = self.config.mid_block_type == Some(MidBlockType::UNetMidBlock2DCrossAttn);
        let attends = |index: usize, level: &Level| {
            level.down == DownBlockType::CrossAttnDownBlock2D
                || level.up == UpBlockType::CrossAttnUpBlock2D
                || (index == last && middle)
        };
        let mut widths: Vec<usize> = (self.levels.iter().enumerate())
            .filter(|(index, level)| attends(*index, level))
            .filter_map(|(_, level)| level.context)
            .collect();
        widths.dedup();
        if widths.len() > 1 {
            return Err(UNetConfigError::Unsupported {
                key: "cross_attention_dim",
                found: format!("{widths:?}"),
                supported: "one width for all levels, since there is one context",
            });
        }
        Ok(widths.first().copied())
    }

    /// Checks the number of blocks before anything is made of them.
    pub(super) fn check_total(
        &self,
        down: &[DownBlockConfig],
        mid: Option<&MidBlockConfig>,
        up: &[UpBlockConfig],
    ) -> Result<(), UNetConfigError> {
        let down = down.iter().map(|block| (&block.resnets, &block.attentions));
        let mid = mid.iter().map(|block| (&block.resnets, &block.attentions));
        let up = up.iter().map(|block| (&block.resnets, &block.attentions));
        let (mut resnets, mut transformers) = (0, 0);
        for (some_resnets, attentions) in down.chain(mid).chain(up) {
            resnets += some_resnets.len();
            transformers += attentions.iter().map(|attention| attention.layers).sum::<usize>();
        }
        within_total("layers_per_block", resnets)?;
        within_total("transformer_layers_per_block", transformers)
    }

    fn resnet(
        &self,
        input: usize,
        output: usize,
        scale: f64,
    ) -> Result<ResnetBlock2DConfig, UNetConfigError> {
        divides("norm_num_groups", self.groups, input)?;
        divides("norm_num_groups", self.groups, output)?;
        Ok(ResnetBlock2DConfig {
            input,
            output,
            time_embedding: Some(self.time_width),
            groups: self.groups,
            eps: self.config.norm_eps,
            activation: self.config.act_fn,
            time_scale_shift: match self.config.resnet_time_scale_shift {
                TimeScaleShiftType::Default => TimeScaleShift::Default,
                TimeScaleShiftType::ScaleShift => TimeScaleShift::ScaleShift,
            },
            output_scale_factor: scale,
        })
    }

    /// Spatial transformers of `counts` blocks each.
    fn transformers(
        &self,
        level: &Level,
        counts: &[usize],
        only_cross_attention: bool,
    ) -> Result<Vec<Transformer2DConfig>, UNetConfigError> {
        divides("attention_head_dim", level.heads, level.channels)?;
        let context = level.context.ok_or_else(|| UNetConfigError::Missing {
            key: "cross_attention_dim",
            needed_by: "every block with cross-attention".into(),
        })?;
        let transformer = |layers: &usize| Transformer2DConfig {
            channels: level.channels,
            heads: level.heads,
            head_dim: level.channels / level.heads,
            layers: *layers,
            context_dim: Some(context),
            groups: self.groups,
            linear_projection: self.config.use_linear_projection,
            only_cross_attention,
        };
        Ok(counts.iter().map(transformer).collect())
    }
}
