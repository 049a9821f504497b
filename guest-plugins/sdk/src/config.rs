//! Reads a step's configuration from JSON into the step's own type, and names mistakes.

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use crate::StepError;

/// The configuration type of a step that takes no configuration.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, crate::Describe)]
pub struct NoConfig {}

/// Reads the configuration. The error names the field that is wrong.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, StepError> {
    let table = serde_json::from_str(json)
        .map_err(|error| StepError::InvalidConfig(format!("the configuration is not a JSON object: {error}")))?;
    serde_path_to_error::deserialize(Strict(table)).map_err(|error| {
        StepError::InvalidConfig(match error.path().to_string().as_str() {
            "." => error.inner().to_string(),
            path => format!("`{path}`: {}", error.inner()),
        })
    })
}

/// A deserializer that refuses fields that the step's configuration does not have; serde alone would skip them
/// silently.
struct Strict(Map<String, Value>);

impl<'de> Deserializer<'de> for Strict {
    type Error = serde_json::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0.keys().find(|field| !known.contains(&field.as_str())) {
            None => self.deserialize_any(visitor),
            Some(unknown) if known.is_empty() => {
                Err(Self::Error::custom(format!("unknown field `{unknown}` (this step takes no configuration)")))
            }
            Some(unknown) => {
                let known = known.join("`, `");
                Err(Self::Error::custom(format!("unknown field `{unknown}` (known fields: `{known}`)")))
            }
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Range {
        min: u32,
        #[serde(default)]
        max: u32,
    }

    fn message<C: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        match parse::<C>(json) {
            Err(StepError::InvalidConfig(message)) => message,
            other => panic!("expected `invalid-config`, found {other:?}"),
        }
    }

    #[test]
    fn a_configuration_becomes_the_steps_type() {
        assert_eq!(parse(r#"{ "min": 3 }"#), Ok(Range { min: 3, max: 0 }));
        parse::<NoConfig>("{}").expect("nothing is asked for");
    }

    #[test]
    fn an_unknown_field_is_named_with_the_known_ones() {
        assert_eq!(message::<Range>(r#"{ "min": 3, "mx": 4 }"#), "unknown field `mx` (known fields: `min`, `max`)");
        assert_eq!(message::<NoConfig>(r#"{ "min": 3 }"#), "unknown field `min` (this step takes no configuration)");
    }

    #[test]
    fn a_wrong_or_missing_field_is_named() {
        assert_eq!(message::<Range>(r#"{ "min": "three" }"#), r#"`min`: invalid type: string "three", expected u32"#);
        assert_eq!(message::<Range>("{}"), "missing field `min`");
        assert_eq!(
            message::<Range>("[]"),
            "the configuration is not a JSON object: invalid type: sequence, expected a map at line 1 column 0"
        );
    }
}
