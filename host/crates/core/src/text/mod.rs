//! How things are written for people: numbers, tables, rows, commands, suggestions.
//!
//! Owns the form of a text, not where it is shown.

pub mod command;
pub mod entries;
pub mod nearest;
pub mod numbers;
pub mod rows;
pub mod table;
pub mod variables;
