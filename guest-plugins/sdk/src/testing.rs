//! Runs steps natively, in an ordinary `#[test]`, and returns their output.
//!
//! A mapper or reducer runs twice, with its input in one batch and in a batch for each row. If the two results differ,
//! the function panics, because the host may cut batches in any way.
//!
//! ```
//! # use etl_plugin::{Context, Int64, LineMapper, NoConfig, Output, Schema, StepError};
//! # struct Lengths;
//! # impl LineMapper for Lengths {
//! #     type Config = NoConfig;
//! #     fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> { Ok(Self) }
//! #     fn schema(&self) -> Schema { Schema::new().value("length", Int64) }
//! #     fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
//! #         if line.is_empty() { return out.reject("the line is empty"); }
//! #         out.emit((line.len() as i64,))
//! #     }
//! # }
//! use etl_plugin::testing::{json, map_lines, rows};
//!
//! let outcome = map_lines::<Lengths>(json!({}), ["one", "", "three"])?;
//! assert_eq!(outcome.rows, rows([(3,), (5,)]));
//! assert_eq!(outcome.rejects, [(1, "the line is empty".to_owned())]);
//! # Ok::<(), StepError>(())
//! ```

mod cells;
pub(crate) mod host;
mod run;

pub use crate::OwnedCell;
pub use cells::rows;
pub use host::{InMemoryObject, Outcome, Shard, Split};
pub use run::{combine_rows, map_lines, map_rows, reduce_rows, split};
pub use serde_json::{Value as Json, json};
