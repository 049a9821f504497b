//! A map step to try the splitter with: emits each line and its length. Replace it with one of your own.

use etl_plugin::{Context, Int64, LineMapper, NoConfig, Output, Schema, StepError, Text};

struct Lengths;

impl LineMapper for Lengths {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
        Ok(Self)
    }

    fn schema(&self) -> Schema {
        Schema::new().value("line", Text).value("length", Int64)
    }

    fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
        match str::from_utf8(line) {
            Ok(text) => out.emit((text, line.len() as i64)),
            Err(_) => out.reject("the line is not UTF-8"),
        }
    }
}

etl_plugin::export_line_mapper!(Lengths);
