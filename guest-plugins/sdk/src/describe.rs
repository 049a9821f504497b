//! The description of a configuration: a JSON Schema that is made when the plugin is compiled.
//!
//! The schema is a section of the plugin's file, not part of its code. It costs no memory and no time when the plugin
//! runs, and the host reads it without running anything.

use std::collections::{BTreeMap, HashMap};

pub use etl_plugin_derive::Describe;

/// Largest size of the description of a configuration, in bytes.
const BYTES_MAX: usize = 16 * 1024;

/// A type that can be part of a step's configuration, with a JSON Schema of its values.
///
/// A configuration needs `#[derive(Describe)]` beside `#[derive(serde::Deserialize)]`, and nothing else. The derive
/// makes a JSON Schema of the fields: their names, types and doc comments, which of them may be left out, and their
/// defaults. `etl-host inspect` shows the schema. `check` and `run` compare `pipeline.toml` with it, so that an error
/// names the line that is wrong.
///
/// ```
/// #[derive(serde::Deserialize, etl_plugin::Describe)]
/// struct Config {
///     /// The character between the fields of a line.
///     separator: char,
///     /// Smaller values are left out.
///     at_least: Option<u64>,
/// }
/// ```
///
/// A field that may be left out is an `Option`, or has `#[serde(default)]`. To give a field another default than the
/// one of its type, put `#[serde(default)]` on the whole type and `#[describe(default = …)]` on the field. The derive
/// then implements `Default` for the type, too:
///
/// ```
/// #[derive(serde::Deserialize, etl_plugin::Describe)]
/// #[serde(default)]
/// struct Config {
///     /// The character between the fields of a line.
///     #[describe(default = ',')]
///     separator: char,
///     /// Smaller values are left out (default 0).
///     at_least: u64,
/// }
///
/// assert_eq!(Config::default().separator, ',');
/// ```
///
/// A default from `#[serde(default = "function")]` or from a hand-written `impl Default` is used but not shown, because
/// the schema is made without running anything.
///
/// The derive understands serde's attributes `default`, `rename`, `rename_all`, `skip`, `with` and `deserialize_with`.
/// It refuses other attributes that change what is read.
pub trait Describe {
    /// The JSON Schema of a value.
    const SCHEMA: SchemaText;

    /// Whether a field of this type must be given, unless it has a default.
    const REQUIRED: bool = true;

    /// The value of `Default`, as JSON. Empty if the value is not known or not worth showing.
    const DEFAULT: &'static str = "";
}

/// The text of a JSON Schema, put together when the plugin is compiled.
#[derive(Clone, Copy, Debug)]
pub struct SchemaText {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl SchemaText {
    /// Returns the empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; BYTES_MAX], length: 0 }
    }

    /// Adds text.
    ///
    /// # Panics
    /// When the text would be longer than 16 KiB. In a constant, that is an error when the plugin is compiled.
    #[must_use]
    pub const fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes(), text.len())
    }

    /// Adds a schema, and adds `key` (a key with its value, as JSON) to that schema unless `key` is empty.
    #[must_use]
    pub const fn with(self, schema: &Self, key: &str) -> Self {
        if key.is_empty() {
            return self.bytes(&schema.bytes, schema.length);
        }
        // A schema is a JSON object, so its last byte is the closing brace. The key goes before that brace.
        let open = self.bytes(&schema.bytes, schema.length - 1);
        let open = if schema.length > 2 { open.text(",") } else { open };
        open.text(key).text("}")
    }

    /// Adds a default, as JSON, to the schema that was added last, unless `json` is empty.
    #[must_use]
    pub const fn with_default(mut self, json: &str) -> Self {
        if json.is_empty() {
            return self;
        }
        // The last byte is the closing brace of the schema that was added last. The default goes before that brace.
        self.length -= 1;
        let open = if self.bytes[self.length - 1] == b'{' { self } else { self.text(",") };
        open.text("\"default\":").text(json).text("}")
    }

    /// Adds an item to the list that the text ends with, if `wanted`.
    #[must_use]
    pub const fn item(self, wanted: bool, item: &str) -> Self {
        match (wanted, self.bytes[self.length - 1]) {
            (false, _) => self,
            (true, b'[') => self.text(item),
            (true, _) => self.text(",").text(item),
        }
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Returns whether the text is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the first `N` bytes.
    #[must_use]
    pub const fn to_array<const N: usize>(&self) -> [u8; N] {
        let (mut array, mut i) = ([0; N], 0);
        while i < N {
            array[i] = self.bytes[i];
            i += 1;
        }
        array
    }

    const fn bytes(mut self, bytes: &[u8], length: usize) -> Self {
        assert!(self.length + length <= BYTES_MAX, "the description of the configuration is longer than 16 KiB");
        let mut i = 0;
        while i < length {
            self.bytes[self.length] = bytes[i];
            self.length += 1;
            i += 1;
        }
        self
    }
}

