//! Stream relay: whole events go to the client as they come, while usage, stop reason and errors are read along. The terminal
//! event waits until the cost is logged. A stream without its terminal event is an error towards the client, never a clean end.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::dialect::{self, EventKind, Framing, ResponseStream};
use crate::domain::event::Status;
use crate::domain::wake_gate::WakeGate;
use crate::gateway::body_stream::{BodySender, body_channel};
use crate::gateway::caching::recorder::AnswerForm;
use crate::gateway::exchange::context::ExchangeContext;
use crate::gateway::exchange::early_reply::{CHUNKS, EarlyReply};
use crate::gateway::exchange::failure;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::outcome::{AttemptFailure, DeliveredPart, FailurePhase, Outcome};
use crate::gateway::exchange::read_step::{ReadStep, next_step};
use crate::gateway::exchange::response::{UpstreamResponse, put_output_cap, reply_head};
use crate::gateway::exchange::sink::{Sink, SinkEnd};
use crate::gateway::exchange::stream_failure::StreamFailure;
use crate::gateway::inflight::InflightGuard;
use crate::gateway::reply::{self, Body, Reply};
use crate::meter::Receipt;
use crate::provider::OnDisconnect;
use crate::upstream::{IncomingResponse, TransportError};

/// Interval at which a stream's progress is logged.
const PROGRESS: Duration = Duration::from_secs(2);
/// After the terminal event: time for the upstream to end its body; after an error: time to report its usage while a client
/// waits for the error.
const TRAILER_WAIT_MS: u64 = 1_000;

/// A streamed response on its way to the client.
pub(super) struct StreamRelay {
    hold: Box<OpenHold>,
    context: Arc<ExchangeContext>,
    incoming: IncomingResponse,
    stream: ResponseStream,
    guard: InflightGuard,
    call_deadline: Instant,
    progress_logged: Instant,
}

/// Reason why the relay loop ended.
enum RelayEnd {
    /// the response is complete up to its terminal event
    Complete,
    /// buffered events are due: the first content is among them, or the buffer is full
    BufferDue,
    /// the client must not wait longer for the head
    HeadDue,
    ClientGone,
    /// the process stops, or the key was revoked
    Ended,
    Failed(StreamFailure),
}

impl StreamRelay {
    /// Boxed relay: each future that owns one holds it twice, as its argument and as its variable.
    pub fn new(response: UpstreamResponse) -> Box<StreamRelay> {
        let UpstreamResponse {
            hold,
            context,
            incoming,
            stream,
            guard,
            ..
        } = response;
        Box::new(StreamRelay {
            call_deadline: hold.call_deadline(),
            progress_logged: Instant::now(),
            hold,
            context,
            incoming,
            stream,
            guard,
        })
    }

    /// Buffers events without content, so that a stream which fails at once is still a failure of the attempt.
    /// A client that has waited for two seconds gets the head; where another attempt is possible, it gets no events before content.
    pub async fn begin(mut self: Box<Self>) -> Outcome {
        let early = self.hold.facts.route.early();
        let mut sink = match early.as_ref().and_then(EarlyReply::take_body) {
            Some(client) => Sink::early(client, BytesMut::new()),
            None => Sink::buffer(),
        };
        let mut end = self.relay(&mut sink).await;
        if let (RelayEnd::HeadDue, Some(early)) = (&end, &early) {
            let client = early.send_head(self.head());
            let (buffered, _) = sink.into_buffered();
            sink = Sink::early(client, buffered);
            end = self.relay(&mut sink).await;
        }
        let (status, failed) = match end {
            RelayEnd::Complete => return self.start_stream(sink, true).await,
            RelayEnd::BufferDue | RelayEnd::HeadDue | RelayEnd::ClientGone => {
                return self.start_stream(sink, false).await;
            }
            RelayEnd::Ended => (
                Status::Broken,
                failure::ordered(&self.guard, FailurePhase::AfterHead),
            ),
            RelayEnd::Failed(StreamFailure {
                failure,
                early_status,
                ..
            }) => (early_status, failure),
        };
        self.note_usage();
        if let (Some(early), (_, Some(client))) = (early, sink.into_buffered()) {
            early.put_back(client);
        }
        failure::settled(&mut self.hold, status, failed).into()
    }

