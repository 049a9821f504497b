//! OpenTelemetry: traces and metrics arrive at a collector, and a collector that is down fails no run.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
    trace::v1::Span,
};
use prost::Message;

use crate::{
    metrics::project,
    support::{Ended, Project, etl_host_command},
};

/// The paths and bodies of requests, in the order in which they came.
type Requests = Mutex<Vec<(String, Vec<u8>)>>;

/// A collector that keeps the requests it receives.
struct Collector {
    port: u16,
    requests: Arc<Requests>,
}

impl Collector {
    /// Starts a collector that answers with this status.
    fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let requests = Arc::new(Requests::default());
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(&connection, status, &kept));
            }
        });
        Self { port, requests }
    }

    fn sent<M: Message + Default>(&self, path: &str) -> Vec<M> {
        let requests = self.requests.lock().expect("no panic");
        let of_path = requests.iter().filter(|(to, _)| to == path);
        of_path.map(|(_, body)| M::decode(body.as_slice()).expect("what OTLP says")).collect()
    }
}

/// Answers the requests of a connection until it ends.
fn serve(mut connection: &TcpStream, status: &str, kept: &Requests) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line).ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if let Some(of) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = of.trim().parse().ok()?;
            }
            if header.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        kept.lock().ok()?.push((path, body));
        write!(connection, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}

fn run(project: &Project, endpoint: &str, arguments: &[&str]) -> Ended {
    let mut command = etl_host_command();
    command.arg(project.path("pipeline.toml")).args(arguments).env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    Ended::of(command.env("OTEL_SERVICE_NAME", "nightly"))
}

fn attributes(of: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |of: &KeyValue| match of.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    of.iter().map(|of| (of.key.as_str(), text(of))).collect()
}

#[test]
fn a_run_its_stages_and_attempts_are_spans_and_its_counts_metrics() {
    let (collector, project) = (Collector::start("200 OK"), project());
    let ended = run(&project, &format!("http://127.0.0.1:{}", collector.port), &["--run-id", "r"]);
    assert!(!ended.expect_success().stderr.contains("collector"), "{ended:#?}");

    let traces: Vec<ExportTraceServiceRequest> = collector.sent("/v1/traces");
    let resources = traces.iter().flat_map(|request| &request.resource_spans);
    let service = resources.clone().filter_map(|of| of.resource.as_ref()).next().expect("a resource");
    assert_eq!(attributes(&service.attributes)["service.name"], "nightly");
    let spans: Vec<&Span> = resources.flat_map(|of| &of.scope_spans).flat_map(|of| &of.spans).collect();
    let named = |name: &str| spans.iter().copied().filter(|span| span.name == name).collect::<Vec<_>>();
    let (roots, maps) = (named("run"), named("map"));
    let ([root], [map]) = (&roots[..], &maps[..]) else { panic!("{spans:#?}") };
    assert_eq!((root.parent_span_id.len(), &map.parent_span_id), (0, &root.span_id));
    assert_eq!(attributes(&root.attributes)["etl_host.run_id"], "r");
    let manifest = project.json("runs/test/r/manifest.json");
    assert_eq!(attributes(&map.attributes)["etl_host.records_in"], manifest["mapped"]["records_in"].to_string());
    let attempts = named("map attempt");
    assert_eq!(Some(attempts.len() as u64), manifest["shards"].as_u64());
    assert!(attempts.iter().all(|of| of.parent_span_id == map.span_id && of.trace_id == root.trace_id));
    assert!(attempts.iter().all(|of| of.start_time_unix_nano >= map.start_time_unix_nano));

    let metrics: Vec<ExportMetricsServiceRequest> = collector.sent("/v1/metrics");
    let metrics = metrics.iter().flat_map(|of| &of.resource_metrics).flat_map(|of| &of.scope_metrics);
    let read = metrics.flat_map(|of| &of.metrics).rfind(|of| of.name == "etl_host.records_read");
    let Some(Data::Sum(read)) = read.and_then(|of| of.data.as_ref()) else { panic!("no sum: {read:?}") };
    let mapped = read.data_points.iter().find(|of| attributes(&of.attributes)["stage"] == "map").expect("of map");
    let records = manifest["mapped"]["records_in"].as_f64().expect("a number");
    assert_eq!((read.is_monotonic, mapped.value), (true, Some(number_data_point::Value::AsDouble(records))));
}

#[test]
fn a_failed_attempt_is_a_span_with_its_error() {
    let (collector, project) = (Collector::start("200 OK"), project());
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    run(&project, &endpoint, &["--set", "map.0.limits.output=1"]).expect_error(42, &["limits.output"]);
    let traces: Vec<ExportTraceServiceRequest> = collector.sent("/v1/traces");
    let spans = traces.iter().flat_map(|of| &of.resource_spans).flat_map(|of| &of.scope_spans).flat_map(|of| &of.spans);
    let failed = |name: &str, text: &str| {
        spans.clone().any(|span| span.name == name && span.status.as_ref().is_some_and(|of| of.message.contains(text)))
    };
    assert!(failed("map attempt", "limits.output") && failed("map", "limits.output") && failed("run", "limits.output"));
}

#[test]
fn a_collector_that_is_down_or_refuses_fails_no_run() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let refusing = Collector::start("503 Service Unavailable").port;
    // This collector takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("bound").port();
    for port in [closed, refusing, silent_port] {
        let project = project();
        let ended = run(&project, &format!("http://user:hunter2@127.0.0.1:{port}"), &[]);
        let warning = "warning: not all traces and metrics reached the collector of OTEL_EXPORTER_OTLP_ENDPOINT: ";
        assert!(ended.expect_success().stderr.contains(warning), "{ended:#?}");
        assert!(!ended.stderr.contains("hunter2"), "{ended:#?}");
        assert_eq!(project.latest().len(), 2);
    }
    run(&project(), "not a URL", &[]).expect_error(2, &["cannot send to the collector of OTEL_EXPORTER_OTLP_ENDPOINT"]);
}
