//! Metrics as a file in Prometheus text format, which the textfile collector of the node exporter reads.

use std::{
    fmt::Write as _,
    io::Write,
    path::{Path, PathBuf},
};

use etl_core::model::{
    error::{Result, ResultExt},
    event::{Event, Listener, Stamped},
    redact::Redact,
};
use tempfile::NamedTempFile;

use super::{Figure, Metrics, Monotonic};

/// Minimum time between two writes of the file during a run, in milliseconds.
const INTERVAL_MS: u64 = 5000;

/// A file that holds the metrics of a run, replaced every few seconds and at the end. The file is replaced atomically:
/// a reader sees all metrics of one moment, never a part of them.
pub(crate) struct MetricsFile {
    path: PathBuf,
    metrics: Metrics,
    monotonic: Monotonic,
    redact: Redact,
    written_ms: u64,
}

impl MetricsFile {
    /// Creates the file at `path`, empty at first. Texts in it are redacted by `redact`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the file cannot be written.
    pub(crate) fn create(path: &Path, redact: impl Fn(&str) -> String + Send + 'static) -> Result<Self> {
        let file = Self {
            path: path.to_owned(),
            metrics: Metrics::default(),
            monotonic: Monotonic::default(),
            redact: Box::new(redact),
            written_ms: 0,
        };
        file.replace("").or_kind(etl_core::model::error::ErrorKind::Config, || {
            format!("cannot write metrics to `{}` (`--metrics`)", path.display())
        })?;
        Ok(file)
    }

    fn write(&mut self) {
        let mut figures = self.metrics.figures();
        self.monotonic.raise(&mut figures);
        let text = (self.redact)(&text(self.metrics.pipeline(), &figures));
        // A failed write does not fail the run; the next write may succeed.
        _ = self.replace(&text);
    }

    fn replace(&self, text: &str) -> std::io::Result<()> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        readable(file.as_file())?;
        file.persist(&self.path)?;
        Ok(())
    }
}

/// Makes a temporary file readable for other users, because the collector runs as one of them.
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

impl Listener for MetricsFile {
    fn on_event(&mut self, event: &Stamped) {
        self.metrics.on_event(event);
        let ended = matches!(event.event, Event::RunFinished { .. } | Event::RunFailed { .. });
        if ended || event.at_ms.saturating_sub(self.written_ms) >= INTERVAL_MS {
            self.written_ms = event.at_ms;
            self.write();
        }
    }
}

/// Returns figures in Prometheus text format. Every value is labelled with the pipeline's name.
fn text(pipeline: &str, figures: &[Figure]) -> String {
    let mut text = String::new();
    for figure in figures.iter().filter(|figure| !figure.values.is_empty()) {
        let kind = if figure.is_counter() { "counter" } else { "gauge" };
        let Figure { name, help, values } = figure;
        _ = write!(text, "# HELP etl_host_{name} {help}\n# TYPE etl_host_{name} {kind}\n");
        for (labels, value) in values {
            _ = write!(text, "etl_host_{name}{{pipeline=\"{}\"", escaped(pipeline));
            labels.iter().for_each(|(label, of)| _ = write!(text, ",{label}=\"{}\"", escaped(of)));
            _ = writeln!(text, "}} {value}");
        }
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
