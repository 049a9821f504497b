//! The workbench: what a plugin's author tries a step with. Sample runs, laws, comparison, replay, new projects.

pub mod diff;
pub mod laws;
pub mod new;
pub mod replay;
pub mod trial;
