//! Parser of documents by a single walk, for documents whose keys and values are plain, as most are in most sources.
//!
//! Does not define what a document means. If it accepts a document, it takes the same values as
//! [`strict`](super::strict). If it cannot decide about a document, valid or not, it does not accept it. Values that
//! are not plain are left to `serde_json`, one by one.

use std::mem;

use arrow_schema::{DataType, Field};
use etl_core::model::types::is_json;
use serde::de::IgnoredAny;

use super::{
    row::{DOCUMENT, JsonColumns, Row, Wanted},
    strict,
};
use crate::columns::Value;

/// Number of keys of a document that are kept for the next one, and maximum length in bytes of such a key.
const KEYS_MAX: usize = 256;
const KEY_BYTES_MAX: usize = 256;

/// A number of up to this many digits fits in 64 bits.
const DIGITS_MAX: usize = 18;

/// All integers up to this one are exact doubles. Dividing one of them by a power of ten that is an exact double, too,
/// therefore rounds only once.
const EXACT_MAX: u64 = 1 << 53;

/// Powers of ten that are exact doubles, as far as they are needed.
const POWERS_OF_TEN: [f64; DIGITS_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// Keys of earlier documents, by the object and their place in it. Most documents have the same keys, written the same way,
/// and comparing a key takes less time than reading it.
#[derive(Default)]
pub(super) struct Keys(Vec<Vec<Key>>);

struct Key {
    /// Text of the key, from its opening quote up to its value.
    text: String,
    /// The number of what is asked for under the key.
    wanted: Option<usize>,
    /// The text as an integer if it is short, and a mask of the bits that are the text's.
    short: Option<(u128, u128)>,
}

const SHORT_BYTES: usize = size_of::<u128>();

/// Takes the asked-for fields of a document into a row of nulls. Returns `None` if it cannot decide about the document;
/// the row may then hold some values.
pub(super) fn walk<'a>(document: &'a [u8], keys: &mut Keys, columns: &JsonColumns, row: &mut Row<'a>) -> Option<()> {
    let mut cursor = Cursor { text: str::from_utf8(document).ok()?, position: 0 };
    cursor.space();
    walk_object(&mut cursor, DOCUMENT, keys, columns, row)?;
    cursor.space();
    cursor.rest().is_empty().then_some(())
}

/// Takes the asked-for fields of the object that comes next.
fn walk_object<'a>(
    cursor: &mut Cursor<'a>,
    object: usize,
    keys: &mut Keys,
    columns: &JsonColumns,
    row: &mut Row<'a>,
) -> Option<()> {
    cursor.byte(b'{')?;
    for place in 0.. {
        cursor.space();
        match keys.read(object, place, cursor, columns)? {
            None => cursor.skip()?,
            Some(number) => match columns.wanted(object, number) {
                (_, Wanted::Column(column)) => {
                    let field = columns.schema.field(*column);
                    row.values[*column] = cursor.value(field, &mut row.unescaped)?;
                }
                (_, Wanted::Object(inner)) if cursor.peek() == Some(b'{') => {
                    columns.clear(*inner, row);
                    walk_object(cursor, *inner, keys, columns, row)?;
                }
                (key, wanted) => strict::take(cursor.any()?, key, wanted, columns, row).ok()?,
            },
        }
        cursor.space();
        if cursor.byte(b',').is_none() {
            break;
        }
    }
    cursor.byte(b'}')
}

impl Keys {
    /// Reads the next key of an object, with the colon and the white space behind it. Returns the number of what is
    /// asked for under the key, if anything is.
    fn read(
        &mut self,
        object: usize,
        place: usize,
        cursor: &mut Cursor<'_>,
        columns: &JsonColumns,
    ) -> Option<Option<usize>> {
        if let Some(key) = self.0.get(object).and_then(|keys| keys.get(place))
            && key.is_at(cursor.rest())
        {
            cursor.position += key.text.len();
            cursor.space();
            return Some(key.wanted);
        }
        let start = cursor.position;
        let name = cursor.string()?;
        cursor.space();
        cursor.byte(b':')?;
        cursor.space();
        let wanted = columns.find(object, name);
        self.keep(object, place, &cursor.text[start..cursor.position], wanted);
        Some(wanted)
    }

    fn keep(&mut self, object: usize, place: usize, text: &str, wanted: Option<usize>) {
        if place >= KEYS_MAX || text.len() > KEY_BYTES_MAX {
            return;
        }
        if self.0.len() <= object {
            self.0.resize_with(object + 1, Vec::new);
        }
        let keys = &mut self.0[object];
        let places = keys.len();
        match keys.get_mut(place) {
            Some(key) => *key = Key::new(mem::take(&mut key.text), text, wanted),
            None if place == places => keys.push(Key::new(String::new(), text, wanted)),
            None => {}
        }
    }
}

impl Key {
    /// Creates a key, reusing the memory of another key's text.
    fn new(mut reused: String, text: &str, wanted: Option<usize>) -> Self {
        reused.clear();
        reused.push_str(text);
        let mut bytes = [0; SHORT_BYTES];
        let short = bytes.get_mut(..text.len()).map(|bytes| bytes.copy_from_slice(text.as_bytes()));
        let mask = u128::MAX.checked_shr(8 * SHORT_BYTES.saturating_sub(text.len()) as u32).unwrap_or(0);
        Self { text: reused, wanted, short: short.map(|()| (u128::from_le_bytes(bytes), mask)) }
    }

