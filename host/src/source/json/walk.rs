//! Documents by one walk, for those whose keys and values are plain: most of most sources.
//!
//! Owns no meaning. What it takes of a document is what [`strict`](super::strict) takes of it, and of a document it cannot
//! tell about, right or wrong, it takes nothing. Values that are not plain it leaves to `serde_json`, one by one.

use std::mem;

use arrow_schema::{DataType, Field};
use serde::de::IgnoredAny;

use super::{JsonColumns, Row, Value, strict};

/// How many keys of a document are kept for the next, and how many bytes of one.
const KEYS_MAX: usize = 256;
const KEY_BYTES_MAX: usize = 256;

/// With up to so many digits a number fits 64 bits.
const DIGITS_MAX: usize = 18;

/// Up to which all integers are doubles, so that one division by a power of ten that is a double, too, rounds once.
const EXACT_MAX: u64 = 1 << 53;

/// The powers of ten that are doubles, as far as they are needed.
const POWERS_OF_TEN: [f64; DIGITS_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// The keys of the documents before, by their place. A document mostly has the same, written the same way, and comparing
/// takes less time than reading.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

struct Key {
    /// From its opening quote up to its value.
    text: String,
    column: Option<usize>,
    /// The text, if it is short, as an integer, and which bits of it are the text's.
    short: Option<(u128, u128)>,
}

const SHORT_BYTES: usize = size_of::<u128>();

/// Takes the fields asked for of a document into a row of nulls. Returns `None` when it cannot tell; the row may have
/// got some values then.
pub(super) fn walk<'a>(document: &'a [u8], keys: &mut Keys, columns: &JsonColumns, row: &mut Row<'a>) -> Option<()> {
    let mut cursor = Cursor { text: str::from_utf8(document).ok()?, position: 0 };
    cursor.space();
    cursor.byte(b'{')?;
    for place in 0.. {
        cursor.space();
        match keys.read(place, &mut cursor, columns)? {
            Some(column) => {
                let field = columns.schema.field(column);
                row.values[column] = cursor.value(field, &mut row.unescaped)?;
            }
            None => cursor.skip()?,
        }
        cursor.space();
        if cursor.byte(b',').is_none() {
            break;
        }
    }
    cursor.byte(b'}')?;
    cursor.space();
    cursor.rest().is_empty().then_some(())
}

impl Keys {
    /// Reads the next key, and the colon and white space behind it. Returns its column, if it has been asked for.
    fn read(&mut self, place: usize, cursor: &mut Cursor<'_>, columns: &JsonColumns) -> Option<Option<usize>> {
        if let Some(key) = self.0.get(place)
            && key.is_at(cursor.rest())
        {
            cursor.position += key.text.len();
            cursor.space();
            return Some(key.column);
        }
        let start = cursor.position;
        let name = cursor.string()?;
        cursor.space();
        cursor.byte(b':')?;
        cursor.space();
        let column = columns.column_of(name);
        self.keep(place, &cursor.text[start..cursor.position], column);
        Some(column)
    }

    fn keep(&mut self, place: usize, text: &str, column: Option<usize>) {
        if place >= KEYS_MAX || text.len() > KEY_BYTES_MAX {
            return;
        }
        let places = self.0.len();
        match self.0.get_mut(place) {
            Some(key) => *key = Key::new(mem::take(&mut key.text), text, column),
            None if place == places => self.0.push(Key::new(String::new(), text, column)),
            None => {}
        }
    }
}

impl Key {
    /// Makes a key in the memory of another one's text.
    fn new(mut reused: String, text: &str, column: Option<usize>) -> Self {
        reused.clear();
        reused.push_str(text);
        let mut bytes = [0; SHORT_BYTES];
        let short = bytes.get_mut(..text.len()).map(|bytes| bytes.copy_from_slice(text.as_bytes()));
        let mask = u128::MAX.checked_shr(8 * SHORT_BYTES.saturating_sub(text.len()) as u32).unwrap_or(0);
        Self { text: reused, column, short: short.map(|()| (u128::from_le_bytes(bytes), mask)) }
    }

    /// Returns whether a document goes on with it.
    #[inline]
    fn is_at(&self, rest: &[u8]) -> bool {
        match (self.short, rest.first_chunk()) {
            (Some((text, mask)), Some(first)) => u128::from_le_bytes(*first) & mask == text,
            _ => rest.starts_with(self.text.as_bytes()),
        }
    }
}

/// A place in a document. Where a method returns `None`, the document is not as it says.
struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

