//! Trace of one request: its attempts become spans when they end, the request itself when nothing holds this value any more, which for
//! a stream is the end of its body.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::context::TraceContext;
use super::span::{Attributes, Span, SpanKind};
use super::tracer::{Tracer, new_span_id};
use crate::domain::event::{CallResult, Status};
use crate::domain::id::{KeyId, RequestId, TeamId};

/// Request while it runs.
pub struct RequestTrace {
    tracer: Arc<Tracer>,
    context: TraceContext,
    span_id: u64,
    request: RequestId,
    /// word of the semantic conventions
    operation: &'static str,
    began: Instant,
    began_ns: u64,
    facts: Mutex<RequestFacts>,
}

/// Facts that become known while the request runs.
#[derive(Debug, Default)]
struct RequestFacts {
    model: String,
    caller: Option<(TeamId, KeyId)>,
    attempts: u32,
    status: Option<u16>,
    error: Option<&'static str>,
}

/// An attempt that has ended.
pub struct AttemptFacts<'a> {
    pub attempt: u8,
    /// name in the configuration
    pub provider: &'a str,
    /// name in the semantic conventions
    pub vendor: &'a str,
    pub base_url: &'a str,
    pub model: &'a str,
    /// when it was sent, or admitted
    pub began: Instant,
    pub result: &'a CallResult,
}

impl RequestTrace {
    /// Begins the trace of a request; `None` if it is not recorded.
    pub fn begin(
        tracer: &Arc<Tracer>,
        request: RequestId,
        operation: &'static str,
        (traceparent, wall_ms): (Option<&str>, u64),
    ) -> Option<Arc<RequestTrace>> {
        let context = tracer.context(traceparent)?;
        Some(Arc::new(RequestTrace {
            tracer: tracer.clone(),
            context,
            span_id: new_span_id(),
            request,
            operation,
            began: Instant::now(),
            began_ns: wall_ms.saturating_mul(1_000_000),
            facts: Mutex::default(),
        }))
    }

    /// Notes the model that was asked for, and the key that asked.
    pub fn note_request(&self, model: &str, team: TeamId, key: KeyId) {
        let mut facts = self.lock();
        facts.model = model.to_owned();
        facts.caller = Some((team, key));
    }

    /// Notes the head of the answer.
    pub fn note_answer(&self, status: u16, error: Option<&'static str>) {
        let mut facts = self.lock();
        facts.status = Some(status);
        facts.error = error.or(facts.error);
    }

    /// Hands over the span of an attempt.
    pub fn end_attempt(&self, attempt: &AttemptFacts<'_>) {
        let result = attempt.result;
        let error = error_of(result);
        let mut facts = self.lock();
        facts.attempts += 1;
        facts.error = error;
        drop(facts);
        let mut attributes = Attributes::default();
        attributes.text("gen_ai.operation.name", self.operation);
        attributes.text("gen_ai.provider.name", attempt.vendor);
        attributes.text("gen_ai.request.model", attempt.model);
        put_address(&mut attributes, attempt.base_url);
        put_usage(&mut attributes, result);
        attributes.text("gatekeeper.provider", attempt.provider);
        attributes.text("gatekeeper.request_id", &self.request.to_string());
        attributes.integer("gatekeeper.attempt", attempt.attempt);
        attributes.text("gatekeeper.status", result.status.as_str());
        if result.upstream_status != 0 {
            attributes.integer("http.response.status_code", result.upstream_status);
        }
        self.tracer.send(Span {
            trace_id: self.context.trace_id,
            span_id: new_span_id(),
            parent: Some(self.span_id),
            name: name(self.operation, attempt.model),
            kind: SpanKind::Client,
            start_ns: self.at_ns(attempt.began),
            end_ns: self.at_ns(Instant::now()),
            attributes: with_error(attributes, error),
            error,
        });
    }

    /// Instant on the clock of the request's beginning.
    fn at_ns(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began).as_nanos();
        self.began_ns.saturating_add(since as u64)
    }

    fn lock(&self) -> MutexGuard<'_, RequestFacts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestTrace {
    fn drop(&mut self) {
        let facts = std::mem::take(&mut *self.lock());
        let mut attributes = Attributes::default();
        attributes.text("gen_ai.operation.name", self.operation);
        if !facts.model.is_empty() {
            attributes.text("gen_ai.request.model", &facts.model);
        }
        attributes.text("gatekeeper.request_id", &self.request.to_string());
        attributes.integer("gatekeeper.attempts", facts.attempts);
        if let Some((team, key)) = facts.caller {
            attributes.text("gatekeeper.team", &team.to_string());
            attributes.text("gatekeeper.key", &key.to_string());
        }
        if let Some(status) = facts.status {
            attributes.integer("http.response.status_code", status);
        }
        self.tracer.send(Span {
            trace_id: self.context.trace_id,
            span_id: self.span_id,
            parent: self.context.parent,
            name: name(self.operation, &facts.model),
            kind: SpanKind::Server,
            start_ns: self.began_ns,
            end_ns: self.at_ns(Instant::now()),
            attributes: with_error(attributes, facts.error),
            error: facts.error,
        });
    }
}