    /// Returns whether the rest of a document starts with this key.
    #[inline]
    fn is_at(&self, rest: &[u8]) -> bool {
        match (self.short, rest.first_chunk()) {
            (Some((text, mask)), Some(first)) => u128::from_le_bytes(*first) & mask == text,
            _ => rest.starts_with(self.text.as_bytes()),
        }
    }
}

/// A position in a document. A method returns `None` if the document is not as the method expects.
struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

/// A number without an exponent, of at most [`DIGITS_MAX`] digits.
struct Number {
    negative: bool,
    /// All digits, as one integer.
    digits: u64,
    /// Number of digits behind the point.
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

    /// Moves past `byte` if it comes next.
    #[inline]
    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.position += 1)
    }

    /// Moves past `word` if it comes next, and returns whether it did. Does not look at what follows the word.
    #[inline]
    fn literal(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word.as_bytes());
        self.position += if is_next { word.len() } else { 0 };
        is_next
    }

    /// Moves past a string without escapes, and returns the text between its quotes.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        let start = self.position;
        let length = plain_length(self.rest())?;
        self.position += length;
        self.byte(b'"')?;
        Some(&self.text[start..start + length])
    }

    /// Moves past a value, and returns it as the field's type.
    #[inline]
    fn value(&mut self, field: &Field, unescaped: &mut String) -> Option<Value<'a>> {
        let start = self.position;
        let plain = match field.data_type() {
            _ if self.literal("null") => Some(Value::Null),
            DataType::Boolean if self.literal("true") => Some(Value::Boolean(true)),
            DataType::Boolean if self.literal("false") => Some(Value::Boolean(false)),
            DataType::Utf8 if !is_json(field) => self.string().map(Value::Text),
            DataType::Int64 => self.number().and_then(|number| number.int64()).map(Value::Int64),
            DataType::Float64 => self.number().and_then(|number| number.float64()).map(Value::Float64),
            _ => None,
        };
        if plain.is_some() {
            return plain;
        }
        self.position = start;
        let text = self.any()?;
        strict::value(text, field, unescaped)
    }

    /// Moves past a value that is not asked for.
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

    /// Moves past a string whose escapes, if any, are of one character.
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

    /// Moves past any value, and returns its text.
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

    /// Moves past digits and appends them to `number`, which may overflow. Returns the number of digits.
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
    #[expect(clippy::cast_precision_loss, reason = "`float64` takes the nearest double")]
    fn float64(&self) -> Option<f64> {
        let digits = self.digits as f64;
        let value = if self.fraction == 0 { digits } else { digits / POWERS_OF_TEN[self.fraction] };
        (self.fraction == 0 || self.digits <= EXACT_MAX).then_some(if self.negative { -value } else { value })
    }
}

/// Returns the number of bytes before the first special byte of a string: a quote, a backslash or a control character.
/// Looks at eight bytes at a time.
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

/// Returns a number whose lowest set bit is in the lowest special byte, or 0 if there is none.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // A byte borrows from the byte above it only if its own bit is set, so the lowest set bit is never wrong.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use etl_core::model::schema::Schema;

    /// Columns of many types, of which one lies inside an object that is also a column.
    fn columns() -> JsonColumns {
        let fields = ["t=text", "i=int64", "f=float64", "b=boolean", "x=int64", "o=json", "l=list<text>"];
        let schema = Schema::parse(&fields.map(str::to_owned), 0).expect("valid");
        let paths = [&["t"][..], &["i"], &["f"], &["b"], &["o", "x"], &["o"], &["l"]];
        JsonColumns::new(&schema, &paths.map(|path| path.iter().map(|key| (*key).to_owned()).collect()))
    }

    fn row<'a>() -> Row<'a> {
        Row::new(7)
    }

    /// Returns the values, with the text that each `Unescaped` value stands for.
    fn meaning<'a>(row: &'a Row<'_>) -> Vec<Value<'a>> {
        let plain = |value: &Value<'a>| match value {
            Value::Unescaped(range) => Value::Text(&row.unescaped[range.clone()]),
            value => value.clone(),
        };
        row.values.iter().map(plain).collect()
    }

    /// Walks documents one after the other, and returns for each whether the walk accepted it. Compares accepted
    /// documents with the strict parser.
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
            r#"{"o":{"x":7,"y":[{}]},"l":["a","\u00fc",null]}"#,
            r#"{"o":{"x":7},"o":{"y":{"x":8}},"l":null}"#,
            r#"{"o":null,"l":[]}"#,
        ];
        assert_eq!(walked(&documents), [true; 10]);
    }

    #[test]
    fn what_is_wrong_or_unusual_is_left_to_the_strict_way() {
        let documents: [&[u8]; 29] = [
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
            b"{\"o\":7}",
            b"{\"o\":{\"x\":\"7\"}}",
            b"{\"l\":[1]}",
            b"{\"l\":[\"a\",]}",
        ];
        assert_eq!(walked(&documents), [false; 29]);
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
            "\\{(\"x\": ?[0-9n]{1,2},?){0,2}\\}",
            "\\[(\"[ab\\\\]{0,2}\",? ?){0,3}\\]",
        ]
    }

    fn document() -> impl Strategy<Value = String> {
        let field = ("[ \t]?", "(t|i|f|b|t|i|o|l|other|ü|\\\\u0069)", "[ \n]?", value(), "[ \r]?");
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
