//! `source.fields`: the fields that are wanted, each with its type and where it is.

use arrow_schema::Field;
use etl_core::model::{error::Result, types};
use etl_format::{Fields, Pick, WantedField};
use toml::{Table, Value};

use super::{file, key::KeyPath, message, validate::Validator};

/// The most keys of a path.
const KEYS_MAX: usize = 16;

impl Validator<'_> {
    pub(super) fn fields(&self, at: &KeyPath, table: &Table) -> Result<Fields> {
        let wanted = table.iter().map(|(name, value)| self.field(&at.key(name), name, value));
        let wanted = wanted.collect::<Result<_>>()?;
        Fields::new(wanted).map_err(|error| self.wrong(at, format!("is not valid: {error}")))
    }

    fn field(&self, at: &KeyPath, name: &str, value: &Value) -> Result<WantedField> {
        let Value::Table(_) = value else {
            let what = || {
                format!("is {value}, which is not a type (types: {}; or a table with `type` and more)", types::NAMES)
            };
            let written = value.as_str().ok_or_else(|| self.wrong(at, what()))?;
            return Ok(WantedField::named(self.field_of_type(at, name, written)?));
        };
        let table: file::Field = serde_path_to_error::deserialize(value.clone()).map_err(|error| {
            let (inside, what) = message::explain(&error);
            self.wrong(&inside.segments().iter().fold(at.clone(), |at, segment| at.join(segment.clone())), what)
        })?;
        let field = self.field_of_type(&at.key("type"), name, &table.data_type)?;
        let picks = [
            ("column", table.column.map(Pick::Column)),
            ("position", self.position(&at.key("position"), table.position)?),
            ("path", self.keys(&at.key("path"), table.path)?),
        ];
        let mut picks = picks.into_iter().filter_map(|(key, pick)| Some((key, pick?)));
        let (first, pick) = picks.next().unwrap_or_else(|| ("column", Pick::Column(name.to_owned())));
        if let Some((key, _)) = picks.next() {
            let what = format!("cannot be used together with `{first}` (leave one of them out)");
            return Err(self.wrong(&at.key(key), what));
        }
        Ok(WantedField { field, pick, optional: table.optional })
    }

    fn field_of_type(&self, at: &KeyPath, name: &str, written: &str) -> Result<Field> {
        types::parse(name, written).map_err(|why| self.wrong(at, format!("is `{written}`, which {why}")))
    }

    fn position(&self, at: &KeyPath, position: Option<i64>) -> Result<Option<Pick>> {
        let Some(position) = position else { return Ok(None) };
        let found = usize::try_from(position).ok().filter(|position| *position > 0);
        let found = found.ok_or_else(|| self.wrong(at, format!("is {position}, but columns are counted from 1")))?;
        Ok(Some(Pick::Position(found)))
    }

    fn keys(&self, at: &KeyPath, path: Option<String>) -> Result<Option<Pick>> {
        let Some(path) = path else { return Ok(None) };
        let keys = keys_of(&path).ok_or_else(|| {
            self.wrong(
                at,
                format!("is `{path}`, which is no path (write `actor.login`, or `\"a.b\".c` for a key with a dot)"),
            )
        })?;
        Ok(Some(Pick::Path(keys)))
    }
}

/// Returns a field as it is written in `source.fields`: its type, or a table that says more.
pub(super) fn written(wanted: &WantedField) -> Value {
    let WantedField { field, pick, optional } = wanted;
    let mut table = Table::from_iter([("type".to_owned(), Value::from(types::type_name(field)))]);
    match pick {
        Pick::Column(name) if name == field.name() => {}
        Pick::Column(name) => _ = table.insert("column".to_owned(), name.as_str().into()),
        Pick::Position(position) => {
            _ = table.insert("position".to_owned(), Value::Integer(i64::try_from(*position).unwrap_or(i64::MAX)));
        }
        Pick::Path(keys) => _ = table.insert("path".to_owned(), path_of(keys).into()),
    }
    if *optional {
        table.insert("optional".to_owned(), true.into());
    }
    if table.len() > 1 { Value::Table(table) } else { table.remove("type").expect("it was put there") }
}

/// Returns keys as a path, as [`keys_of`] reads it.
fn path_of(keys: &[String]) -> String {
    let quoted = |key: &String| match key.contains(['.', '"', '\\']) {
        true => format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\"")),
        false => key.clone(),
    };
    keys.iter().map(quoted).collect::<Vec<_>>().join(".")
}

/// Returns the keys of a path, which stand between dots. A key in double quotes may hold dots, and `\"` for a quote.
fn keys_of(path: &str) -> Option<Vec<String>> {
    let (mut keys, mut rest) = (Vec::new(), path);
    loop {
        let (key, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_key(quoted)?,
            None => {
                let (key, behind) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                (key.to_owned(), behind)
            }
        };
        if key.is_empty() || keys.len() == KEYS_MAX {
            return None;
        }
        keys.push(key);
        rest = match behind.strip_prefix('.') {
            Some(rest) => rest,
            None => return behind.is_empty().then_some(keys),
        };
    }
}

/// Returns the key up to the closing quote, and what stands behind the quote.
fn quoted_key(text: &str) -> Option<(String, &str)> {
    let (mut key, mut chars) = (String::new(), text.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((key, &text[at + 1..])),
            '\\' => key.push(chars.next()?.1),
            _ => key.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_keys_between_dots() {
        let keys = |path| keys_of(path).map(|keys| keys.join("|"));
        assert_eq!(keys("a").as_deref(), Some("a"));
        assert_eq!(keys("actor.login").as_deref(), Some("actor|login"));
        assert_eq!(keys(r#""a.b".c."d\"e""#).as_deref(), Some(r#"a.b|c|d"e"#));
        for keys in [vec!["a"], vec!["a.b", "c"], vec!["d\"e", "f\\g"]] {
            let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
            assert_eq!(keys_of(&path_of(&keys)), Some(keys));
        }
        for wrong in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b", "\"\"", &"a.".repeat(20)] {
            assert_eq!(keys(wrong), None, "{wrong}");
        }
    }
}
