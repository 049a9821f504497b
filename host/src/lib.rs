//! `etl-host`: runs user-defined ETL steps, compiled to WebAssembly components, over data in object stores.
//!
//! ```text
//! pipeline.toml ─► pipeline ─► run ─► plan ─► split, map, reduce ─► result
//!                                │              │    │      │
//!                                │              └────┴──────┴─► etl_plugin    components in their sandboxes
//!                                │                   │      │
//!                                │                   └──────┴─► etl_shuffle   rows of one key, together and in order
//!                                ├─► scheduler                                slots, retries, cancellation
//!                                └─► run_store, connector ─► etl_store        documents of a run, data in and out
//! ```
//! The rooms of the host stand on floors, and a room imports only from floors below its own:
//!
//! | floor | rooms |
//! | --- | --- |
//! | 7 | [`cli`]: arguments in, text out |
//! | 6 | `workbench`: for authors of plugins |
//! | 5 | [`run`]: one execution; `report`: what an operator sees of it |
//! | 4 | [`task`]: one attempt at one task; [`history`]: earlier runs, read back |
//! | 3 | [`pipeline`]: `pipeline.toml`; [`run_store`]: what a run writes down; [`connector`]: sources and sinks |
//! | 2 | [`scheduler`]; the crates `etl_format`, `etl_store`, `etl_shuffle`, `etl_plugin` |
//! | 1 | the crate `etl_core`: the words, the runtime, texts |
//!
//! Start reading at [`run`]: it shows the whole data flow on one page.

pub mod cli;
pub mod connector;
pub mod history;
pub mod pipeline;
mod report;
pub mod run;
pub mod run_store;
pub mod scheduler;
pub mod task;
mod workbench;
