//! The error of the library: what went wrong, and what the operator does about it.
//!
//! Owns [`Error`], [`ErrorKind`] and the exit codes. Everything else in the crate returns these; only the CLI turns
//! them into text and a process exit.

use std::{fmt, io};

use crate::model::ids::{ShardId, TaskId};

/// What the operator does about an error. The kind decides whether a task is tried again, and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// `pipeline.toml`, a plugin, or how they fit together is wrong: fix it. Never tried again.
    Config,
    /// The data is wrong: fix it, or allow for it. Never tried again.
    Input,
    /// Something that the run was planned with is damaged, gone or another by now: an object of the source, or one of
    /// the run store that cannot be made again. Never tried again, and never tolerated.
    Changed,
    /// The shuffle file of this map task is missing, or is not the one that its commit names. The task is run again,
    /// once.
    Damaged(TaskId),
    /// A step reported an error that it cannot recover from, or broke the plugin interface. Never tried again.
    Plugin,
    /// A step trapped, hit one of its limits, or returned an error that it could not class. Tried again once.
    Sandbox,
    /// A store or a step reported trouble that may pass. Tried again as the `retry` settings say.
    Unavailable,
    /// The operator stopped the run with a signal of this number.
    Interrupted(i32),
    /// A bug of ours: report it.
    Internal,
}

impl ErrorKind {
    /// Returns the process exit code of a run that ended with an error of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Config => 2,
            Self::Input | Self::Changed | Self::Damaged(_) | Self::Plugin | Self::Sandbox => 42,
            Self::Unavailable => 75,
            Self::Interrupted(signal) => 128_u8.saturating_add(u8::try_from(signal).unwrap_or(2)),
            Self::Internal => 70,
        }
    }
}

/// An error with its kind. Displays as its whole chain, outermost first: `{what}: {why}: {root cause}`.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    chain: anyhow::Error,
}

/// The link of an error's chain that names the shard where the error came up, in a map task that has several.
#[derive(Debug)]
struct InShard(ShardId);

impl fmt::Display for InShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {}", self.0)
    }
}

/// A `Result` with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error of `kind` from a message or another error.
    pub fn new(kind: ErrorKind, cause: impl Into<anyhow::Error>) -> Self {
        Self { kind, chain: cause.into() }
    }

    /// Creates an error of kind [`ErrorKind::Config`] with this message.
    pub fn config(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Config, anyhow::anyhow!("{message}"))
    }

    /// Creates an error of kind [`ErrorKind::Input`] with this message.
    pub fn input(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Input, anyhow::anyhow!("{message}"))
    }

    /// Creates an error of kind [`ErrorKind::Changed`] with this message.
    pub fn changed(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Changed, anyhow::anyhow!("{message}"))
    }

    /// Creates an error of kind [`ErrorKind::Internal`] with this message.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, anyhow::anyhow!("{message}"))
    }

    /// Classes an error of a writer or of local disk. A writer that classes its errors itself hands them out with
    /// [`Error::into_io`]; such an error comes back as it was.
    pub fn from_io(error: io::Error) -> Self {
        let kind = io_kind(&error);
        match error.downcast::<Carried>() {
            Ok(Carried(error)) => error,
            Err(error) => Self::new(kind, error),
        }
    }

    /// Returns an I/O error that [`Error::from_io`] turns back into this one.
    pub fn into_io(self) -> io::Error {
        io::Error::other(Carried(self))
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the same error with another kind.
    #[must_use]
    pub fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// Returns the cause of type `C`, if there is one in the chain.
    pub fn cause<C: std::error::Error + Send + Sync + 'static>(&self) -> Option<&C> {
        self.chain.downcast_ref()
    }

    /// Adds the shard in which the error came up, in a map task that has several.
    #[must_use]
    pub fn in_shard(self, shard: ShardId) -> Self {
        self.context(InShard(shard))
    }

    /// Returns the shard that [`Error::in_shard`] added, if any.
    pub fn shard(&self) -> Option<ShardId> {
        self.chain.downcast_ref::<InShard>().map(|shard| shard.0)
    }

    /// Adds what was being done when the error came up.
    #[must_use]
    pub fn context(self, what: impl fmt::Display + Send + Sync + 'static) -> Self {
        Self { kind: self.kind, chain: self.chain.context(what) }
    }
}

/// Carries an [`Error`] through an [`io::Error`].
#[derive(Debug)]
struct Carried(Error);

impl std::error::Error for Carried {}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.chain)
    }
}

/// Classes an error of the local disk: a full disk may be emptied, a missing permission is configuration.
pub fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidFilename => ErrorKind::Config,
        _ => ErrorKind::Unavailable,
    }
}

/// Gives the error of a result its kind and its context where it comes up.
pub trait ResultExt<T> {
    /// Turns a foreign error into an [`Error`].
    ///
    /// # Errors
    /// The same error, with the kind `kind`. Its message begins with `what` was being done.
    fn or_kind<C: fmt::Display + Send + Sync + 'static>(self, kind: ErrorKind, what: impl FnOnce() -> C) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> ResultExt<T> for Result<T, E> {
    fn or_kind<C: fmt::Display + Send + Sync + 'static>(self, kind: ErrorKind, what: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|error| Error::new(kind, error.into().context(what())))
    }
}

/// Adds context to results that already carry an [`Error`].
pub trait ErrorContext<T> {
    /// Adds what was being done when the error came up; the kind stays.
    ///
    /// # Errors
    /// The same error with the context in front.
    fn context<C: fmt::Display + Send + Sync + 'static>(self, what: impl FnOnce() -> C) -> Result<T>;
}

impl<T> ErrorContext<T> for Result<T> {
    fn context<C: fmt::Display + Send + Sync + 'static>(self, what: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|error| error.context(what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_is_displayed_outermost_first_and_keeps_its_kind() {
        let io = io::Error::other("disk on fire");
        let error = Err::<(), _>(io).or_kind(ErrorKind::Unavailable, || "cannot write `a`").context(|| "shard 3");
        let error = error.expect_err("it was an error");
        assert_eq!(error.to_string(), "shard 3: cannot write `a`: disk on fire");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.shard(), None);
        let named = Error::input("bad").in_shard(ShardId(7)).context("map of shard 4");
        assert_eq!((named.to_string().as_str(), named.shard()), ("map of shard 4: shard 7: bad", Some(ShardId(7))));
        assert!(error.cause::<io::Error>().is_some() && error.cause::<fmt::Error>().is_none());
    }

    #[test]
    fn an_error_passes_through_a_writer_as_it_was() {
        let error = Error::from_io(Error::config("bad credentials").into_io());
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Config, "bad credentials"));
        assert_eq!(Error::from_io(io::ErrorKind::StorageFull.into()).kind(), ErrorKind::Unavailable);
        assert_eq!(Error::from_io(io::ErrorKind::PermissionDenied.into()).kind(), ErrorKind::Config);
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes = [ErrorKind::Config, ErrorKind::Sandbox, ErrorKind::Unavailable, ErrorKind::Interrupted(15)];
        assert_eq!(codes.map(ErrorKind::exit_code), [2, 42, 75, 143]);
    }
}