impl Default for SchemaText {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! describe {
    ($($ty:ty: $schema:literal, $default:literal;)*) => {
        $(impl Describe for $ty {
            const SCHEMA: SchemaText = SchemaText::new().text($schema);
            const DEFAULT: &'static str = $default;
        })*
    };
}

describe! {
    bool: r#"{"type":"boolean"}"#, "false";
    i8: r#"{"type":"integer","minimum":-128,"maximum":127}"#, "0";
    i16: r#"{"type":"integer","minimum":-32768,"maximum":32767}"#, "0";
    i32: r#"{"type":"integer","minimum":-2147483648,"maximum":2147483647}"#, "0";
    i64: r#"{"type":"integer"}"#, "0";
    u8: r#"{"type":"integer","minimum":0,"maximum":255}"#, "0";
    u16: r#"{"type":"integer","minimum":0,"maximum":65535}"#, "0";
    u32: r#"{"type":"integer","minimum":0,"maximum":4294967295}"#, "0";
    u64: r#"{"type":"integer","minimum":0}"#, "0";
    // A plugin's `usize` has 32 bits.
    usize: r#"{"type":"integer","minimum":0,"maximum":4294967295}"#, "0";
    isize: r#"{"type":"integer","minimum":-2147483648,"maximum":2147483647}"#, "0";
    f32: r#"{"type":"number"}"#, "0.0";
    f64: r#"{"type":"number"}"#, "0.0";
    char: r#"{"type":"string","minLength":1,"maxLength":1}"#, "";
    String: r#"{"type":"string"}"#, r#""""#;
    serde_json::Value: "{}", "";
}

impl<T: Describe> Describe for Option<T> {
    const SCHEMA: SchemaText =
        SchemaText::new().text("{\"anyOf\":[").with(&T::SCHEMA, "").text(",{\"type\":\"null\"}]}");
    const REQUIRED: bool = false;
}

impl<T: Describe> Describe for Box<T> {
    const SCHEMA: SchemaText = T::SCHEMA;
    const REQUIRED: bool = T::REQUIRED;
    const DEFAULT: &'static str = T::DEFAULT;
}

impl<T: Describe> Describe for Vec<T> {
    const SCHEMA: SchemaText = SchemaText::new().text("{\"type\":\"array\",\"items\":").with(&T::SCHEMA, "").text("}");
    const DEFAULT: &'static str = "[]";
}

impl<T: Describe> Describe for BTreeMap<String, T> {
    const SCHEMA: SchemaText =
        SchemaText::new().text("{\"type\":\"object\",\"additionalProperties\":").with(&T::SCHEMA, "").text("}");
    const DEFAULT: &'static str = "{}";
}

impl<T: Describe, S> Describe for HashMap<String, T, S> {
    const SCHEMA: SchemaText = <BTreeMap<String, T> as Describe>::SCHEMA;
    const DEFAULT: &'static str = "{}";
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn schema<C: Describe>() -> Value {
        let bytes = &C::SCHEMA.bytes[..C::SCHEMA.len()];
        serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
    }

    #[derive(serde::Deserialize, Describe)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        InOrder,
        #[serde(rename = "any")]
        AnyOrder,
    }

    #[derive(serde::Deserialize, Describe)]
    #[expect(dead_code, reason = "only described")]
    struct Config {
        /// The text between the "fields"
        /// of a line.
        separator: char,
        at_least: Option<u64>,
        #[serde(default)]
        columns: Vec<String>,
        #[serde(rename = "type")]
        kind: Mode,
        #[serde(default, deserialize_with = "serde::de::Deserialize::deserialize")]
        size: u8,
        #[serde(skip)]
        cache: Vec<u8>,
        limits: BTreeMap<String, f64>,
    }

    #[test]
    fn a_configuration_describes_its_fields() {
        let expected = json!({
                   "type": "object",
                   "properties": {
                       "separator": {
                           "type": "string", "minLength": 1, "maxLength": 1,
                           "description": "The text between the \"fields\" of a line.",
                       },
                       "at_least": { "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "null" }] },
        "columns": { "type": "array", "items": { "type": "string" }, "default": [] },
                       "type": { "enum": ["in-order", "any"] },
                       "size": {},
                       "limits": { "type": "object", "additionalProperties": { "type": "number" } },
                   },
                   "required": ["separator", "type", "limits"],
                   "additionalProperties": false,
               });
        assert_eq!(schema::<Config>(), expected);
        assert_eq!(schema::<crate::NoConfig>()["properties"], json!({}));
    }

    #[derive(serde::Deserialize, serde::Serialize, Describe, Debug, Default, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Given,
        #[default]
        Any,
    }

    #[derive(serde::Deserialize, serde::Serialize, Describe, Debug, PartialEq)]
    #[serde(default, rename_all = "camelCase")]
    struct Defaulted {
        /// The character between fields.
        #[describe(default = ',')]
        separator: char,
        #[describe(default = 67_108_864)]
        max_size: u32,
        #[describe(default = -1.5)]
        least: f64,
        #[describe(default = "a \"b\"")]
        pattern: String,
        trim: bool,
        columns: Vec<String>,
        order: Order,
        limit: Option<u32>,
        #[serde(skip)]
        cache: u8,
    }

    #[test]
    fn what_is_described_as_default_is_what_is_read_when_nothing_is_given() {
        let described = schema::<Defaulted>();
        assert_eq!(described["required"], json!([]));
        assert_eq!(described["properties"]["maxSize"]["maximum"], u32::MAX);
        let read: Defaulted = serde_json::from_str("{}").expect("nothing is required");
        let Value::Object(read) = serde_json::to_value(read).expect("it is written") else { panic!("no object") };
        assert_eq!(read.len(), 8);
        for (name, value) in read {
            // A default of null is not shown, and a missing key also reads as null.
            let shown = &described["properties"][&name]["default"];
            assert_eq!((name.as_str(), shown), (name.as_str(), &value));
        }
        let order = &described["properties"]["order"];
        assert_eq!(order, &json!({ "enum": ["given", "any"], "default": "any" }));
    }

    #[derive(serde::Deserialize, Describe, Default)]
    #[serde(default)]
    #[expect(dead_code, reason = "only described")]
    struct OfItsOwn {
        size: u32,
        #[serde(default)]
        count: u32,
    }

    #[test]
    fn a_default_that_nobody_described_is_not_shown() {
        let described = schema::<OfItsOwn>();
        assert_eq!((&described["required"], &described["properties"]["size"]["default"]), (&json!([]), &Value::Null));
        assert_eq!(described["properties"]["count"]["default"], 0);
    }
}
