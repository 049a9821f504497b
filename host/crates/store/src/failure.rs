//! Classing of a store's errors by what they mean for the operator.
//!
//! Owns the classing of `object_store` errors: by the code and the status of the answer, if the store answered, and
//! else by the kind of the error. Also owns their wording: those errors print their causes themselves, so printing the
//! chain as well would say things twice.

use std::{error::Error as StdError, io};

use etl_core::model::error::{Error, ErrorKind, io_kind};
use object_store::Error as StoreError;

use super::{answers::WrongAnswer, directory::UnfinishedName, xml};

use ErrorKind::{Config, Unavailable};

/// What an error means: its kind, and a few words for the operator.
type Meaning = (ErrorKind, &'static str);

const DENIED: &str = "bad credentials or missing permission";
const EXPIRED: &str = "the credentials have expired";
const CLOCK: &str = "the clock of this machine and that of the store differ";
const NO_BUCKET: &str = "no such bucket or container";
const NOT_OFFERED: &str = "not offered by the store";
const WRONG_REGION: &str = "wrong `region` or `endpoint`";
const ARCHIVED: &str = "the object is archived: restore it first";

/// Meanings of the codes in the answers of S3, Google Cloud Storage and Azure. The status tells the meaning of others.
const CODES: [(&str, Meaning); 54] = [
    // Trouble that passes.
    ("RequestTimeout", (Unavailable, "")),
    ("RequestTimeoutException", (Unavailable, "")),
    ("SlowDown", (Unavailable, "")),
    ("Busy", (Unavailable, "")),
    ("ServerBusy", (Unavailable, "")),
    ("ServiceUnavailable", (Unavailable, "")),
    ("Throttling", (Unavailable, "")),
    ("ThrottlingException", (Unavailable, "")),
    ("ThrottledException", (Unavailable, "")),
    ("RequestThrottled", (Unavailable, "")),
    ("RequestThrottledException", (Unavailable, "")),
    ("RequestLimitExceeded", (Unavailable, "")),
    ("BandwidthLimitExceeded", (Unavailable, "")),
    ("TooManyRequests", (Unavailable, "")),
    ("TooManyRequestsException", (Unavailable, "")),
    ("InternalError", (Unavailable, "")),
    ("InternalFailure", (Unavailable, "")),
    ("OperationTimedOut", (Unavailable, "")),
    ("IDPCommunicationError", (Unavailable, "")),
    ("OperationAborted", (Unavailable, "")),
    ("IncompleteBody", (Unavailable, "")),
    ("BadDigest", (Unavailable, "")),
    ("XAmzContentSHA256Mismatch", (Unavailable, "")),
    ("Md5Mismatch", (Unavailable, "")),
    // Credentials and clocks that are renewed and set right by others, often by themselves.
    ("ExpiredToken", (Unavailable, EXPIRED)),
    ("ExpiredTokenException", (Unavailable, EXPIRED)),
    ("TokenRefreshRequired", (Unavailable, EXPIRED)),
    ("RequestExpired", (Unavailable, CLOCK)),
    ("RequestTimeTooSkewed", (Unavailable, CLOCK)),
    // What the operator has to put right.
    ("AccessDenied", (Config, DENIED)),
    ("AllAccessDisabled", (Config, DENIED)),
    ("AccountProblem", (Config, DENIED)),
    ("InvalidAccessKeyId", (Config, DENIED)),
    ("InvalidSecurity", (Config, DENIED)),
    ("InvalidToken", (Config, DENIED)),
    ("SignatureDoesNotMatch", (Config, DENIED)),
    ("NotSignedUp", (Config, DENIED)),
    ("UserProjectMissing", (Config, DENIED)),
    ("AccountIsDisabled", (Config, DENIED)),
    ("AuthenticationFailed", (Config, DENIED)),
    ("AuthorizationFailure", (Config, DENIED)),
    ("AuthorizationPermissionMismatch", (Config, DENIED)),
    ("InsufficientAccountPermissions", (Config, DENIED)),
    ("InvalidAuthenticationInfo", (Config, DENIED)),
    ("NoSuchBucket", (Config, NO_BUCKET)),
    ("InvalidBucketName", (Config, NO_BUCKET)),
    ("ContainerNotFound", (Config, NO_BUCKET)),
    ("ContainerBeingDeleted", (Config, NO_BUCKET)),
    ("AuthorizationHeaderMalformed", (Config, WRONG_REGION)),
    ("IllegalLocationConstraintException", (Config, WRONG_REGION)),
    ("PermanentRedirect", (Config, WRONG_REGION)),
    ("InvalidObjectState", (Config, ARCHIVED)),
    ("BlobArchived", (Config, ARCHIVED)),
    ("NotImplemented", (Config, NOT_OFFERED)),
];

/// Returns the meaning of a status of HTTP, if no code says more.
fn meaning_of_status(status: u16) -> Meaning {
    match status {
        401 | 403 => (Config, DENIED),
        404 => (Unavailable, "not found"),
        // A conflict, or a condition that did not hold: the caller looks what is there.
        409 | 412 => (Unavailable, ""),
        408 | 429 => (Unavailable, ""),
        400..=499 => (Config, "refused by the store"),
        501 => (Config, NOT_OFFERED),
        301 | 308 => (Config, WRONG_REGION),
        _ => (Unavailable, ""),
    }
}

/// Hosts that an error names when no credentials were found anywhere else, and the machine has none to give either. No
/// key has an empty part, so no URL of an object holds such a text.
const METADATA_SERVICES: [&str; 2] = ["://169.254.169.254", "://metadata.google.internal"];

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
    let (kind, hint) = meaning(error, &text);
    let separator = if hint.is_empty() { "" } else { ": " };
    Error::new(kind, anyhow::anyhow!("{hint}{separator}{text}"))
}

