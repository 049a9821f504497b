//! Plugins: components that implement a step, and their sandboxed instances.
//!
//! Owns all code that knows about wasm: the engine, loading and checking components, instances, their limits, and the
//! functions they may call. Receives batches and callbacks from its callers, never a store, so a plugin cannot reach an
//! object by itself.
//!
//! - [`Engine`] loads components; a process needs one. [`Compiler`] compiles them in a process of its own, and [`Cache`]
//!   keeps what it compiled on local disk.
//! - [`Plugin`] is a loaded component. [`Plugin::map`], [`Plugin::reduce`] and [`Plugin::split`] create instances.
//! - [`Mapper`], [`Reducer`] and [`Splitter`] are opened instances. Each serves one attempt and is then dropped.

mod allowance;
mod batch;
mod bindings;
mod cache;
mod compiler;
mod component;
pub mod config_schema;
mod emitted;
mod engine;
mod formats;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod grants;
mod imports;
mod instance;
mod last_words;
mod limits;
mod loaded;
mod mapper;
mod reducer;
mod scan;
mod settings;
mod source_view;
mod splitter;
mod state;
mod stdio;
mod structure;
mod symbols;
mod trap;
mod values;
mod world;

pub use allowance::COUNTERS_MAX;
pub use cache::Cache;
pub use compiler::{COMPILER, Compiler, serve};
pub use component::{Inspection, Interface};
pub use engine::{Engine, STACK_BYTES_MAX};
pub use grants::{CHOICES as GRANTS, Grants};
pub use instance::{Attempt, InstanceUsage};
pub use limits::{HOSTCALL_BYTES_MAX, ROW_BYTES_MAX};
pub use loaded::Plugin;
pub use mapper::Mapper;
pub use reducer::Reducer;
pub use settings::{Limits, PluginSettings};
pub use source_view::{DraftShard, ReadError, SourceView};
pub use splitter::Splitter;
pub use state::{Emit, RejectedRow};
pub use trap::Failure;
