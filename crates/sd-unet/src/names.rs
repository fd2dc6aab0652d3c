//! What a configuration names: blocks and embeddings.

use std::fmt;

/// A name in a configuration that is not supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// What is named.
    pub what: &'static str,
    /// The name.
    pub found: String,
    /// The names that are supported.
    pub supported: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, supported } = self;
        write!(f, "{what} \"{found}\" is not supported, expected one of {}", supported.join(", "))
    }
}

impl std::error::Error for UnknownName {}

/// An enum whose variants have names in configurations.
macro_rules! named {
    (
        $(#[$meta:meta])*
        $name:ident as $what:literal $(without $prefix:literal)? {
            $($(#[$doc:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl core::str::FromStr for $name {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                let short = name;
                $(let short = short.strip_prefix($prefix).unwrap_or(short);)?
                match short {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(UnknownName {
                        what: $what,
                        found: name.to_owned(),
                        supported: vec![$($text),+],
                    }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

named! {
    /// A level of the way down.
    DownBlockType as "down block type" without "UNetRes" {
        /// ResNet blocks.
        DownBlock2D = "DownBlock2D",
        /// ResNet blocks, each followed by a spatial transformer.
        CrossAttnDownBlock2D = "CrossAttnDownBlock2D",
    }
}

named! {
    /// The middle.
    MidBlockType as "mid block type" {
        /// One ResNet block.
        UNetMidBlock2D = "UNetMidBlock2D",
        /// A spatial transformer between two ResNet blocks.
        UNetMidBlock2DCrossAttn = "UNetMidBlock2DCrossAttn",
    }
}

named! {
    /// A level of the way up.
    UpBlockType as "up block type" without "UNetRes" {
        /// ResNet blocks.
        UpBlock2D = "UpBlock2D",
        /// ResNet blocks, each followed by a spatial transformer.
        CrossAttnUpBlock2D = "CrossAttnUpBlock2D",
    }
}

named! {
    /// How class labels are embedded.
    ClassEmbedType as "class embedding type" {
        /// Scalars, embedded as timesteps are.
        Timestep = "timestep",
        /// Vectors as wide as the time embedding, added as they are.
        Identity = "identity",
        /// Vectors, through an MLP.
        Projection = "projection",
        /// Vectors, through a linear layer.
        SimpleProjection = "simple_projection",
    }
}

named! {
    /// What is embedded beside the timestep.
    AdditionEmbedType as "addition embedding type" {
        /// A pooled text embedding and size scalars, as SDXL has them.
        TextTime = "text_time",
    }
}

named! {
    /// How the timestep becomes features.
    TimeEmbeddingType as "time embedding type" {
        /// Sines and cosines of fixed frequencies.
        Positional = "positional",
    }
}

named! {
    /// How the time embedding enters a ResNet block.
    TimeScaleShiftType as "time scale shift" {
        /// Added.
        Default = "default",
        /// As scale and shift of a norm.
        ScaleShift = "scale_shift",
    }
}

named! {
    /// The kind of transformer block.
    AttentionType as "attention type" {
        /// Self-attention and cross-attention.
        Default = "default",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in ["DownBlock2D", "CrossAttnDownBlock2D"] {
            assert_eq!(name.parse::<DownBlockType>().unwrap().to_string(), name);
        }
        for name in ["timestep", "identity", "projection", "simple_projection"] {
            assert_eq!(name.parse::<ClassEmbedType>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn an_old_prefix_is_accepted_where_diffusers_does() {
        assert_eq!("UNetResUpBlock2D".parse(), Ok(UpBlockType::UpBlock2D));
        assert!("UNetResUNetMidBlock2D".parse::<MidBlockType>().is_err());
    }

    #[test]
    fn an_unknown_name_lists_those_that_are_supported() {
        let error = "KDownBlock2D".parse::<DownBlockType>().unwrap_err().to_string();
        assert_eq!(
            error,
            "down block type \"KDownBlock2D\" is not supported, expected one of DownBlock2D, CrossAttnDownBlock2D"
        );
    }
}
