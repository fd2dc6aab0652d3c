//! What happens to the output of a product before it is written to memory.

use core::{fmt, str::FromStr};

use burn::tensor::{Tensor, backend::Backend};

use crate::Channels;

/// An elementwise activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x · σ(x)`.
    Silu,
    /// `x · Φ(x)`, exact, through the error function.
    Gelu,
    /// The tanh approximation of [`Gelu`](Self::Gelu).
    GeluTanh,
    /// `x · σ(1.702 x)`, as OpenAI's CLIP has it.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `tanh(x)`.
    Tanh,
}

impl Activation {
    const NAMES: [(&'static str, Activation); 10] = [
        ("silu", Activation::Silu),
        ("swish", Activation::Silu),
        ("gelu", Activation::Gelu),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("gelu-approximate", Activation::GeluTanh),
        ("quick_gelu", Activation::QuickGelu),
        ("relu", Activation::Relu),
        ("tanh", Activation::Tanh),
        ("gelu_tanh", Activation::GeluTanh),
    ];
}

/// An activation name that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownActivation(pub String);

impl fmt::Display for UnknownActivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown activation \"{}\", expected one of", self.0)?;
        for (index, (name, _)) in Activation::NAMES.iter().enumerate() {
            write!(f, "{} {name}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownActivation {}

impl FromStr for Activation {
    type Err = UnknownActivation;

    /// Reads the names that diffusers and transformers use in their configurations.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, activation)| *activation)
            .ok_or_else(|| UnknownActivation(name.to_owned()))
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, activation)| activation == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// How the output's channels are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Gate {
    /// Every channel on its own.
    #[default]
    None,
    /// The first half of the channels is the value, the second half the gate: `value · activation(gate)` (GEGLU with
    /// [`Activation::Gelu`]). The output has half as many channels.
    Pair,
}

/// Applied to the output `y` of a product, in this order:
///
/// 1. `y + bias + channel_add`
/// 2. the activation, or the gated pair
/// 3. `y · channel_mul · scale + residual`
/// 4. `y · output_scale`
///
/// All of it is computed in f32, whatever the dtype of the tensors.
#[derive(Debug, Clone)]
pub struct Epilogue<B: Backend, const D: usize> {
    /// `[out]`.
    pub bias: Option<Tensor<B, 1>>,
    /// Added at every position of a sample (the time embedding of a ResNet block).
    pub channel_add: Option<Channels<B>>,
    /// Applied to every channel, or to the gates of a pair.
    pub activation: Option<Activation>,
    /// Whether channels come in pairs of value and gate.
    pub gate: Gate,
    /// Multiplied with at every position of a sample, after the activation (the gates of a diffusion transformer).
    pub channel_mul: Option<Channels<B>>,
    /// Multiplies before the residual is added. Default: 1.
    pub scale: f64,
    /// Of the output's shape.
    pub residual: Option<Tensor<B, D>>,
    /// Multiplies everything, last. Default: 1.
    pub output_scale: f64,
}

impl<B: Backend, const D: usize> Default for Epilogue<B, D> {
    fn default() -> Self {
        Self {
            bias: None,
            channel_add: None,
            activation: None,
            gate: Gate::None,
            channel_mul: None,
            scale: 1.0,
            residual: None,
            output_scale: 1.0,
        }
    }
}

impl<B: Backend, const D: usize> Epilogue<B, D> {
    /// An epilogue that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a bias, `[out]`.
    pub fn bias(mut self, bias: Option<Tensor<B, 1>>) -> Self {
        self.bias = bias;
        self
    }

    /// Adds a vector to every position of a sample.
    pub fn channel_add(mut self, channel_add: Option<Channels<B>>) -> Self {
        self.channel_add = channel_add;
        self
    }

    /// Multiplies every position of a sample with a vector.
    pub fn channel_mul(mut self, channel_mul: Option<Channels<B>>) -> Self {
        self.channel_mul = channel_mul;
        self
    }

    /// Applies an activation.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Pairs the channels: `value · activation(gate)`.
    pub fn gated(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self.gate = Gate::Pair;
        self
    }

    /// Multiplies by `scale` before the residual is added.
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Adds a tensor of the output's shape.
    pub fn residual(mut self, residual: Option<Tensor<B, D>>) -> Self {
        self.residual = residual;
        self
    }

    /// Multiplies the result.
    pub fn output_scale(mut self, scale: f64) -> Self {
        self.output_scale = scale;
        self
    }

    /// Whether nothing is left to do.
    pub fn is_identity(&self) -> bool {
        self.bias.is_none()
            && self.channel_add.is_none()
            && self.activation.is_none()
            && self.gate == Gate::None
            && self.channel_mul.is_none()
            && self.scale == 1.0
            && self.residual.is_none()
            && self.output_scale == 1.0
    }

    /// Takes what has to happen before low-rank branches are added (the bias), leaving the rest.
    pub fn take_bias(&mut self) -> Option<Tensor<B, 1>> {
        self.bias.take()
    }

    /// Channels of the output for `channels` of the product.
    pub fn output_channels(&self, channels: usize) -> usize {
        match self.gate {
            Gate::None => channels,
            Gate::Pair => channels / 2,
        }
    }

    /// The same epilogue for the output reshaped to `shape`; `batch` and channels stay.
    pub fn reshape<const E: usize>(self, shape: [usize; E]) -> Epilogue<B, E> {
        Epilogue {
            bias: self.bias,
            channel_add: self.channel_add,
            activation: self.activation,
            gate: self.gate,
            channel_mul: self.channel_mul,
            scale: self.scale,
            residual: self.residual.map(|residual| residual.reshape(shape)),
            output_scale: self.output_scale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for (name, activation) in Activation::NAMES {
            assert_eq!(name.parse::<Activation>().unwrap(), activation);
            let shown = activation.to_string();
            assert_eq!(shown.parse::<Activation>().unwrap(), activation);
        }
    }

    #[test]
    fn an_unknown_name_is_told() {
        let error = "gleu".parse::<Activation>().unwrap_err().to_string();
        assert!(error.contains("\"gleu\"") && error.contains("quick_gelu"), "{error}");
    }
}
