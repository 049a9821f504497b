//! Traces and metrics for an OpenTelemetry collector, by OTLP over HTTP.
//!
//! Owns when they are sent: in the background, on threads of the OpenTelemetry library, so that a collector that is
//! slow or down does not hold up a run. `spans` owns what is traced, `metrics` what is measured. Everything else is set
//! by the environment variables `OTEL_…`, which the library reads by itself: they are its own business.

mod client;
mod spans;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    event::Events,
    redact::Redact,
    shared::Shared,
};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter, MeterProvider},
    trace::TracerProvider,
};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::SdkMeterProvider,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};
use tokio::runtime::Handle;

use self::{client::Client, spans::Spans};
use super::metrics::{Figure, Metrics, Monotonic};

/// The environment variable that names the collector. Setting it turns telemetry on.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Maximum number of spans that wait to be sent; further spans are dropped. Enough for all attempts of most runs.
const SPANS_WAITING_MAX: usize = 16_384;

/// Maximum time that the end of a run waits for everything to be sent.
const END_LIMIT: Duration = Duration::from_secs(3);

/// The traces and metrics that are sent to a collector during a run.
pub(crate) struct Telemetry {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    client: Client,
}

impl Telemetry {
    /// Starts to send what happens from now on, with texts redacted by `redact`. Returns none, and sends nothing,
    /// unless `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector and `OTEL_SDK_DISABLED` is not `true`; `env` returns the
    /// value of an environment variable. Requests are made on `runtime`, which must live until [`Telemetry::finish`]
    /// has returned.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when a variable has an invalid value.
    pub(crate) fn start(
        events: &Events,
        runtime: &Handle,
        env: impl Fn(&str) -> Option<String>,
        redact: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
    ) -> Result<Option<Self>> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        if set(ENDPOINT).is_none() || set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let wrong = || format!("cannot send to the collector of {ENDPOINT}");
        let client = Client::new(runtime).or_kind(ErrorKind::Config, wrong)?;
        let spans = SpanExporter::builder().with_http().with_http_client(client.clone()).build();
        let measures = MetricExporter::builder().with_http().with_http_client(client.clone()).build();
        let waiting_max = match set("OTEL_BSP_MAX_QUEUE_SIZE") {
            Some(_) => BatchConfigBuilder::default(),
            None => BatchConfigBuilder::default().with_max_queue_size(SPANS_WAITING_MAX),
        };
        let batches = BatchSpanProcessor::builder(spans.or_kind(ErrorKind::Config, wrong)?);
        let batches = batches.with_batch_config(waiting_max.build()).build();
        let traces = SdkTracerProvider::builder().with_resource(resource()).with_span_processor(batches).build();
        let metrics = SdkMeterProvider::builder()
            .with_resource(resource())
            .with_periodic_exporter(measures.or_kind(ErrorKind::Config, wrong)?)
            .build();
        events.listen(Spans::new(traces.tracer("etl-host"), Box::new(redact.clone()) as Redact));
        let figures = Shared::new(Metrics::default());
        events.listen(figures.clone());
        observe(&metrics.meter("etl-host"), &figures, redact);
        Ok(Some(Self { traces, metrics, client }))
    }

    /// Sends what is left, within 3 seconds. Returns a message with the reason if not everything was sent.
    pub(crate) fn finish(self) -> Option<String> {
        let Self { traces, metrics, client } = self;
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            // The results are of no interest: the client remembers failures.
            _ = traces.shutdown_with_timeout(END_LIMIT);
            _ = metrics.shutdown_with_timeout(END_LIMIT);
            // The receiver may have stopped waiting; the error is then of no interest.
            _ = ended.send(());
        });
        let late = end.recv_timeout(END_LIMIT).is_err().then(|| "it is too slow".to_owned());
        let why = client.failure().or(late)?;
        Some(format!("not all traces and metrics reached the collector of {ENDPOINT}: {why}"))
    }
}

/// Returns the resource that traces and metrics belong to: a service named `etl-host`, unless the environment names it.
fn resource() -> Resource {
    let named = Resource::builder().build();
    let name = named.get(&"service.name".into()).map(|name| name.to_string());
    match name.as_deref() {
        None | Some("" | "unknown_service") => Resource::builder().with_service_name("etl-host").build(),
        Some(name) if name.starts_with("unknown_service:") => Resource::builder().with_service_name("etl-host").build(),
        Some(_) => named,
    }
}

/// Creates an instrument for each figure. The library asks the instrument for its values each time metrics are sent.
fn observe(meter: &Meter, metrics: &Shared<Metrics>, redact: impl Fn(&str) -> String + Clone + Send + Sync + 'static) {
    let collection = Shared::new(Collection { monotonic: Monotonic::default(), left: Vec::new() });
    for figure in Metrics::default().figures() {
        let (metrics, collection, redact) = (metrics.clone(), collection.clone(), redact.clone());
        let name = figure.name;
        let callback = move |observer: &dyn AsyncInstrument<f64>| {
            let pipeline = metrics.lock().pipeline().to_owned();
            for (labels, value) in collection.lock().take(name, &metrics).into_iter().flat_map(|of| of.values) {
                let mut labels: Vec<KeyValue> =
                    labels.into_iter().map(|(label, of)| KeyValue::new(label, redact(&of))).collect();
                labels.push(KeyValue::new("pipeline", pipeline.clone()));
                observer.observe(value, &labels);
            }
        };
        let callback = Arc::new(callback);
        let full_name = format!("etl_host.{}", name.strip_suffix("_total").unwrap_or(name));
        // The returned handles are not needed: the provider keeps the instruments.
        if figure.is_counter() {
            let counter = meter.f64_observable_counter(full_name).with_description(figure.help).with_unit(unit(name));
            _ = counter.with_callback(move |observer| callback(observer)).build();
        } else {
            let gauge = meter.f64_observable_gauge(full_name).with_description(figure.help).with_unit(unit(name));
            _ = gauge.with_callback(move |observer| callback(observer)).build();
        }
    }
}

/// The figures that are sent at one time. Each instrument takes its own figure.
struct Collection {
    monotonic: Monotonic,
    /// Figures not taken yet.
    left: Vec<Figure>,
}

impl Collection {
    /// Takes a figure out of the collection. If the figure was taken before, a new collection begins, with the current
    /// values of `metrics`.
    fn take(&mut self, name: &str, metrics: &Shared<Metrics>) -> Option<Figure> {
        if !self.left.iter().any(|figure| figure.name == name) {
            self.left = metrics.lock().figures();
            self.monotonic.raise(&mut self.left);
        }
        let place = self.left.iter().position(|figure| figure.name == name)?;
        Some(self.left.swap_remove(place))
    }
}

/// Returns the unit at the end of a figure's name, in OpenTelemetry's notation; `1` for a name without a unit.
fn unit(name: &str) -> &'static str {
    match name.strip_suffix("_total").unwrap_or(name) {
        name if name.ends_with("bytes") => "By",
        name if name.ends_with("seconds") => "s",
        _ => "1",
    }
}
