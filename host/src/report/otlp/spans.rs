//! A run as trace spans: a span for the run, in it a span for each stage, and in those a span for each attempt.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use etl_core::model::{
    event::{Counts, Event, Listener, Stage, Stamped},
    ids::{TaskId, Try},
    redact::Redact,
};
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanBuilder, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::{SdkTracer, Span};

/// Turns events into spans.
pub(super) struct Spans {
    tracer: SdkTracer,
    redact: Redact,
    run: Option<Span>,
    stage: Option<Span>,
    attempts: HashMap<(Stage, TaskId, Try), Span>,
}

impl Spans {
    pub(super) fn new(tracer: SdkTracer, redact: Redact) -> Self {
        Self { tracer, redact, run: None, stage: None, attempts: HashMap::new() }
    }

    /// Begins a span as a child of `parent`, or as a root span without a parent.
    fn begin(&self, parent: Option<&Span>, name: String, at: SystemTime, attributes: Vec<KeyValue>) -> Span {
        let above = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent.span_context().clone()),
            None => Context::new(),
        };
        let builder = SpanBuilder::from_name(name).with_start_time(at).with_attributes(attributes);
        self.tracer.build_with_context(builder, &above)
    }

    fn failed(&self, span: &mut Span, error: &str) {
        span.set_status(Status::error((self.redact)(error)));
    }

    /// Ends the span of an attempt, after `tell` has recorded in the span how the attempt ended.
    fn end_attempt(&mut self, attempt: (Stage, TaskId, Try), at: SystemTime, tell: impl FnOnce(&Self, &mut Span)) {
        if let Some(mut span) = self.attempts.remove(&attempt) {
            tell(self, &mut span);
            span.end_with_timestamp(at);
        }
    }

    /// Ends all spans under way. Attempts get the status `given up`, because they did not fail by themselves.
    fn end(&mut self, at: SystemTime, error: Option<&str>) {
        for (_, mut attempt) in self.attempts.drain() {
            attempt.set_status(Status::error("given up"));
            attempt.end_with_timestamp(at);
        }
        for mut span in [self.stage.take(), self.run.take()].into_iter().flatten() {
            if let Some(error) = error {
                self.failed(&mut span, error);
            }
            span.end_with_timestamp(at);
        }
    }
}

impl Listener for Spans {
    fn on_event(&mut self, event: &Stamped) {
        let at = UNIX_EPOCH + Duration::from_millis(event.at_ms);
        match &event.event {
            Event::RunStarted { pipeline, run_id, resumed, .. } => {
                let attributes = vec![
                    KeyValue::new("etl_host.pipeline", pipeline.clone()),
                    KeyValue::new("etl_host.run_id", run_id.clone()),
                    KeyValue::new("etl_host.resumed", *resumed),
                ];
                self.run = Some(self.begin(None, "run".to_owned(), at, attributes));
            }
            Event::StageStarted { stage, tasks, committed } => {
                let attributes =
                    vec![number("etl_host.tasks", *tasks), number("etl_host.committed_before", *committed)];
                self.stage = Some(self.begin(self.run.as_ref(), stage.name().to_owned(), at, attributes));
            }
            Event::AttemptStarted { stage, task, attempt } => {
                let attributes =
                    vec![number("etl_host.task", task.0.into()), number("etl_host.attempt", attempt.0.into())];
                let span = self.begin(self.stage.as_ref(), format!("{} attempt", stage.name()), at, attributes);
                self.attempts.insert((*stage, *task, *attempt), span);
            }
            Event::AttemptFinished { stage, task, attempt, counts, .. } => {
                self.end_attempt((*stage, *task, *attempt), at, |_, span| span.set_attributes(of_counts(counts)));
            }
            Event::AttemptFailed { stage, task, attempt, error, .. } => {
                self.end_attempt((*stage, *task, *attempt), at, |spans, span| spans.failed(span, error));
            }
            Event::AttemptOvertaken { stage, task, attempt, by, .. } => {
                let by = number("etl_host.overtaken_by", by.0.into());
                self.end_attempt((*stage, *task, *attempt), at, |_, span| span.set_attribute(by));
            }
            Event::StageFinished { counts, .. } => {
                if let Some(mut span) = self.stage.take() {
                    span.set_attributes(of_counts(counts));
                    span.end_with_timestamp(at);
                }
            }
            Event::RunFinished { .. } => self.end(at, None),
            Event::RunFailed { error, .. } => self.end(at, Some(error)),
            _ => {}
        }
    }
}

fn of_counts(counts: &Counts) -> Vec<KeyValue> {
    vec![
        number("etl_host.records_in", counts.records_in),
        number("etl_host.bytes_in", counts.bytes_in),
        number("etl_host.records_out", counts.records_out),
        number("etl_host.bytes_out", counts.bytes_out),
        number("etl_host.rejects", counts.rejects),
    ]
}

fn number(name: &'static str, number: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(number).unwrap_or(i64::MAX))
}
