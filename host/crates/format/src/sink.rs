//! The formats that a sink writes, and what each takes.

use arrow_schema::DataType;
use etl_core::model::{
    error::{Error, Result},
    schema::{Schema, type_name},
};

/// Format of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkFormat {
    /// One JSON object per line.
    Json,
    /// RFC 4180, with a header.
    Csv,
    /// One line per row, for rows of a single text or binary column.
    Lines,
}

impl SinkFormat {
    /// Returns the name of the format, as in `pipeline.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Lines => "lines",
        }
    }
}

/// Returns the file extension of a part's key.
pub fn extension(format: SinkFormat) -> &'static str {
    match format {
        SinkFormat::Json => "json",
        SinkFormat::Csv => "csv",
        SinkFormat::Lines => "txt",
    }
}

/// Checks that rows of `schema` can be written in `format`. The formats `json` and `csv` take boolean, int64, float64
/// and text; `lines` takes one column of text or binary. All formats take nulls.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), which names the field and the choices.
pub fn check_schema(format: SinkFormat, schema: &Schema) -> Result<()> {
    let fields = schema.fields.fields();
    match format {
        SinkFormat::Lines => match fields.as_ref() {
            [field] if matches!(field.data_type(), DataType::Utf8 | DataType::Binary) => Ok(()),
            _ => Err(Error::config(format!(
                "a `lines` sink takes one column of text or binary, not ({schema}): emit that, or use `json` or `csv`"
            ))),
        },
        SinkFormat::Json | SinkFormat::Csv => match fields.iter().find(|field| !is_printable(field.data_type())) {
            None => Ok(()),
            Some(field) => Err(Error::config(format!(
                "a `{}` sink cannot take field `{}`, which is {} (it takes boolean, int64, float64 and text; a single \
                 binary column can go to `lines`)",
                format.name(),
                field.name(),
                type_name(field.data_type())
            ))),
        },
    }
}

fn is_printable(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Utf8)
}

#[cfg(test)]
mod tests {
    use arrow_schema::Field;

    use super::*;

    fn schema(types: &[DataType]) -> Schema {
        let field = |(index, data_type): (usize, &DataType)| Field::new(format!("f{index}"), data_type.clone(), true);
        Schema::new(types.iter().enumerate().map(field).collect(), 0).expect("valid")
    }

    #[test]
    fn binary_goes_to_lines_only_and_alone() {
        for format in [SinkFormat::Json, SinkFormat::Csv] {
            check_schema(format, &schema(&[DataType::Utf8, DataType::Int64])).expect("fits");
            let error = check_schema(format, &schema(&[DataType::Utf8, DataType::Binary])).expect_err("binary");
            assert!(error.to_string().contains("field `f1`, which is binary"), "{error}");
        }
        for data_type in [DataType::Utf8, DataType::Binary] {
            check_schema(SinkFormat::Lines, &schema(&[data_type])).expect("fits");
        }
        for types in [&[DataType::Int64][..], &[DataType::Utf8, DataType::Utf8]] {
            let error = check_schema(SinkFormat::Lines, &schema(types)).expect_err("does not fit");
            assert!(error.to_string().contains("f0"), "{error}");
        }
    }
}
