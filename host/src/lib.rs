//! `etl-host`: runs user-defined ETL steps, compiled to WebAssembly components, over data in object stores.
//!
//! ```text
//! pipeline.toml ─► pipeline ─► run ─► plan ─► split, map, reduce ─► result
//!                                │              │    │      │
//!                                │              └────┴──────┴─► plugin    components in their sandboxes
//!                                │                   │      │
//!                                │                   └──────┴─► shuffle   rows of one key, together and in order
//!                                ├─► scheduler                            slots, retries, cancellation
//!                                └─► commit, store, source, sink          objects
//! ```
//! Start reading at [`run`]: it shows the whole data flow on one page. Modules import only downwards: what a plugin is
//! given knows no store, the scheduler knows no plugin, and [`layout`] alone builds object keys.

pub mod blocking;
pub mod chain;
pub mod check;
pub mod clean;
pub mod cli;
pub mod combine;
pub mod commit;
pub mod config_schema;
pub mod context;
pub mod diff;
pub mod error;
pub mod event;
pub mod event_log;
pub mod fail_point;
pub mod failures;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hex;
pub mod history;
pub mod input;
pub mod json;
pub mod laws;
pub mod layout;
pub mod ledger;
pub mod left_out;
pub mod manifest;
pub mod map;
pub mod memory;
pub mod nearest;
pub mod output;
pub mod pipeline;
pub mod plan;
pub mod plugin;
pub mod poison;
pub mod project;
pub mod records;
pub mod redrive;
pub mod reduce;
pub mod reject;
pub mod reject_log;
pub mod replay;
pub mod report;
pub mod resume;
pub mod rows;
pub mod run;
pub mod run_files;
pub mod scheduler;
pub mod schema;
pub mod scratch;
pub mod shards;
pub mod shared;
pub mod shuffle;
pub mod sink;
pub mod source;
pub mod split;
pub mod steps;
pub mod store;
pub mod stores;
pub mod times;
pub mod trial;
pub mod upload;
pub mod usage;
pub mod workers;
