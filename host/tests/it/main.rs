//! The whole host: the real binary, plugins built from source, real stores.

mod bad_input;
mod bench;
mod browser;
mod compile_cache;
mod config;
mod crashes;
mod crimes;
mod damage;
mod diff;
mod docs;
mod examples;
mod faulty;
mod formats;
mod grants;
mod guests;
mod history;
mod hostile_components;
mod interrupts;
mod laws;
mod metrics;
mod new;
#[cfg(feature = "otlp")]
mod otlp;
mod outages;
mod poison;
mod replay;
mod report;
mod results;
mod resume;
mod sandbox;
mod scale;
mod split_crimes;
mod stores;
mod support;
mod tolerated;
mod try_step;
