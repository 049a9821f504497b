//! A map step to try the reducer with: emits the city and the pieces of each order. Replace it with one of your own.

use etl_plugin::{Context, Int64, LineMapper, NoConfig, Output, Schema, StepError, Text};

struct Orders;

impl LineMapper for Orders {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
        Ok(Self)
    }

    fn schema(&self) -> Schema {
        Schema::new().key("city", Text).value("pieces", Int64)
    }

    fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.split(',').skip(1);
        match (fields.next(), fields.next().map(str::parse::<i64>)) {
            (Some(city), Some(Ok(pieces))) => out.emit((city, pieces)),
            _ => out.reject("the line lacks a city or a number of pieces"),
        }
    }
}

etl_plugin::export_line_mapper!(Orders);
