//! Placeholder.

use tokio_util::sync::CancellationToken;

use crate::{
    error::{Error, Result},
    event::Events,
    pipeline::Pipeline,
};

/// Placeholder.
#[derive(Debug, Default)]
pub struct RunOptions {
    /// Placeholder.
    pub run_id: Option<String>,
    /// Placeholder.
    pub cancel: CancellationToken,
}

/// Placeholder.
#[derive(Debug)]
pub struct Outcome {
    /// Placeholder.
    pub run_id: String,
    /// Placeholder.
    pub already_done: bool,
}

/// Placeholder.
pub async fn run(_pipeline: &Pipeline, _options: RunOptions, _events: &Events) -> Result<Outcome> {
    Err(Error::internal("placeholder"))
}
