//! Classing of a store's errors by what they mean for the operator.
//!
//! Owns the classing of `object_store` errors, some of which are known only by their text if they come from a cloud
//! store. Also owns their wording: those errors print their causes themselves, so printing the chain as well would say
//! things twice.

use std::{error::Error as StdError, io};

use etl_core::model::error::{Error, ErrorKind, io_kind};
use object_store::Error as StoreError;

/// Hosts that an error names when no credentials were found anywhere else, and the machine has none to give either.
const METADATA_SERVICES: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];

/// Answers of the stores when the bucket or container does not exist.
const MISSING_BUCKETS: [&str; 3] = ["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"];

/// Classes an error that came from a reader or writer over a store, or from local disk.
#[must_use]
pub fn classify_io(error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<StoreError>()) {
        Some(error) => classify(error),
        None => Error::from_io(error),
    }
}

/// Returns the library's error for a store's error, as one message.
pub(super) fn classify(error: &StoreError) -> Error {
    let text = describe(error);
    let (kind, hint) = match error {
        _ if bucket_is_missing(error) => (ErrorKind::Config, "no such bucket or container"),
        _ if is_unsupported(error) => (ErrorKind::Config, "not offered by the store"),
        StoreError::Unauthenticated { .. } | StoreError::PermissionDenied { .. } => {
            (ErrorKind::Config, "bad credentials or missing permission")
        }
        StoreError::NotFound { .. } => (ErrorKind::Unavailable, "not found"),
        StoreError::InvalidPath { .. } => (ErrorKind::Config, "not a valid object name"),
        StoreError::UnknownConfigurationKey { .. } => (ErrorKind::Config, ""),
        // The text of these errors may hold a status that means a refusal elsewhere.
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

/// Returns whether an error says that the object does not exist, although its bucket does.
pub(super) fn is_absent(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. }) && !bucket_is_missing(error)
}

/// Answers of the stores when an upload is asked for that was completed or aborted before.
const GONE_UPLOADS: [&str; 3] = ["NoSuchUpload", "InvalidBlockList", "MultipartUpload not found"];

/// Returns whether an error says that an upload does not exist, or not any more.
pub(super) fn is_gone_upload(error: &StoreError) -> bool {
    let text = error.to_string();
    is_absent(error) || GONE_UPLOADS.iter().any(|answer| text.contains(answer))
}

/// Returns whether an error says that the store does not have the operation, and never will.
pub(super) fn is_unsupported(error: &StoreError) -> bool {
    matches!(error, StoreError::NotImplemented { .. } | StoreError::NotSupported { .. })
        || error.to_string().contains("status code: 501")
}

/// Classes an error by its text, for errors that `object_store` has no variant for.
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
    // Two refusals pass: a request that took too long, and too many requests.
    let passing = ["status code: 408", "status code: 429"].iter().any(|status| text.contains(status));
    if text.contains("status code: 4") && !passing {
        return (ErrorKind::Config, "refused by the store");
    }
    (ErrorKind::Unavailable, "")
}

/// Returns the messages of an error's chain, without those that an earlier message already quotes.
fn describe(error: &StoreError) -> String {
    // The caller says what the outermost error adds: its kind and the path.
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
