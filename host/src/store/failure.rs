//! What a store's error means for the operator.
//!
//! Owns the classing of `object_store` errors, which for the cloud stores are partly known by their text only, and
//! their wording: those errors print their causes themselves, so printing the chain as well would say things twice.

use std::{error::Error as StdError, io};

use object_store::Error as StoreError;

use crate::error::{Error, ErrorKind, io_kind};

/// What a request says when no credentials were found anywhere else and the machine has none to give either.
const METADATA_SERVICES: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];

/// What the stores answer when the bucket or container is not there.
const MISSING_BUCKETS: [&str; 3] = ["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"];

/// Classes an error that came out of a reader or writer over a store, or out of local disk.
#[must_use]
pub fn classify_io(error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<StoreError>()) {
        Some(error) => classify(error),
        None => Error::from_io(error),
    }
}

/// Returns the library's error for a store's, as one message.
pub(super) fn classify(error: &StoreError) -> Error {
    let text = describe(error);
    let (kind, hint) = match error {
        _ if bucket_is_missing(error) => (ErrorKind::Config, "no such bucket or container"),
        _ if is_unsupported(error) => (ErrorKind::Config, "not offered by the store"),
        StoreError::Unauthenticated { .. } | StoreError::PermissionDenied { .. } => {
            (ErrorKind::Config, "bad credentials or missing permission")
        }
        StoreError::NotFound { .. } => (ErrorKind::Unavailable, "not found"),
        StoreError::InvalidPath { .. } => (ErrorKind::Config, "not a name an object can have"),
        StoreError::UnknownConfigurationKey { .. } => (ErrorKind::Config, ""),
        // Their text may hold a status that is a refusal elsewhere.
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotModified { .. } => {
            (ErrorKind::Unavailable, "")
        }
        _ => match find::<io::Error>(error) {
            Some(error) if io_kind(error) == ErrorKind::Config => (ErrorKind::Config, ""),
            _ => generic(&text),
        },
    };
    let separator = if hint.is_empty() { "" } else { ": " };
    Error::new(kind, anyhow::anyhow!("{hint}{separator}{text}"))
}

/// Returns whether an error says that there is no such bucket, rather than no such object.
pub(super) fn bucket_is_missing(error: &StoreError) -> bool {
    let text = error.to_string();
    MISSING_BUCKETS.iter().any(|answer| text.contains(answer))
}

/// Returns whether an error says that the store has no such operation, and never will.
pub(super) fn is_unsupported(error: &StoreError) -> bool {
    matches!(error, StoreError::NotImplemented { .. } | StoreError::NotSupported { .. })
        || error.to_string().contains("status code: 501")
}

/// Classes what `object_store` has no variant for.
fn generic(text: &str) -> (ErrorKind, &'static str) {
    if METADATA_SERVICES.iter().any(|host| text.contains(host)) {
        return (ErrorKind::Config, "no credentials in `[store_options]`, the environment or this machine");
    }
    if text.contains("scheme is not allowed") {
        return (ErrorKind::Config, "an `http` endpoint needs `allow_http = \"true\"` in `[store_options]`");
    }
    if text.contains("redirect without LOCATION") {
        return (ErrorKind::Config, "wrong `region`");
    }
    // Two refusals that pass: a request that took too long, and too many of them.
    let passing = ["status code: 408", "status code: 429"].iter().any(|status| text.contains(status));
    if text.contains("status code: 4") && !passing {
        return (ErrorKind::Config, "refused by the store");
    }
    (ErrorKind::Unavailable, "")
}

/// Returns the messages of an error's chain, leaving out those that an earlier one already quotes.
fn describe(error: &StoreError) -> String {
    // What the outermost error adds, its kind and the path, is said by the caller.
    let mut cause = error.source().unwrap_or(error);
    let mut text = cause.to_string();
    while let Some(deeper) = cause.source() {
        let message = deeper.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = deeper;
    }
    text
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
