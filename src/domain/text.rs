//! Values that people write as text: one parsing door, one way to write them back.

/// Why a text is not the value it should be. The reason never repeats a personal text (an address, a number):
/// whoever reads the row knows where it stands. Nobody branches on it; it is told to a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    /// An error with the reason as a person should read it.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Gives a type that has `FromStr` and `Display` the same text as its serde form.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Gives a type that has `parse(&str)` and `Display` its `FromStr` and the same text as its serde form.
macro_rules! text_form {
    ($type:ty) => {
        impl std::str::FromStr for $type {
            type Err = $crate::domain::text::Malformed;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                <$type>::parse(text)
            }
        }

        $crate::domain::text::serde_as_text!($type);
    };
}

pub(crate) use {serde_as_text, text_form};