/// Name of a span: `chat gpt-5.1`.
fn name(operation: &str, model: &str) -> String {
    let model: String = model.chars().take(128).collect();
    format!("{operation} {model}").trim_end().to_owned()
}

fn error_of(result: &CallResult) -> Option<&'static str> {
    let failure = result.note.as_ref().and_then(|note| note.failure.as_ref());
    match (failure, result.status) {
        (Some(failure), _) => Some(failure.class.as_str()),
        (None, Status::Ok) => None,
        (None, status) => Some(status.as_str()),
    }
}

fn with_error(
    mut attributes: Attributes,
    error: Option<&'static str>,
) -> Vec<super::span::Attribute> {
    if let Some(error) = error {
        attributes.text("error.type", error);
    }
    attributes.0
}

fn put_usage(attributes: &mut Attributes, result: &CallResult) {
    let usage = &result.usage;
    attributes.integer("gen_ai.usage.input_tokens", usage.in_total());
    attributes.integer("gen_ai.usage.output_tokens", usage.out_total);
    attributes.integer("gen_ai.usage.cache_read.input_tokens", usage.cache_read);
    attributes.integer(
        "gen_ai.usage.cache_creation.input_tokens",
        usage.cache_writes(),
    );
    if let Some(cap) = result.output_cap {
        attributes.integer("gen_ai.request.max_tokens", cap);
    }
    attributes.text("gatekeeper.cost_usd", &result.cost.to_string());
    if let Some(first_content_ms) = result.first_content_ms {
        attributes.integer("gatekeeper.first_content_ms", first_content_ms);
    }
}

/// Host and port of a valid URL.
fn put_address(attributes: &mut Attributes, url: &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let after_ip = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match authority[after_ip..].rfind(':') {
        Some(at) => authority.split_at(after_ip + at),
        None => (authority, if scheme == "http" { ":80" } else { ":443" }),
    };
    attributes.text("server.address", host);
    if let Ok(port) = port.trim_start_matches(':').parse::<u16>() {
        attributes.integer("server.port", port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::span::AttributeValue;

    fn result(status: Status) -> CallResult {
        let mut result = CallResult::orphaned(crate::domain::money::Money::ZERO, 0);
        result.status = status;
        result.usage.uncached_in = 7;
        result.usage.cache_read = 3;
        result.usage.out_total = 5;
        result.upstream_status = 200;
        result
    }

    fn facts(result: &CallResult) -> AttemptFacts<'_> {
        AttemptFacts {
            attempt: 1,
            provider: "up",
            vendor: "openai",
            base_url: "http://[::1]:8080/v1",
            model: "m-small",
            began: Instant::now(),
            result,
        }
    }

    fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a AttributeValue> {
        let found = span.attributes.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    #[test]
    fn request_span_ends_after_its_attempts_and_holds_the_last_outcome() {
        let (tracer, mut queue) = Tracer::new(1.0);
        let trace = RequestTrace::begin(&tracer, RequestId(1), "chat", (None, 1_000)).expect("on");
        trace.note_request("fast", TeamId(2), KeyId(3));
        trace.end_attempt(&facts(&result(Status::ClientGone)));
        trace.end_attempt(&facts(&result(Status::Ok)));
        trace.note_answer(200, None);
        let held_by_the_stream = trace.clone();
        drop(trace);
        let (failed, ended) = (
            queue.try_recv().expect("a span"),
            queue.try_recv().expect("a span"),
        );
        assert!(queue.try_recv().is_err(), "the request still runs");
        drop(held_by_the_stream);
        let request = queue.try_recv().expect("a span");
        assert_eq!(
            (failed.error, ended.error, request.error),
            (Some("client_gone"), None, None)
        );
        assert_eq!(
            (failed.parent, ended.parent),
            (Some(request.span_id), Some(request.span_id))
        );
        assert_eq!(
            (ended.name.as_str(), request.name.as_str()),
            ("chat m-small", "chat fast")
        );
        assert!(ended.trace_id == request.trace_id && request.start_ns == 1_000_000_000);
        assert!(request.end_ns >= ended.end_ns);
        for (name, value) in [
            ("gen_ai.usage.input_tokens", 10),
            ("gen_ai.usage.output_tokens", 5),
            ("gen_ai.usage.cache_read.input_tokens", 3),
            ("server.port", 8_080),
        ] {
            let expected = AttributeValue::Integer(value);
            assert_eq!(attribute(&ended, name), Some(&expected), "{name}");
        }
        let attempts = attribute(&request, "gatekeeper.attempts");
        assert_eq!(attempts, Some(&AttributeValue::Integer(2)));
    }

    #[test]
    fn text_that_a_client_chose_is_cut() {
        let (tracer, mut queue) = Tracer::new(1.0);
        let trace = RequestTrace::begin(&tracer, RequestId(1), "chat", (None, 0)).expect("on");
        trace.note_request(&"é".repeat(10_000), TeamId(2), KeyId(3));
        drop(trace);
        let span = queue.try_recv().expect("a span");
        assert_eq!(span.name.chars().count(), "chat ".len() + 128);
        let Some(AttributeValue::Text(model)) = attribute(&span, "gen_ai.request.model") else {
            panic!("no model");
        };
        assert_eq!(model.chars().count(), 128);
    }
}
