//! Write steps for etl-host in Rust: a mapper, reducer or splitter is a struct with a typed configuration, compiled to
//! a WebAssembly component.
//!
//! A step sees its records and its configuration, nothing else, and emits the same rows on every run. A record costs no
//! call to the host: a step reads its input in place, column by column, and its output leaves in batches of about
//! 256 KiB.
//!
//! | step | trait | export |
//! | --- | --- | --- |
//! | map, line by line | [`LineMapper`] | [`export_line_mapper!`] |
//! | map, by columns | [`Mapper`] | [`export_mapper!`] |
//! | reduce, combine | [`Reducer`] | [`export_reducer!`] |
//! | split | [`Splitter`] | [`export_splitter!`] |
//!
//! A whole map plugin, with its test:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use etl_plugin::{Context, Int64, LineMapper, NoConfig, Output, Schema, StepError, Text};
//!
//! #[derive(Default)]
//! struct CountByType {
//!     counts: BTreeMap<String, i64>,
//! }
//!
//! impl LineMapper for CountByType {
//!     type Config = NoConfig;
//!
//!     fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
//!         Ok(Self::default())
//!     }
//!
//!     fn schema(&self) -> Schema {
//!         Schema::new().key("type", Text).value("count", Int64)
//!     }
//!
//!     fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
//!         let Ok(kind) = etl_plugin::text(line) else {
//!             return out.reject("the line is not UTF-8");
//!         };
//!         *self.counts.entry(kind.to_owned()).or_default() += 1;
//!         Ok(())
//!     }
//!
//!     fn finish(&mut self, out: &mut Output) -> Result<(), StepError> {
//!         self.counts.iter().try_for_each(|(kind, count)| out.emit((kind, *count)))
//!     }
//! }
//!
//! etl_plugin::export_line_mapper!(CountByType);
//!
//! // in an ordinary #[test]:
//! use etl_plugin::testing::{json, map_lines, rows};
//!
//! let outcome = map_lines::<CountByType>(json!({}), ["data_2", "data_1", "data_2"])?;
//! assert_eq!(outcome.rows, rows([("data_1", 1), ("data_2", 2)]));
//! # Ok::<(), StepError>(())
//! ```
//!
//! The crate of a step has `crate-type = ["cdylib"]` and is built with `cargo build --release --target wasm32-wasip2`.
//!
//! # Rows as structs
//! [`Rows`] gives columns, which is the fastest way to read. [`Record`] makes rows of a struct:
//!
//! ```
//! use etl_plugin::{Context, Decimal, Mapper, NoConfig, Output, Record, Rows, Schema, StepError, Timestamp};
//!
//! #[derive(Record)]
//! struct Order<'a> {
//!     #[record(key)]
//!     city: &'a str,
//!     #[record(timestamp(us, "UTC"))]
//!     at: Timestamp,
//!     #[record(decimal(10, 2))]
//!     price: Decimal,
//!     tags: Vec<&'a str>,
//! }
//!
//! struct Cheap;
//!
//! impl Mapper for Cheap {
//!     type Config = NoConfig;
//!
//!     fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
//!         Ok(Self)
//!     }
//!
//!     fn schema(&self) -> Schema {
//!         Schema::of::<Order>()
//!     }
//!
//!     fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
//!         for (row, order) in rows.records::<Order>()?.enumerate() {
//!             if order.price < 20.into() {
//!                 out.from_row(row).emit(&order)?;
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//! ```
//!
//! # Configuration
//! A step's configuration is a type with `#[derive(serde::Deserialize, etl_plugin::Describe)]`. [`Describe`] puts a
//! description of the type into the plugin's file, doc comments included. `etl-host` shows the description and checks
//! configurations against it.
//!
//! # The same bytes on every run
//! The order in which a step emits different keys does not matter, since the host sorts rows by key. The order among
//! rows of one key, and of rows without a key, does matter. Iterating over `std`'s `HashMap` gives the same order in
//! every run of a component, because the host seeds a step's random numbers, but not in native code. In code that is
//! tested natively, sort, use a `BTreeMap`, or count with [`Counts`].
//!
//! # Errors
//! [`Output::reject`] sets a bad record aside. A [`StepError`] fails the task; its variant says whether trying again
//! can help. A panic fails the task, too, with its message and source line.

// The bindings' macros use the path `etl_plugin`, which must resolve inside this crate as well.
extern crate self as etl_plugin;

mod any_column;
mod batch_builder;
#[doc(hidden)]
pub mod bindings;
mod cell;
mod column;
mod column_builder;
mod column_values;
mod config;
mod context;
mod counts;
mod data_type;
mod decimal;
mod describe;
mod diagnostics;
mod export;
mod fields;
mod half;
mod host;
mod mapper;
mod output;
mod owned_cell;
mod record;
mod record_field;
mod reducer;
mod rows;
mod schema;
mod short;
mod splitter;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod text;
mod time;
mod time_text;
mod value;
mod wire;

pub use DataType::{
    Binary, Boolean, Float16, Float32, Float64, Int8, Int16, Int32, Int64, Json, Text, UInt8, UInt16, UInt32, UInt64,
};
pub use any_column::{AnyColumn, Map};
pub use batch_builder::{Batch, BatchBuilder};
pub use bindings::map::etl::plugin::diagnostics::Level;
pub use bindings::map::etl::plugin::types::StepError;
pub use bindings::split::etl::plugin::shards::Slice;
pub use bindings::split::etl::plugin::source::{Object, ReadError};
pub use cell::{Cell, Nested, Parts};
pub use column::{Column, ColumnValues};
pub use column_values::{
    Bits, Blobs, Bytes, Dates, Decimals, Durations, FixedBytes, Halves, Lists, Maps, Number, Numbers, Singles, Structs,
    Texts, Times, Timestamps,
};
pub use config::NoConfig;
pub use context::Context;
pub use counts::Counts;
pub use data_type::{DataType, Unit};
pub use decimal::{Decimal, NotDecimal};
pub use describe::{Describe, SchemaText};
pub use diagnostics::{count, log};
#[doc(hidden)]
pub use export::{SDK, opened};
pub use fields::{Fields, Separator};
pub use mapper::{LineMapper, Lines, MapRunner, Mapper};
pub use output::Output;
pub use owned_cell::OwnedCell;
pub use record::{Record, Records};
pub use record_field::{ColumnType, RecordField};
pub use reducer::{ReduceRunner, Reducer};
pub use rows::{ColumnName, Rows};
pub use schema::{Field, Schema};
pub use splitter::{Shards, Source, SplitRunner, Splitter};
pub use text::text;
pub use time::{Date, Duration, Time, Timestamp};
pub use time_text::NotTime;
pub use value::{Item, Row, Value};
#[doc(hidden)]
pub use wit_bindgen;
