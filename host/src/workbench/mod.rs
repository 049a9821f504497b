//! The workbench: what a plugin's author tries a step with. Sample runs, laws, comparison, replay, new projects.

pub(crate) mod diff;
pub(crate) mod laws;
pub(crate) mod new;
pub(crate) mod replay;
pub(crate) mod trial;