fn meaning(error: &StoreError, text: &str) -> Meaning {
    if METADATA_SERVICES.iter().any(|host| text.contains(host)) {
        return (Config, "no credentials in `[store_options]`, the environment or this machine");
    }
    if let Some(answer) = Answer::of(error) {
        return answer.meaning();
    }
    match error {
        _ if is_unsupported(error) => (Config, NOT_OFFERED),
        StoreError::Unauthenticated { .. } | StoreError::PermissionDenied { .. } => (Config, DENIED),
        StoreError::NotFound { .. } => (Unavailable, "not found"),
        StoreError::InvalidPath { .. } => (Config, "not a valid object name"),
        StoreError::UnknownConfigurationKey { .. } => (Config, ""),
        _ if find::<UnfinishedName>(error).is_some() => (Config, "not a valid object name"),
        _ if says(error, "URL scheme is not allowed") => {
            (Config, "an `http` endpoint needs `allow_http = \"true\"` in `[store_options]`")
        }
        _ if says(error, "Received redirect without LOCATION") => (Config, WRONG_REGION),
        _ => (find::<io::Error>(error).map_or(Unavailable, io_kind), ""),
    }
}

/// What a store answered to a request that failed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    status: Option<u16>,
    code: Option<String>,
}

impl Answer {
    /// Returns the answer that an error was made of, if the store answered.
    ///
    /// The library does not hand out the answer, but the message of one link of the error's chain begins with it. What
    /// a text holds elsewhere may be part of a key.
    fn of(error: &StoreError) -> Option<Self> {
        if let Some(wrong) = find::<WrongAnswer>(error) {
            return Some(Self { status: None, code: wrong.code() });
        }
        chain(error).find_map(|link| {
            let text = link.to_string();
            if let Some(answer) = text.strip_prefix("Server returned non-2xx status code: ") {
                let (status, body) = answer.split_once(": ").unwrap_or((answer, ""));
                return Some(Self { status: status.get(..3)?.parse().ok(), code: xml::code(body) });
            }
            if let Some(body) = text.strip_prefix("Server returned error response: ") {
                return Some(Self { status: None, code: xml::code(body) });
            }
            let (_, code) = text.strip_prefix("DeleteObjects request failed for key ")?.rsplit_once("(code: ")?;
            Some(Self { status: None, code: Some(code.trim_end_matches(')').to_owned()) })
        })
    }

    fn meaning(&self) -> Meaning {
        let code = self.code.as_deref();
        let of_code = CODES.iter().find(|(known, _)| Some(*known) == code);
        of_code.map_or_else(|| self.status.map_or((Unavailable, ""), meaning_of_status), |(_, meaning)| *meaning)
    }
}

/// Returns whether an error says that there is no such bucket, rather than no such object.
pub(super) fn bucket_is_missing(error: &StoreError) -> bool {
    Answer::of(error).is_some_and(|answer| answer.meaning() == (Config, NO_BUCKET))
}

/// Returns whether an error says that the object does not exist, although its bucket does.
pub(super) fn is_absent(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. }) && !bucket_is_missing(error)
}

/// Codes of the answers about an upload that was completed or aborted before.
const GONE_UPLOADS: [&str; 2] = ["NoSuchUpload", "InvalidBlockList"];

/// Returns whether an error says that an upload does not exist, or not any more.
pub(super) fn is_gone_upload(error: &StoreError) -> bool {
    let code = Answer::of(error).and_then(|answer| answer.code);
    let in_memory = || says(error, "MultipartUpload not found");
    is_absent(error) || code.is_some_and(|code| GONE_UPLOADS.contains(&code.as_str())) || in_memory()
}

/// Returns whether a store refused without a word about why, as it has to when it is asked about an object only. S3
/// does so for credentials that have expired.
pub(super) fn says_not_why(error: &StoreError) -> bool {
    Answer::of(error).is_some_and(|answer| matches!(answer, Answer { status: Some(400 | 401 | 403), code: None }))
}

