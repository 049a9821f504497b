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

pub mod cli;
pub mod connector;
pub mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod history;
pub mod model;
pub mod pipeline;
pub mod plugin;
pub mod report;
pub mod run;
pub mod run_store;
pub mod runtime;
pub mod scheduler;
pub mod shuffle;
pub mod store;
pub mod task;
pub mod text;
pub mod workbench;
