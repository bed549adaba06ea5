//! Exporter: collects finished spans into batches and posts them to the collector. A collector that is away costs spans, never a
//! request: each batch is tried a few times and then counted as failed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::protobuf;
use super::span::{AttributeValue, Span};
use super::tracer::Tracer;
use crate::config::OtlpConfig;
use crate::upstream::{Client, OutgoingRequest};

const BATCH_SPANS_MAX: usize = 512;
/// Longest wait of a span for company.
const BATCH_WAIT: Duration = Duration::from_secs(2);
/// Pauses before the repetitions of a batch.
const RETRY_PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// Time for what is left at the shutdown.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// Statuses after which the same batch may be taken later.
const RETRYABLE: [u16; 4] = [429, 502, 503, 504];

/// Running exporter; its owner stops it after the last request.
pub struct TraceExporter {
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

struct Exporter {
    config: OtlpConfig,
    client: Client,
    tracer: Arc<Tracer>,
    queue: mpsc::Receiver<Span>,
    is_failing: bool,
}

impl TraceExporter {
    /// Starts the export on this thread; `instance` names the data folder's books.
    pub fn start(
        config: OtlpConfig,
        client: Client,
        instance: String,
    ) -> (Arc<Tracer>, TraceExporter) {
        let (tracer, queue) = Tracer::new(config.sample_ratio);
        let (shutdown, stopped) = watch::channel(false);
        let exporter = Exporter {
            config,
            client,
            tracer: tracer.clone(),
            queue,
            is_failing: false,
        };
        let task = tokio::task::spawn_local(exporter.run(instance, stopped));
        (tracer, TraceExporter { shutdown, task })
    }

    /// Exports what is left, for a moment, and ends.
    pub async fn stop(self) {
        self.shutdown.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "export of traces failed");
        }
    }
}

impl Exporter {
    async fn run(mut self, instance: String, mut stopped: watch::Receiver<bool>) {
        let resource = [
            (
                "service.name",
                AttributeValue::Text("gatekeeper".to_owned()),
            ),
            (
                "service.version",
                AttributeValue::Text(env!("CARGO_PKG_VERSION").to_owned()),
            ),
            ("service.instance.id", AttributeValue::Text(instance)),
        ];
        let mut batch = Vec::new();
        loop {
            let has_stopped = tokio::select! {
                biased;
                _ = stopped.wait_for(|is_stopped| *is_stopped) => true,
                () = fill(&mut self.queue, &mut batch) => false,
            };
            if has_stopped {
                break;
            }
            tokio::select! {
                _ = stopped.wait_for(|is_stopped| *is_stopped) => break,
                () = self.deliver(&batch, &resource) => batch.clear(),
            }
        }
        while let Ok(span) = self.queue.try_recv() {
            batch.push(span);
        }
        let last = async {
            for spans in batch.chunks(BATCH_SPANS_MAX) {
                let outcome = self.post(spans, &resource).await;
                self.note(spans.len(), outcome.map_err(|(reason, _)| reason));
            }
        };
        let _left_for_lack_of_time = tokio::time::timeout(STOP_WAIT, last).await;
    }

    /// Posts a batch, again after a pause where the collector may take it later.
    async fn deliver(&mut self, spans: &[Span], resource: &[(&'static str, AttributeValue)]) {
        let mut pauses = RETRY_PAUSES.into_iter();
        let outcome = loop {
            match self.post(spans, resource).await {
                Ok(()) => break Ok(()),
                Err((reason, may_retry)) => match pauses.next().filter(|_| may_retry) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => break Err(reason),
                },
            }
        };
        self.note(spans.len(), outcome);
    }

    /// Counts the outcome; logs the first failure and the recovery.
    fn note(&mut self, spans: usize, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.tracer.note_exported(spans);
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("traces are exported again");
                }
            }
            Err(error) => {
                self.tracer.note_failed(spans);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(
                        error,
                        spans,
                        "traces not exported; spans are dropped until the collector answers"
                    );
                }
            }
        }
    }

    /// `Err`: reason in words, and `true` if a later attempt may succeed.
    async fn post(
        &self,
        spans: &[Span],
        resource: &[(&'static str, AttributeValue)],
    ) -> Result<(), (String, bool)> {
        let mut headers = vec![
            ("content-type", "application/x-protobuf"),
            ("user-agent", "gatekeeper"),
        ];
        let configured = self.config.headers.iter();
        headers.extend(configured.map(|(name, value)| (name.as_str(), value.expose())));
        let outgoing = OutgoingRequest {
            url: &self.config.url,
            connection: &self.config.connection,
            headers,
            body: Bytes::from(protobuf::export_request(spans, resource)),
            head_timeout_ms: self.config.timeout_ms,
        };
        match self.client.post(outgoing, |_| false).await {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => {
                let may_retry = RETRYABLE.contains(&answer.status);
                Err((format!("status {}", answer.status), may_retry))
            }
            Err(error) => Err((error.to_string(), true)),
        }
    }
}

/// Waits for a first span, then for others until the batch is full or its time is over.
async fn fill(queue: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>) {
    if batch.is_empty() {
        match queue.recv().await {
            Some(span) => batch.push(span),
            None => std::future::pending().await,
        }
    }
    let _time_is_over = tokio::time::timeout(BATCH_WAIT, async {
        while batch.len() < BATCH_SPANS_MAX {
            match queue.recv().await {
                Some(span) => batch.push(span),
                None => break,
            }
        }
    })
    .await;
}