    /// Sends the head, unless the client has one. The rest is forwarded by a task that ends by itself, whatever the client or the
    /// upstream does.
    async fn start_stream(self: Box<Self>, sink: Sink, complete: bool) -> Outcome {
        let (first, client) = sink.into_buffered();
        if let Some(client) = client {
            self.pump(client, first.freeze(), complete).await;
            return Outcome::Relayed;
        }
        let mut reply = self.head();
        let (client, body) = body_channel(CHUNKS);
        reply.body = Body::Stream(body);
        tokio::task::spawn_local(self.pump(client, first.freeze(), complete));
        Outcome::Reply(reply)
    }

    /// Head of the reply.
    fn head(&self) -> Reply {
        let mut reply = reply_head(
            &self.hold,
            self.incoming.status,
            self.incoming.headers.clone(),
        );
        reply::put_remainder(&mut reply.headers, self.hold.grant.remainder);
        put_output_cap(&mut reply, &self.hold);
        reply.headers.push("cache-control", "no-cache");
        // the client's framing is SSE, whatever the upstream's is
        let content_type = reply.headers.find("content-type");
        if content_type.is_some_and(|value| !Framing::Sse.is(value)) {
            reply.headers.remove("content-type");
            reply.headers.push("content-type", "text/event-stream");
        }
        reply
    }

    /// Forwards the response to its end, and settles it.
    async fn pump(mut self: Box<Self>, client: BodySender, first: Bytes, complete: bool) {
        let mut sink = Sink::Client(client);
        let end = match self.deliver(&mut sink, first).await {
            Err(end) => end,
            Ok(()) if complete => RelayEnd::Complete,
            Ok(()) => self.relay(&mut sink).await,
        };
        let end = match end {
            RelayEnd::Complete => match self.finish(&mut sink).await {
                Ok(()) => {
                    sink.end();
                    return self.finish_connection().await;
                }
                Err(end) => end,
            },
            other => other,
        };
        match end {
            RelayEnd::ClientGone | RelayEnd::BufferDue | RelayEnd::HeadDue | RelayEnd::Complete => {
                // boxed, like every part that most streams never come to: a task is as large as its largest part
                Box::pin(self.client_gone()).await;
            }
            RelayEnd::Ended => {
                let failed = failure::ordered(&self.guard, FailurePhase::AfterHead);
                Box::pin(self.fail(sink, Status::Broken, failed)).await;
            }
            RelayEnd::Failed(StreamFailure {
                failure, status, ..
            }) => {
                Box::pin(self.fail(sink, status, failure)).await;
            }
        }
    }

    /// The client disconnected: the call is settled, after the upstream was drained where the provider is configured so.
    async fn client_gone(&mut self) {
        if self.hold.is_resolved() {
            return;
        }
        if self.hold.facts.deployment.provider.on_disconnect == OnDisconnect::Drain {
            let context = self.context.clone();
            let drained = async {
                let _end = self.relay(&mut Sink::Discard).await;
            };
            context.drain_slots.run(drained).await;
        }
        drop(self.settle(Status::ClientGone));
    }

    /// Settles a failed stream and tells the client in-band.
    async fn fail(&mut self, mut sink: Sink, status: Status, failed: AttemptFailure) {
        self.hold.note_failure(&failed, DeliveredPart::Content);
        let failed = self.settle(status).err().unwrap_or(failed);
        self.context
            .log_failure(&failed, self.hold.grant.id.request);
        let id = self.hold.grant.id.request.to_string();
        let event = self.stream.error_events(&failed.into_api_error(), &id);
        if self.deliver(&mut sink, event).await.is_ok() {
            sink.end();
        }
    }

