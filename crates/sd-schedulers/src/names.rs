//! Enums that users and files name by strings.

use std::fmt;

/// A name that is none of those expected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownName {
    /// What was to be named, for instance `beta schedule`.
    pub what: &'static str,
    /// The name that was given.
    pub found: String,
    /// The names that are understood.
    pub expected: Vec<&'static str>,
    /// The understood name that is most like the given one, if any is near.
    pub nearest: Option<&'static str>,
}

impl UnknownName {
    /// Compares `found` with `expected` (the names shown) and with `known` (every spelling understood).
    pub(crate) fn new(
        what: &'static str,
        found: &str,
        expected: Vec<&'static str>,
        known: impl Iterator<Item = &'static str>,
    ) -> Self {
        // Above 0.5 the names share most of their letters; below, a suggestion would mislead.
        let lower = found.to_lowercase();
        let nearest = known
            .map(|name| {
                (strsim::normalized_damerau_levenshtein(&lower, &name.to_lowercase()), name)
            })
            .filter(|(similarity, _)| *similarity > 0.5)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| name);
        Self { what, found: found.to_string(), expected, nearest }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = self.expected.join("`, `");
        write!(f, "unknown {} `{}`, expected one of `{expected}`", self.what, self.found)?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownName {}

/// An enum with one name per variant: `ALL`, `name`, `FromStr`, `Display`, serde by that name.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident ($what:literal) {
            $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// Every variant.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in files.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::names::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let names = || Self::ALL.iter().map(|value| value.name());
                Self::ALL.iter().copied().find(|value| value.name() == text).ok_or_else(|| {
                    $crate::names::UnknownName::new($what, text, names().collect(), names())
                })
            }
        }

        $crate::names::string_conversions!($name);
    };
}

/// `Display` by `name` and the two conversions that serde uses.
macro_rules! string_conversions {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::names::UnknownName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.name().to_string()
            }
        }
    };
}

pub(crate) use {named_enum, string_conversions};

#[cfg(test)]
mod tests {
    use crate::TimestepSpacing;

    #[test]
    fn the_error_names_what_is_known_and_the_nearest() {
        let error = "leadin".parse::<TimestepSpacing>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown timestep spacing `leadin`, expected one of `linspace`, `leading`, `trailing`; did you mean `leading`?"
        );
        assert_eq!("xyzzy".parse::<TimestepSpacing>().unwrap_err().nearest, None);
    }

    #[test]
    fn names_pass_through_serde() {
        for spacing in TimestepSpacing::ALL {
            let json = serde_json::to_string(spacing).unwrap();
            assert_eq!(json, format!("\"{spacing}\""));
            assert_eq!(serde_json::from_str::<TimestepSpacing>(&json).unwrap(), *spacing);
        }
    }
}
