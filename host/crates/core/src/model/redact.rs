//! Redaction: taking out of a text what must not be shown.

/// A function that removes secrets from a text. Every text that is printed or kept passes through one.
pub type Redact = Box<dyn Fn(&str) -> String + Send>;
