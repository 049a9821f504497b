//! The whole host: the real binary, plugins built from source, real stores.

#![expect(clippy::disallowed_methods, reason = "tests hand on their environment, and compare clocks")]

mod bad_input;
mod bench;
mod browser;
mod compile_cache;
mod config;
mod conformance;
mod crashes;
mod crimes;
mod damage;
mod diff;
mod docs;
mod examples;
mod faulty;
mod floors;
mod formats;
mod grants;
mod guests;
mod history;
mod hooked;
mod hostile_components;
mod interrupts;
mod laws;
mod metrics;
mod new;
mod order;
mod otlp;
mod outages;
mod outside;
mod poison;
mod races;
mod replay;
mod report;
mod results;
mod resume;
mod sandbox;
mod scale;
mod speculative;
mod split_crimes;
mod stores;
mod support;
mod tolerated;
mod try_step;
mod values;
