//! Tracer: decides which requests are traced and takes finished spans into a bounded queue. Never waits: without room a span is dropped
//! and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::context::{ClientTrace, TraceContext};
use super::span::Span;

/// Spans that wait for their export: about 4 MB.
const QUEUE_SPANS_MAX: usize = 8_192;

/// Fate of the spans since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceCounts {
    pub exported: u64,
    /// no room in the queue
    pub dropped: u64,
    /// not taken by the collector
    pub failed: u64,
}

/// Entrance of spans.
pub struct Tracer {
    /// `None`: nothing is traced
    queue: Option<mpsc::Sender<Span>>,
    /// traces of all that are recorded, of 2^64
    sampled_below: u128,
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Tracer {
    /// A tracer without a collector.
    pub fn off() -> Arc<Tracer> {
        Arc::new(Tracer::with(None, 0.0))
    }

    /// A tracer that records this part of the traces, and the end of its queue.
    pub(super) fn new(sample_ratio: f64) -> (Arc<Tracer>, mpsc::Receiver<Span>) {
        let (sender, receiver) = mpsc::channel(QUEUE_SPANS_MAX);
        let tracer = Tracer::with(Some(sender), sample_ratio);
        (Arc::new(tracer), receiver)
    }

    fn with(queue: Option<mpsc::Sender<Span>>, sample_ratio: f64) -> Tracer {
        Tracer {
            queue,
            sampled_below: (sample_ratio * 2f64.powi(64)) as u128,
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Trace of a request; `None` if it is not recorded. A client that names its trace has decided that.
    pub(super) fn context(&self, traceparent: Option<&str>) -> Option<TraceContext> {
        if let Some(client) = traceparent.and_then(ClientTrace::parse) {
            return client.is_sampled.then_some(TraceContext {
                trace_id: client.trace_id,
                parent: Some(client.parent),
            });
        }
        let (high, low) = (getrandom::u64().ok()?, getrandom::u64().ok()?);
        let is_sampled = u128::from(low) < self.sampled_below;
        is_sampled.then_some(TraceContext {
            trace_id: u128::from(high) << 64 | u128::from(low.max(1)),
            parent: None,
        })
    }

    /// Hands a span over to the exporter.
    pub(super) fn send(&self, span: Span) {
        let Some(queue) = &self.queue else {
            return;
        };
        if queue.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn note_exported(&self, spans: usize) {
        self.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub(super) fn note_failed(&self, spans: usize) {
        self.failed.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub fn counts(&self) -> TraceCounts {
        TraceCounts {
            exported: self.exported.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// A new id of a span; zero, which is invalid, if the system has no random numbers.
pub(super) fn new_span_id() -> u64 {
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::span::SpanKind;

    fn span() -> Span {
        Span {
            trace_id: 1,
            span_id: 1,
            parent: None,
            name: String::new(),
            kind: SpanKind::Server,
            start_ns: 0,
            end_ns: 0,
            attributes: Vec::new(),
            error: None,
        }
    }

    #[test]
    fn queue_full_drops_and_counts_spans() {
        let (tracer, queue) = Tracer::new(1.0);
        for _ in 0..QUEUE_SPANS_MAX + 3 {
            tracer.send(span());
        }
        assert_eq!(tracer.counts().dropped, 3);
        drop(queue);
        tracer.send(span());
        assert_eq!(tracer.counts().dropped, 4);
    }

    #[test]
    fn sampling_follows_the_ratio_and_the_client() {
        let (all, _all) = Tracer::new(1.0);
        let (none, _none) = Tracer::new(0.0);
        let (half, _half) = Tracer::new(0.5);
        let count = |tracer: &Tracer| {
            (0..1_000)
                .filter(|_| tracer.context(None).is_some())
                .count()
        };
        assert_eq!((count(&all), count(&none)), (1_000, 0));
        assert!((300..700).contains(&count(&half)));
        let of_client = |flags: &str| format!("00-{}-b7ad6b7169203331-{flags}", "1".repeat(32));
        let sampled = none
            .context(Some(&of_client("01")))
            .expect("the client decided");
        assert_eq!(sampled.parent, Some(0xb7ad_6b71_6920_3331));
        assert!(all.context(Some(&of_client("00"))).is_none());
        let foreign = all.context(Some("nonsense")).expect("a trace of its own");
        assert_eq!(foreign.parent, None);
    }
}