    /// The relay loop: reads events until the response ends or fails, or until the sink takes no more.
    async fn relay(&mut self, sink: &mut Sink) -> RelayEnd {
        let (ping_ms, idle_ms) = (
            self.context.limits.ping_ms,
            self.hold.facts.deadlines.idle_ms,
        );
        let mut silent_ms = 0;
        // one future each for all reads: what may end the stream is waited for in one place, and not asked for at each event
        let guard = self.guard.clone();
        let (end_ordered, interrupted) = (pin!(guard.end_ordered()), pin!(sink.interrupted()));
        let mut end_ordered = WakeGate::new(end_ordered);
        let mut interrupted = WakeGate::new(interrupted);
        loop {
            if let Some(end) = self.interruption(sink) {
                return end;
            }
            let left_ms = idle_ms.saturating_sub(silent_ms);
            let deadline = self.deadline();
            let wait_ms = if sink.has_client() {
                ping_ms.min(left_ms)
            } else {
                left_ms
            };
            // the upstream first: only a wait is worth the registration of what may end it
            let step = tokio::select! {
                biased;
                step = next_step(&mut self.incoming, &mut self.stream, wait_ms, deadline) => step,
                end = &mut interrupted => return end.into(),
                () = &mut end_ordered => return RelayEnd::Ended,
            };
            let delivered = match step {
                ReadStep::Transport(TransportError::IdleTimeout(waited_ms)) => {
                    silent_ms += waited_ms;
                    if silent_ms >= idle_ms {
                        let step = ReadStep::Transport(TransportError::IdleTimeout(silent_ms));
                        return RelayEnd::Failed(self.failure(step));
                    }
                    self.ping(sink).await
                }
                ReadStep::Events { bytes, content } => {
                    silent_ms = 0;
                    self.forward(sink, bytes, content).await
                }
                last => return Box::pin(self.end_of(last, sink)).await,
            };
            if let Err(end) = delivered {
                return end;
            }
        }
    }

    /// Reason for which nothing more may be read, if there is one now.
    fn interruption(&self, sink: &Sink) -> Option<RelayEnd> {
        let is_ended = || self.guard.is_end_ordered().then_some(RelayEnd::Ended);
        sink.interruption().map(RelayEnd::from).or_else(is_ended)
    }

    /// Delivers events and logs progress; an error is the end of the relay loop.
    async fn forward(
        &mut self,
        sink: &mut Sink,
        bytes: Bytes,
        content: bool,
    ) -> Result<(), RelayEnd> {
        self.note_content(content);
        self.hold.record_answer(&bytes);
        self.deliver(sink, bytes).await?;
        if sink.is_due(content) {
            return Err(RelayEnd::BufferDue);
        }
        self.log_progress(sink);
        Ok(())
    }

    /// Delivers the events of the last step and says how the stream ended.
    async fn end_of(&mut self, step: ReadStep, sink: &mut Sink) -> RelayEnd {
        let (bytes, end) = match step {
            ReadStep::End { bytes, content } => {
                self.note_content(content);
                self.hold.record_answer(&bytes);
                (bytes, RelayEnd::Complete)
            }
            ReadStep::Error { bytes, error } => {
                let step = ReadStep::Error {
                    bytes: Bytes::new(),
                    error,
                };
                let failed = RelayEnd::Failed(self.failure(step));
                if let Err(end) = self.deliver(sink, bytes).await {
                    return end;
                }
                // without a client, nobody waits for the error
                let wait_ms = match sink {
                    Sink::Discard => self.hold.facts.deadlines.idle_ms,
                    Sink::Client(_) | Sink::Buffer { .. } | Sink::Early { .. } => TRAILER_WAIT_MS,
                };
                self.read_trailing_usage(wait_ms).await;
                return failed;
            }
            ReadStep::Truncated { bytes } => {
                let failed = self.failure(ReadStep::Truncated {
                    bytes: Bytes::new(),
                });
                (bytes, RelayEnd::Failed(failed))
            }
            other => return RelayEnd::Failed(self.failure(other)),
        };
        match self.deliver(sink, bytes).await {
            Ok(()) => end,
            Err(end) => end,
        }
    }

    /// After an error: the upstream may still report its usage, which is all that is read of it.
    async fn read_trailing_usage(&mut self, wait_ms: u64) {
        let until = Instant::now() + Duration::from_millis(wait_ms);
        // bounded: an upstream may always have more to send
        while !self.stream.output_is_final() && Instant::now() < until {
            match self.stream.read_trailing_usage() {
                Some(EventKind::Terminal | EventKind::Truncated) => return,
                Some(_) => continue,
                None => {}
            }
            let next = tokio::select! {
                biased;
                () = self.guard.end_ordered() => return,
                next = tokio::time::timeout_at(until.into(), self.incoming.next(wait_ms)) => next,
            };
            let Ok(Ok(Some(bytes))) = next else { return };
            if self.stream.push(bytes).is_err() {
                return;
            }
        }
    }

