//! The words of the host: ids, objects, schemas, rejects, events, errors. Plain data, and what may be said of it.
//!
//! Every other module uses these types; this one uses none of the others.

pub mod error;
pub mod event;
pub mod hex;
pub mod hive;
pub mod ids;
pub mod object;
pub mod part;
pub mod position;
pub mod redact;
pub mod reject;
pub mod schema;
pub mod shared;
pub mod sizes;
pub mod slices;
pub mod times;
pub mod types;
pub mod usage;