/// A number without an exponent, of at most [`DIGITS_MAX`] digits.
struct Number {
    negative: bool,
    /// Its digits, as an integer.
    digits: u64,
    /// How many of them are behind the point.
    fraction: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.position..]
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    /// Goes past this byte, which comes next.
    #[inline]
    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.position += 1)
    }

    /// Goes past this word if it comes next; what follows it is for the next step to see.
    #[inline]
    fn literal(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word.as_bytes());
        self.position += if is_next { word.len() } else { 0 };
        is_next
    }

    /// Goes past a string without escapes, and returns what is between its quotes.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        let start = self.position;
        let length = plain_length(self.rest())?;
        self.position += length;
        self.byte(b'"')?;
        Some(&self.text[start..start + length])
    }

    /// Goes past a value, and returns it as the field's type.
    #[inline]
    fn value(&mut self, field: &Field, unescaped: &mut String) -> Option<Value<'a>> {
        let start = self.position;
        let plain = match field.data_type() {
            _ if self.literal("null") => Some(Value::Null),
            DataType::Boolean if self.literal("true") => Some(Value::Boolean(true)),
            DataType::Boolean if self.literal("false") => Some(Value::Boolean(false)),
            DataType::Utf8 => self.string().map(Value::Text),
            DataType::Int64 => self.number().and_then(|number| number.int64()).map(Value::Int64),
            DataType::Float64 => self.number().and_then(|number| number.float64()).map(Value::Float64),
            _ => None,
        };
        if plain.is_some() {
            return plain;
        }
        self.position = start;
        let text = self.any()?;
        strict::value(text, field, unescaped).ok()
    }

    /// Goes past a value that nobody asked for.
    #[inline]
    fn skip(&mut self) -> Option<()> {
        let start = self.position;
        let plain = match self.peek()? {
            b'"' => self.skip_string().is_some(),
            b'-' | b'0'..=b'9' => self.number().is_some(),
            b'n' => self.literal("null"),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            _ => false,
        };
        if !plain {
            self.position = start;
            self.any()?;
        }
        Some(())
    }

    /// Goes past a string without other escapes than those of one character.
    #[inline]
    fn skip_string(&mut self) -> Option<()> {
        self.byte(b'"')?;
        loop {
            self.position += plain_length(self.rest())?;
            match self.rest() {
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.position += 2,
                _ => return self.byte(b'"'),
            }
        }
    }

    /// Goes past any value, and returns its text.
    fn any(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.position..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let text = &rest[..values.byte_offset()];
        self.position += text.len();
        Some(text)
    }

    #[inline]
    fn number(&mut self) -> Option<Number> {
        let negative = self.byte(b'-').is_some();
        let (mut digits, start) = (0, self.position);
        let whole = self.digits(&mut digits);
        let leading_zero = whole > 1 && self.text.as_bytes()[start] == b'0';
        let fraction = match self.byte(b'.') {
            Some(()) => Some(self.digits(&mut digits)).filter(|&digits| digits > 0)?,
            None => 0,
        };
        let plain = whole > 0 && !leading_zero && whole + fraction <= DIGITS_MAX;
        (plain && !matches!(self.peek(), Some(b'e' | b'E'))).then_some(Number { negative, digits, fraction })
    }

    /// Goes past digits, appends them to a number, which may overflow, and returns how many they are.
    #[inline]
    fn digits(&mut self, number: &mut u64) -> usize {
        let start = self.position;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.position += 1;
        }
        self.position - start
    }
}

impl Number {
    #[inline]
    fn int64(&self) -> Option<i64> {
        let value = i64::try_from(self.digits).ok()?;
        (self.fraction == 0).then_some(if self.negative { -value } else { value })
    }

    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "the nearest double is asked for")]
    fn float64(&self) -> Option<f64> {
        let digits = self.digits as f64;
        let value = if self.fraction == 0 { digits } else { digits / POWERS_OF_TEN[self.fraction] };
        (self.fraction == 0 || self.digits <= EXACT_MAX).then_some(if self.negative { -value } else { value })
    }
}

/// Returns how many bytes there are before the first that is special in a string: a quote, a backslash or a control
/// character. Looks at eight at a time.
#[inline]
fn plain_length(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while let Some((word, next)) = rest.split_first_chunk() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return Some(bytes.len() - rest.len() + special.trailing_zeros() as usize / 8);
        }
        rest = next;
    }
    let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    Some(bytes.len() - rest.len() + found)
}