    /// Logs the cost, then lets the client see the end.
    async fn finish(&mut self, sink: &mut Sink) -> Result<(), RelayEnd> {
        self.hold.keep_reasoning(&self.context, &self.stream);
        let receipt = self.settle(Status::Ok).map_err(RelayEnd::failed)?;
        let durable = self.hold.wait_until_durable(receipt.sequence).await;
        durable.map_err(|error| RelayEnd::failed(failure::durability(error)))?;
        let comment = dialect::cost_comment(&receipt.cost.to_string());
        let last = self.stream.end(&self.hold.final_usage(), &comment);
        self.hold.record_answer(&last);
        let form = AnswerForm::streamed(self.stream.dialect());
        self.hold.keep_answer(&self.context, form, receipt.cost);
        self.deliver(sink, last).await
    }

    /// Lets the upstream end its body, so that the connection can be used again.
    async fn finish_connection(&mut self) {
        let rest = async { while let Ok(Some(_)) = self.incoming.next(TRAILER_WAIT_MS).await {} };
        let _timed_out = tokio::time::timeout(Duration::from_millis(TRAILER_WAIT_MS), rest).await;
    }

    /// Instant by which the response must be complete or, until then, have content.
    fn deadline(&self) -> Instant {
        let content = self.hold.content_deadline();
        match content.filter(|_| self.hold.first_content_ms.is_none()) {
            Some(content) => content.min(self.call_deadline),
            None => self.call_deadline,
        }
    }

    fn failure(&self, step: ReadStep) -> StreamFailure {
        let deadlines = &self.hold.facts.deadlines;
        let lacks_content = self.hold.first_content_ms.is_none();
        let timeout_ms = match deadlines.first_content_ms {
            Some(ms) if lacks_content && Instant::now() < self.call_deadline => ms,
            _ => deadlines.call_ms,
        };
        StreamFailure::of_step(step, &self.hold.facts.deployment.provider, timeout_ms)
    }

    async fn deliver(&self, sink: &mut Sink, chunk: Bytes) -> Result<(), RelayEnd> {
        let stall = Duration::from_millis(self.context.limits.client_stall_ms);
        Ok(sink.deliver(chunk, stall).await?)
    }

    async fn ping(&self, sink: &mut Sink) -> Result<(), RelayEnd> {
        let stall = Duration::from_millis(self.context.limits.client_stall_ms);
        let ping = dialect::ping(self.stream.dialect());
        Ok(sink.ping(ping, stall).await?)
    }

    /// Copies what was read so far into the hold, whose guard settles.
    fn note_usage(&mut self) {
        self.hold.report = self.stream.report();
        self.hold.output_is_final = self.stream.output_is_final();
        self.hold.delivered = self.stream.delivered();
    }

    fn note_content(&mut self, content: bool) {
        if content || self.stream.delivered().text_bytes > 0 {
            self.hold.note_content();
        }
    }

    fn log_progress(&mut self, sink: &Sink) {
        if sink.is_buffered() || self.progress_logged.elapsed() < PROGRESS {
            return;
        }
        self.progress_logged = Instant::now();
        self.note_usage();
        self.hold.log_progress();
    }

    fn settle(&mut self, status: Status) -> Result<Receipt, AttemptFailure> {
        self.note_usage();
        failure::settle(&mut self.hold, status)
    }
}

impl Drop for StreamRelay {
    /// The hold's own guard settles; it has to know what was read.
    fn drop(&mut self) {
        self.note_usage();
    }
}

impl From<SinkEnd> for RelayEnd {
    fn from(end: SinkEnd) -> RelayEnd {
        match end {
            SinkEnd::HeadDue => RelayEnd::HeadDue,
            SinkEnd::ClientGone => RelayEnd::ClientGone,
        }
    }
}

impl RelayEnd {
    fn failed(failure: AttemptFailure) -> RelayEnd {
        RelayEnd::Failed(StreamFailure {
            failure,
            early_status: Status::Broken,
            status: Status::Broken,
        })
    }
}