/// Returns whether an error says that the store does not have the operation, and never will.
pub(super) fn is_unsupported(error: &StoreError) -> bool {
    matches!(error, StoreError::NotImplemented { .. } | StoreError::NotSupported { .. })
        || Answer::of(error).is_some_and(|answer| answer.meaning() == (Config, NOT_OFFERED))
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

/// Returns whether a link of an error's chain begins with a text.
fn says(error: &StoreError, text: &str) -> bool {
    chain(error).any(|link| link.to_string().starts_with(text))
}

fn find<E: StdError + 'static>(error: &StoreError) -> Option<&E> {
    chain(error).find_map(|link| link.downcast_ref())
}

/// Returns an error and its causes.
fn chain(error: &StoreError) -> anyhow::Chain<'_> {
    anyhow::Chain::new(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> StoreError {
        StoreError::Generic { store: "S3", source: text.to_owned().into() }
    }

    fn kind_of(text: &str) -> ErrorKind {
        classify(&answered(text)).kind()
    }

    #[test]
    fn each_code_has_one_meaning_whatever_the_status() {
        for (code, (kind, hint)) in CODES {
            let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>x</Message></Error>");
            for status in ["400 Bad Request", "403 Forbidden", "404 Not Found", "503 Service Unavailable"] {
                let error = answered(&format!("Server returned non-2xx status code: {status}: {body}"));
                assert_eq!((classify(&error).kind(), meaning(&error, "").1), (kind, hint), "{code}");
            }
            assert_eq!(kind_of(&format!("Server returned error response: {body}")), kind, "{code}");
            assert_eq!(kind_of(&format!("DeleteObjects request failed for key k: x (code: {code})")), kind, "{code}");
            assert_eq!(CODES.iter().filter(|(other, _)| *other == code).count(), 1, "{code}");
        }
    }

    #[test]
    fn what_passes_and_what_the_operator_puts_right_is_told_apart() {
        let passes = [
            "RequestTimeout",
            "SlowDown",
            "InternalError",
            "ServiceUnavailable",
            "ExpiredToken",
            "RequestTimeTooSkewed",
            "ServerBusy",
        ];
        let stays =
            ["AccessDenied", "NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthenticationFailed"];
        for (codes, kind) in [(&passes[..], Unavailable), (&stays, Config)] {
            for code in codes {
                assert!(CODES.iter().any(|(known, (of, _))| known == code && *of == kind), "{code}");
            }
        }
    }

    #[test]
    fn without_a_known_code_the_status_decides() {
        for (status, kind) in [
            ("301 Moved Permanently", Config),
            ("307 Temporary Redirect", Unavailable),
            ("400 Bad Request", Config),
            ("401 Unauthorized", Config),
            ("403 Forbidden", Config),
            ("404 Not Found", Unavailable),
            ("405 Method Not Allowed", Config),
            ("408 Request Timeout", Unavailable),
            ("409 Conflict", Unavailable),
            ("412 Precondition Failed", Unavailable),
            ("416 Range Not Satisfiable", Config),
            ("429 Too Many Requests", Unavailable),
            ("500 Internal Server Error", Unavailable),
            ("501 Not Implemented", Config),
            ("502 Bad Gateway", Unavailable),
            ("503 Slow Down", Unavailable),
            ("504 Gateway Timeout", Unavailable),
        ] {
            for body in ["", "<html>", "<Error><Code>SomethingNew</Code></Error>"] {
                assert_eq!(
                    kind_of(&format!("Server returned non-2xx status code: {status}: {body}")),
                    kind,
                    "{status}"
                );
            }
        }
        assert_eq!(kind_of("HTTP error: connection closed before message completed"), Unavailable);
        assert_eq!(kind_of("Received redirect without LOCATION, this normally indicates a wrong region"), Config);
        assert_eq!(kind_of("Error performing PUT http://169.254.169.254/latest/api/token in 1s"), Config);
    }

    #[test]
    fn a_key_that_looks_like_an_answer_is_none() {
        for key in ["NoSuchBucket", "<Code>NoSuchBucket</Code>", "The specified bucket does not exist"] {
            let escaped = key.replace('<', "&lt;").replace('>', "&gt;");
            let body = format!("<Error><Code>NoSuchKey</Code><Key>{escaped}</Key></Error>");
            let source = format!("Server returned non-2xx status code: 404 Not Found: {body}").into();
            assert!(is_absent(&StoreError::NotFound { path: key.to_owned(), source }), "{key}");
        }
        for key in ["status code: 403", "status code: 501", "169.254.169.254", "scheme is not allowed"] {
            let error = answered(&format!("Error performing GET http://host/bucket/{key} in 1s - HTTP error"));
            assert_eq!((classify(&error).kind(), is_unsupported(&error)), (Unavailable, false), "{key}");
        }
    }
}
