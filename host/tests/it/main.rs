//! The whole host: the real binary, plugins built from source, real stores.

mod bad_input;
mod bench;
mod compile_cache;
mod config;
mod crashes;
mod crimes;
mod damage;
mod examples;
mod faulty;
mod formats;
mod grants;
mod guests;
mod history;
mod hostile_components;
mod interrupts;
mod new;
mod outages;
mod poison;
mod results;
mod resume;
mod sandbox;
mod scale;
mod split_crimes;
mod stores;
mod support;
mod try_step;