/// Returns a number whose lowest bit set is in the lowest special byte; 0 if there is none.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // A subtraction borrows from a byte above only where it has set the bit of the one below.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{schema::Schema, source::json::walk::*};

    fn columns() -> JsonColumns {
        let types = [("t", DataType::Utf8), ("i", DataType::Int64), ("f", DataType::Float64), ("b", DataType::Boolean)];
        let fields = types.into_iter().map(|(name, of)| Field::new(name, of, true)).collect();
        JsonColumns::new(&Schema::new(fields, 0).expect("valid")).expect("types of JSON")
    }

    fn row<'a>() -> Row<'a> {
        Row { values: vec![Value::Null; 4], unescaped: String::new() }
    }

    /// Values with what text they stand for.
    fn meaning<'a>(row: &'a Row<'_>) -> Vec<Value<'a>> {
        let plain = |value: &Value<'a>| match value {
            Value::Unescaped(range) => Value::Text(&row.unescaped[range.clone()]),
            value => value.clone(),
        };
        row.values.iter().map(plain).collect()
    }

    /// Walks documents one after the other, and says which of them could be told about; compares with the strict way.
    fn walked(documents: &[impl AsRef<[u8]>]) -> Vec<bool> {
        let (columns, mut keys) = (columns(), Keys::default());
        let mut walked = |document: &[u8]| {
            let (mut fast, mut slow) = (row(), row());
            let found = walk(document, &mut keys, &columns, &mut fast).is_some();
            let strict = strict::parse(document, &columns, &mut slow);
            if found {
                strict.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(document)));
                let bits = |row| format!("{:?}", meaning(row));
                assert_eq!(bits(&fast), bits(&slow), "{}", String::from_utf8_lossy(document));
            }
            found
        };
        documents.iter().map(|document| walked(document.as_ref())).collect()
    }

    #[test]
    fn plain_documents_are_walked() {
        let documents = [
            r#"{"t":"text","i":7,"f":0.1,"b":true,"other":"x","n":-1.5}"#,
            r#"{"t":"", "i":-7, "f":-0, "b":null, "other":{"t":[1,"}"]}, "n":1e9}"#,
            r#" { "i" : 999999999999999999 , "t" : "a text that is longer than a word, with \u00fc" } "#,
            r#"{"f":123456789012345678,"i":-0,"t":"\"quoted\""}"#,
            r#"{"f":9007199254740993.5,"i":1.0,"i":2}"#,
            r#"{"f":1234567.890123,"t":null,"i":1e3}"#,
            r#"{"b":false,"i":null,"x":true,"y":false,"z":null}"#,
        ];
        assert_eq!(walked(&documents), [true; 7]);
    }

    #[test]
    fn what_is_wrong_or_unusual_is_left_to_the_strict_way() {
        let documents: [&[u8]; 25] = [
            b"",
            b"{",
            b"{}",
            b"[]",
            b"7",
            b"{\"i\":1",
            b"{\"i\":1,}",
            b"{\"i\":1}}",
            b"{\"i\":1} x",
            b"{\"i\" 1}",
            b"{\"i\":01}",
            b"{\"i\":-}",
            b"{\"i\":1.}",
            b"{\"i\":.5}",
            b"{\"i\":1.5}",
            b"{\"i\":9223372036854775808}",
            b"{\"t\":1}",
            b"{\"t\":\"\x01\"}",
            b"{\"t\":\"\xff\"}",
            b"{\"x\":tru}",
            b"{\"x\":truefalse}",
            b"{\"b\":nulls}",
            b"{\"t\":true}",
            b"{\"x\":1 2}",
            b"{\"\\u0069\":1}",
        ];
        assert_eq!(walked(&documents), [false; 25]);
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{0,20}".prop_map(|text| format!("\"{text}\"")),
            any::<String>().prop_map(|text| serde_json::to_string(&text).expect("text")),
            "-?[0-9]{1,20}",
            "-?(0|[1-9][0-9]{0,9})\\.[0-9]{1,12}",
            "[-+0-9.eE]{1,6}",
            any::<f64>().prop_map(|number| number.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
            "(true|false|null)x?",
            Just("[{\"t\": \"]\"}, -1]".to_owned()),
        ]
    }

    fn document() -> impl Strategy<Value = String> {
        let field = ("[ \t]?", "(t|i|f|b|t|i|other|ü|\\\\u0069)", "[ \n]?", value(), "[ \r]?");
        let field =
            field.prop_map(|(before, name, behind, value, end)| format!("{before}\"{name}\"{behind}:{value}{end}"));
        proptest::collection::vec(field, 0..6).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn the_walk_takes_what_the_strict_way_takes(documents in proptest::collection::vec(document(), 1..8)) {
            walked(&documents);
        }

        #[test]
        fn a_document_cut_or_changed_is_no_other(document in document(), at: prop::sample::Index, byte: u8) {
            let mut changed = document.clone().into_bytes();
            let at = at.index(changed.len());
            changed[at] = byte;
            walked(&[document.as_bytes(), &changed, &document.as_bytes()[..at]]);
        }

        #[test]
        fn special_bytes_are_found_where_they_are(bytes: Vec<u8>) {
            let special = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(plain_length(&bytes), special);
        }
    }
}
