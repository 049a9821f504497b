//! Map step: takes the city and the number of pieces from each order.

use etl_plugin::{Context, Describe, LineMapper, Output, Record, Schema, StepError};

/// `[map.config]` of pipeline.toml.
#[derive(serde::Deserialize, Describe)]
#[serde(default)]
struct Config {
    /// The character between the fields of a line.
    #[describe(default = ',')]
    separator: char,
}

/// A row that the step emits: a column for each field. Fields may have any type that columns can have.
#[derive(Record)]
struct Pieces<'a> {
    #[record(key)]
    city: &'a str,
    pieces: i64,
}

/// The step. One value handles one shard and is then dropped.
struct PiecesByCity {
    config: Config,
}

impl LineMapper for PiecesByCity {
    type Config = Config;

    fn open(config: Config, _: &Context) -> Result<Self, StepError> {
        Ok(Self { config })
    }

    fn schema(&self) -> Schema {
        Schema::of::<Pieces>()
    }

    fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
        let Ok(line) = str::from_utf8(line) else {
            return out.reject("the line is not UTF-8");
        };
        let mut fields = line.split(self.config.separator);
        let (Some(_order), Some(city), Some(pieces)) = (fields.next(), fields.next(), fields.next()) else {
            return out.reject("the line lacks a city or a number of pieces");
        };
        match pieces.parse::<i64>() {
            Ok(pieces) => out.emit(Pieces { city, pieces }),
            Err(_) => out.reject(format!("`{pieces}` is not a number of pieces")),
        }
    }
}

etl_plugin::export_line_mapper!(PiecesByCity);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::testing::{json, map_lines, rows};

    #[test]
    fn a_line_becomes_a_row_and_a_bad_one_a_reject() {
        let lines = ["1001,Chur,34,473.98", "1099,Bern"];
        let outcome = map_lines::<PiecesByCity>(json!({}), lines).unwrap();
        assert_eq!(outcome.rows, rows([("Chur", 34)]));
        assert_eq!(outcome.rejects, [(1, "the line lacks a city or a number of pieces".to_owned())]);
    }

    #[test]
    fn the_separator_can_be_set() {
        let outcome = map_lines::<PiecesByCity>(json!({ "separator": ";" }), ["1001;Chur;34"]).unwrap();
        assert_eq!(outcome.rows, rows([("Chur", 34)]));
    }
}
