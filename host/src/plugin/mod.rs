//! Plugins: components that implement a step, and their sandboxed instances.
//!
//! Owns everything that knows wasm: the engine, loading and checking components, instances, their limits, and the
//! functions they may call. Is handed batches and callbacks, never a store: a plugin cannot name an object.
//!
//! - [`Engine`] compiles; one per process. [`Cache`] keeps what it compiled.
//! - [`Plugin`] is a loaded component; [`Plugin::map`], [`Plugin::reduce`] and [`Plugin::split`] make instances.
//! - [`Mapper`], [`Reducer`] and [`Splitter`] are opened instances, one per attempt, dropped after it.

pub(crate) mod batch;
pub(crate) mod bindings;
mod cache;
mod component;
mod emitted;
mod engine;
pub(crate) mod grants;
mod instance;
mod limits;
mod settings;
mod splitter;
mod state;
mod stdio;
mod trap;
mod wasi;

pub use cache::Cache;
pub use component::{Inspection, Interface, inspect};
pub use engine::{Engine, Plugin, STACK_BYTES_MAX};
pub use grants::Grants;
pub use instance::{Mapper, Reducer, Task, Usage};
pub use settings::{Limits, PluginSettings};
pub use splitter::{DraftShard, ReadError, SourceView, Splitter};
pub use state::{Emit, RejectedRow};
pub use trap::Failure;
