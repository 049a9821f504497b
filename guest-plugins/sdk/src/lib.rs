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

mod batch_builder;
#[doc(hidden)]
pub mod bindings;
mod cell;
mod config;
mod counts;
mod describe;
mod diagnostics;
mod export;
mod fields;
mod host;
mod mapper;
mod output;
mod reducer;
mod rows;
mod schema;
mod short;
mod splitter;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod text;

pub use DataType::{Binary, Boolean, Float64, Int64, Text};
pub use batch_builder::BatchBuilder;
pub use bindings::map::etl::plugin::diagnostics::Level;
pub use bindings::map::etl::plugin::types::{
    Batch, Column as BatchColumn, Context, DataType, Field, Schema, StepError, Values, Variable,
};
pub use bindings::split::etl::plugin::shards::{Shard, Slice};
pub use bindings::split::etl::plugin::source::{Object, ReadError};
pub use cell::{Cell, Row, Value};
pub use config::NoConfig;
pub use counts::Counts;
pub use describe::{Describe, SchemaText};
pub use diagnostics::{count, log};
#[doc(hidden)]
pub use export::{SDK, opened};
pub use fields::{Fields, Separator};
pub use mapper::{LineMapper, Lines, MapRunner, Mapper};
pub use output::Output;
pub use reducer::{ReduceRunner, Reducer};
pub use rows::{Bits, Bytes, Column, ColumnName, ColumnValues, Rows, Texts};
pub use splitter::{Shards, Source, SplitRunner, Splitter};
pub use text::text;
#[doc(hidden)]
pub use wit_bindgen;
