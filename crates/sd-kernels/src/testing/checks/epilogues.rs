//! Combinations of what an epilogue can do.

use core::fmt;

use super::super::{reference::EpilogueValues, suite::Suite};
use crate::{Activation, DiffusionBackend, Gate};

pub(crate) const ACTIVATIONS: [Activation; 6] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Relu,
    Activation::Tanh,
];

/// Which parts an epilogue has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Parts {
    pub(crate) bias: bool,
    pub(crate) channel_add: bool,
    pub(crate) activation: Option<Activation>,
    pub(crate) gate: Gate,
    pub(crate) channel_mul: bool,
    pub(crate) scale: f64,
    pub(crate) residual: bool,
    pub(crate) output_scale: f64,
}

impl Parts {
    pub(crate) const NONE: Self = Self {
        bias: false,
        channel_add: false,
        activation: None,
        gate: Gate::None,
        channel_mul: false,
        scale: 1.0,
        residual: false,
        output_scale: 1.0,
    };

    pub(crate) const BIAS: Self = Self { bias: true, ..Self::NONE };

    /// What a ResNet block's second convolution ends in, with an activation thrown in.
    pub(crate) const ALL: Self = Self {
        bias: true,
        channel_add: true,
        activation: Some(Activation::Silu),
        gate: Gate::None,
        channel_mul: true,
        scale: 0.7,
        residual: true,
        output_scale: 0.6,
    };

    /// GEGLU.
    pub(crate) const GEGLU: Self =
        Self { bias: true, activation: Some(Activation::Gelu), gate: Gate::Pair, ..Self::NONE };

    /// Every combination (896 of them).
    pub(crate) fn every() -> Vec<Self> {
        let mut all = Vec::new();
        let activations = [None].into_iter().chain(ACTIVATIONS.map(Some));
        for activation in activations {
            for bits in 0..128 {
                let bit = |index: u32| bits >> index & 1 == 1;
                all.push(Self {
                    bias: bit(0),
                    channel_add: bit(1),
                    activation,
                    gate: if bit(2) { Gate::Pair } else { Gate::None },
                    channel_mul: bit(6),
                    scale: if bit(3) { -0.7 } else { 1.0 },
                    residual: bit(4),
                    output_scale: if bit(5) { 0.6 } else { 1.0 },
                });
            }
        }
        all
    }

    /// Each part alone, all together, and each activation with and without a gate.
    pub(crate) fn few() -> Vec<Self> {
        let none = Self::NONE;
        let mut few = vec![
            none,
            Self::BIAS,
            Self { channel_add: true, ..none },
            Self { channel_mul: true, ..none },
            Self { scale: -0.7, ..none },
            Self { residual: true, ..none },
            Self { output_scale: 0.6, ..none },
            Self { gate: Gate::Pair, ..none },
            Self::ALL,
        ];
        for activation in ACTIVATIONS {
            few.push(Self { activation: Some(activation), ..none });
            few.push(Self { activation: Some(activation), gate: Gate::Pair, ..Self::ALL });
        }
        few
    }

    pub(crate) fn output_channels(&self, channels: usize) -> usize {
        if self.gate == Gate::Pair { channels / 2 } else { channels }
    }

    /// Random values for the output `[batch, .., channels]` of a product.
    pub(crate) fn values<B: DiffusionBackend>(
        &self,
        suite: &mut Suite<B>,
        product: &[usize],
    ) -> EpilogueValues {
        let (batch, channels) = (product[0], product[product.len() - 1]);
        let mut output = product.to_vec();
        let out = self.output_channels(channels);
        output[product.len() - 1] = out;
        EpilogueValues {
            bias: self.bias.then(|| suite.random(&[channels])),
            channel_add: self.channel_add.then(|| suite.random(&[batch, channels])),
            activation: self.activation,
            gate: self.gate,
            channel_mul: self.channel_mul.then(|| suite.random(&[batch, out])),
            scale: self.scale,
            residual: self.residual.then(|| suite.random(&output)),
            output_scale: self.output_scale,
        }
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Vec::new();
        if self.bias {
            names.push("bias".to_owned());
        }
        if self.channel_add {
            names.push("channel add".to_owned());
        }
        if let Some(activation) = self.activation {
            names.push(activation.to_string());
        }
        if self.gate == Gate::Pair {
            names.push("pair".to_owned());
        }
        if self.channel_mul {
            names.push("channel mul".to_owned());
        }
        if self.scale != 1.0 {
            names.push(format!("scale {}", self.scale));
        }
        if self.residual {
            names.push("residual".to_owned());
        }
        if self.output_scale != 1.0 {
            names.push(format!("output scale {}", self.output_scale));
        }
        f.write_str(if names.is_empty() { "plain" } else { "" })?;
        f.write_str(&names.join(" + "))
    }
}
