//! The way back: the upstream's bytes go to the client as they came, whole events only, while a tee reads usage, stop and
//! errors. The last event waits until the cost is logged. A stream that ends without its terminal event is an error towards
//! the client, never a clean end.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::dialect::{
    self, BadFrame, EventKind, ForwardedEvent, Framing, ResponseStream, UpstreamError,
};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::event::Status;
use crate::gateway::admission::output_cap::CapDecision;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::send::{ledger_unavailable, on_disk};
use crate::gateway::exchange::{rejection, unary};
use crate::gateway::inflight::InflightGuard;
use crate::gateway::rate_limit_headers;
use crate::gateway::reply::{self, Body, BodySender, Reply};
use crate::meter::Receipt;
use crate::provider::OnDisconnect;
use crate::upstream::{IncomingResponse, TransportError};

/// Events without content are kept back until the first content, but no longer than this after the upstream's head.
const KEPT_BACK: Duration = Duration::from_secs(2);
/// Neither are more of them kept.
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// Pieces that may wait for a client that reads slowly; then the upstream is read no further.
const PIECES: usize = 16;
/// How often a stream's progress is logged.
const PROGRESS: Duration = Duration::from_secs(2);
/// After the terminal event: how long the upstream has to end its body; after a fault: to tell what it used.
const TAIL_WAIT_MS: u64 = 1_000;

/// An upstream's good head, with all that belongs to the call.
pub(crate) struct UpstreamResponse {
    pub open: OpenHold,
    pub incoming: IncomingResponse,
    pub passage: ResponseStream,
    pub framing: Framing,
    /// the client asked for a stream
    pub streamed: bool,
    pub cap: CapDecision,
    pub running: InflightGuard,
}

pub(crate) async fn relay(answered: UpstreamResponse) -> Result<Reply, ApiError> {
    let framing = answered.framing;
    let mut headers = answered.incoming.headers.iter();
    let is_stream = headers.any(|(name, value)| name == "content-type" && framing.is(value));
    if answered.streamed && is_stream {
        return Box::pin(Stream::new(answered).begin()).await;
    }
    unary::unary(answered).await
}

/// The head of an answered call.
pub(crate) fn head(open: &OpenHold, status: u16, upstream: &[(String, String)]) -> Reply {
    let mut headers = upstream.to_vec();
    if let Some(allowance) = &open.held.allowance {
        rate_limit_headers::put_headers(&mut headers, allowance);
    }
    let mut reply = Reply::answered(status, headers, open.held.id, &open.deployment);
    if let Some(members) = &open.changed_members {
        reply
            .headers
            .push(("x-gatekeeper-dropped-params".into(), members.clone()));
    }
    reply
}

pub(crate) fn output_cap(reply: &mut Reply, cap: &CapDecision) {
    if let Some(tokens) = cap.write {
        reply
            .headers
            .push(("x-gatekeeper-output-cap".into(), tokens.to_string()));
    }
}

pub(crate) fn settle(open: &mut OpenHold, status: Status) -> Result<Receipt, ApiError> {
    open.settle(status)
        .map_err(|not_logged| ledger_unavailable(&not_logged))
}

/// What a call is that failed before anything of its answer was passed on.
pub(crate) fn ending(fault: &UpstreamError) -> Status {
    if fault.unreadable {
        Status::Broken
    } else {
        Status::UpstreamError
    }
}

/// A stream on its way.
struct Stream {
    open: OpenHold,
    incoming: IncomingResponse,
    passage: ResponseStream,
    cap: CapDecision,
    running: InflightGuard,
    call_deadline: Instant,
    progressed: Instant,
}

/// What one reading of the upstream came to.
enum ReadStep {
    /// events to pass on; content among them
    Events {
        bytes: Bytes,
        content: bool,
    },
    /// the answer is whole: events before its end
    End {
        bytes: Bytes,
        content: bool,
    },
    Fault {
        bytes: Bytes,
        fault: UpstreamError,
    },
    /// the upstream's stream ended, and its answer had not
    Truncated {
        bytes: Bytes,
    },
    Failed(TransportError),
    /// the call has had its time
    Late,
    BadFrame(BadFrame),
}

/// How a stream ended that did not end well.
struct StreamFailure {
    status: Status,
    problem: ApiError,
}

impl Stream {
    fn new(answered: UpstreamResponse) -> Stream {
        let UpstreamResponse {
            open,
            incoming,
            passage,
            cap,
            running,
            ..
        } = answered;
        Stream {
            passage,
            call_deadline: open.call_deadline(),
            progressed: Instant::now(),
            open,
            incoming,
            cap,
            running,
        }
    }

    /// Keeps back what has no content, so that a stream which fails at once can still be an honest error.
    async fn begin(mut self) -> Result<Reply, ApiError> {
        let kept_until = Instant::now() + KEPT_BACK;
        let mut kept = BytesMut::new();
        loop {
            let idle_ms = self.open.gateway.limits.idle_timeout_ms;
            let step = tokio::select! {
                biased;
                () = tokio::time::sleep_until(kept_until.into()) => return Ok(self.flow(kept.freeze(), false)),
                step = step(&mut self.incoming, &mut self.passage, idle_ms, self.call_deadline) => step,
                () = self.running.shutdown_deadline() => {
                    self.note_read();
                    return Err(stopped(&mut self.open));
                }
            };
            match step {
                ReadStep::Events { bytes, content } => {
                    kept.extend_from_slice(&bytes);
                    self.note_content(content);
                    if content || kept.len() > KEPT_BYTES_MAX {
                        return Ok(self.flow(kept.freeze(), false));
                    }
                }
                ReadStep::End { bytes, content } => {
                    kept.extend_from_slice(&bytes);
                    self.note_content(content);
                    return Ok(self.flow(kept.freeze(), true));
                }
                step => {
                    if let ReadStep::Fault { .. } = &step {
                        self.read_trailing_usage().await;
                    }
                    // an upstream that says it failed bills nothing; one that fell silent, or cannot be understood, may
                    let failed = if let ReadStep::Fault { fault, .. } = &step {
                        Some(ending(fault))
                    } else {
                        None
                    };
                    let StreamFailure { status, problem } = self.bad(step);
                    let status = failed.unwrap_or(status);
                    return Err(self.settle(status).err().unwrap_or(problem));
                }
            }
        }
    }

    /// Sends the head; the rest is passed on by a task that ends by itself, whatever the client or the upstream does.
    fn flow(self, first: Bytes, whole: bool) -> Reply {
        let mut reply = head(&self.open, self.incoming.status, &self.incoming.headers);
        reply::put_remainder(&mut reply.headers, self.open.held.remainder);
        output_cap(&mut reply, &self.cap);
        reply
            .headers
            .push(("cache-control".into(), "no-cache".into()));
        // whatever the upstream's framing was, the client's is this
        for (_, value) in reply
            .headers
            .iter_mut()
            .filter(|(name, value)| name == "content-type" && !Framing::Sse.is(value))
        {
            *value = "text/event-stream".into();
        }
        let (client, pieces) = reply::flow(PIECES);
        reply.body = Body::Stream(pieces);
        tokio::task::spawn_local(self.pump(client, first, whole));
        reply
    }

    async fn pump(mut self, client: BodySender, first: Bytes, whole: bool) {
        let outcome = self.run(&client, first, whole).await;
        match outcome {
            Ok(()) => {
                client.end();
                self.finish_connection().await;
            }
            Err(RelayEnd::Client) if self.open.resolved => {}
            Err(RelayEnd::Client) => {
                if self.open.deployment.provider.on_disconnect == OnDisconnect::Drain {
                    let gateway = self.open.gateway.clone();
                    gateway.drains.run(self.drain_to_end()).await;
                }
                drop(self.settle(Status::ClientGone));
            }
            Err(RelayEnd::Bad(bad)) => {
                let problem = self.settle(bad.status).err().unwrap_or(bad.problem);
                let id = self.open.held.id.request.to_string();
                let failed = self.passage.error_events(&problem, &id);
                if self.send(&client, failed).await.is_ok() {
                    client.end();
                }
            }
        }
    }

    async fn run(
        &mut self,
        client: &BodySender,
        first: Bytes,
        whole: bool,
    ) -> Result<(), RelayEnd> {
        self.send(client, first).await?;
        if whole {
            return self.end(client).await;
        }
        let mut silent_ms = 0;
        loop {
            let limits = &self.open.gateway.limits;
            let wait_ms = limits
                .ping_ms
                .min(limits.idle_timeout_ms.saturating_sub(silent_ms));
            let step = tokio::select! {
                biased;
                () = client.closed() => return Err(RelayEnd::Client),
                () = self.running.shutdown_deadline() => return Err(RelayEnd::Bad(StreamFailure { status: Status::Broken, problem: shutting_down() })),
                step = step(&mut self.incoming, &mut self.passage, wait_ms, self.call_deadline) => step,
            };
            match step {
                ReadStep::Failed(TransportError::IdleTimeout(waited_ms)) => {
                    silent_ms += waited_ms;
                    if silent_ms >= self.open.gateway.limits.idle_timeout_ms {
                        return Err(RelayEnd::Bad(
                            self.bad(ReadStep::Failed(TransportError::IdleTimeout(silent_ms))),
                        ));
                    }
                    self.send(client, dialect::ping(self.passage.dialect()))
                        .await?;
                }
                ReadStep::Events { bytes, content } => {
                    silent_ms = 0;
                    self.note_content(content);
                    self.send(client, bytes).await?;
                    self.log_progress();
                }
                ReadStep::End { bytes, content } => {
                    self.note_content(content);
                    self.send(client, bytes).await?;
                    return self.end(client).await;
                }
                ReadStep::Fault { bytes, fault } => {
                    self.send(client, bytes).await?;
                    self.read_trailing_usage().await;
                    return Err(RelayEnd::Bad(self.bad(ReadStep::Fault {
                        bytes: Bytes::new(),
                        fault,
                    })));
                }
                ReadStep::Truncated { bytes } => {
                    self.send(client, bytes).await?;
                    return Err(RelayEnd::Bad(self.bad(ReadStep::Truncated {
                        bytes: Bytes::new(),
                    })));
                }
                bad => return Err(RelayEnd::Bad(self.bad(bad))),
            }
        }
    }

    /// Reads on to the end without a client, for the usage that is told there.
    async fn drain_to_end(&mut self) {
        let idle_ms = self.open.gateway.limits.idle_timeout_ms;
        loop {
            let step = tokio::select! {
                biased;
                () = self.running.shutdown_deadline() => return,
                step = step(&mut self.incoming, &mut self.passage, idle_ms, self.call_deadline) => step,
            };
            match step {
                ReadStep::Events { content, .. } => {
                    self.note_content(content);
                    self.log_progress();
                }
                ReadStep::Fault { .. } => return self.read_trailing_usage().await,
                _ => return,
            }
        }
    }

    /// After a fault: what the upstream used may follow, and is all that is still read.
    async fn read_trailing_usage(&mut self) {
        let until = Instant::now() + Duration::from_millis(TAIL_WAIT_MS);
        // an upstream may always have more to say
        while !self.passage.output_is_final() && Instant::now() < until {
            match self.passage.read_trailing_usage() {
                Some(EventKind::Terminal | EventKind::Truncated) => return,
                Some(_) => continue,
                None => {}
            }
            let next = tokio::select! {
                biased;
                () = self.running.shutdown_deadline() => return,
                next = tokio::time::timeout_at(until.into(), self.incoming.next(TAIL_WAIT_MS)) => next,
            };
            let Ok(Ok(Some(bytes))) = next else { return };
            if self.passage.push(bytes).is_err() {
                return;
            }
        }
    }

    /// Logs the cost, then lets the client see the end.
    async fn end(&mut self, client: &BodySender) -> Result<(), RelayEnd> {
        let ledger_failed = |problem| {
            RelayEnd::Bad(StreamFailure {
                status: Status::Broken,
                problem,
            })
        };
        self.open.remember(&self.passage);
        let receipt = self.settle(Status::Ok).map_err(ledger_failed)?;
        on_disk(&self.open, receipt.sequence)
            .await
            .map_err(ledger_failed)?;
        let comment = dialect::cost_comment(&receipt.cost.to_string());
        let last = self.passage.end(&self.open.used(), &comment);
        self.send(client, last).await
    }

    /// Lets the upstream end its body, so that the connection can be used again.
    async fn finish_connection(&mut self) {
        let tail = async { while let Ok(Some(_)) = self.incoming.next(TAIL_WAIT_MS).await {} };
        let _ended = tokio::time::timeout(Duration::from_millis(TAIL_WAIT_MS), tail).await;
    }

    /// Hands bytes to the client; one that reads nothing for too long is gone.
    async fn send(&self, client: &BodySender, bytes: Bytes) -> Result<(), RelayEnd> {
        if bytes.is_empty() {
            return Ok(());
        }
        let stall = Duration::from_millis(self.open.gateway.limits.client_stall_ms);
        match tokio::time::timeout(stall, client.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(RelayEnd::Client),
        }
    }

    /// Tells the hold's guard what was read.
    fn note_read(&mut self) {
        self.open.report = self.passage.report();
        self.open.output_is_final = self.passage.output_is_final();
        self.open.delivered = self.passage.delivered();
    }

    /// The first content is that of which the client, or the count of what was delivered, knows first.
    fn note_content(&mut self, content: bool) {
        let content = content || self.passage.delivered().text_bytes > 0;
        if content && self.open.first_content_ms.is_none() {
            self.open.first_content_ms = Some(self.open.admitted.elapsed().as_millis() as u64);
        }
    }

    fn log_progress(&mut self) {
        if self.progressed.elapsed() < PROGRESS {
            return;
        }
        self.progressed = Instant::now();
        self.note_read();
        self.open.log_progress();
    }

    fn settle(&mut self, status: Status) -> Result<Receipt, ApiError> {
        self.note_read();
        settle(&mut self.open, status)
    }

    fn bad(&self, step: ReadStep) -> StreamFailure {
        let name = &self.open.deployment.provider.name;
        let error = |status, message: String| StreamFailure {
            status,
            problem: ApiError::new(ErrorCode::UpstreamError, message),
        };
        match step {
            ReadStep::Fault { fault, .. } => StreamFailure {
                status: Status::Broken,
                problem: rejection::in_band(name, &fault),
            },
            ReadStep::Failed(TransportError::IdleTimeout(ms)) => StreamFailure {
                status: Status::Broken,
                problem: ApiError::new(
                    ErrorCode::UpstreamTimeout,
                    format!(
                        "provider {name} sent nothing more for {} s",
                        ms.div_ceil(1_000)
                    ),
                ),
            },
            ReadStep::Late => {
                let within_s = self.open.gateway.limits.call_timeout_ms.div_ceil(1_000);
                let message =
                    format!("the answer of provider {name} was not whole within {within_s} s");
                StreamFailure {
                    status: Status::Broken,
                    problem: ApiError::new(ErrorCode::UpstreamTimeout, message),
                }
            }
            ReadStep::Failed(failed) => error(
                Status::Broken,
                format!("the stream of provider {name} failed: {failed}"),
            ),
            ReadStep::BadFrame(bad) => error(
                Status::Broken,
                format!("the stream of provider {name} cannot be read: {bad}"),
            ),
            ReadStep::Truncated { .. } | ReadStep::Events { .. } | ReadStep::End { .. } => error(
                Status::Truncated,
                format!("the stream of provider {name} broke off before its end"),
            ),
        }
    }
}

impl Drop for Stream {
    /// The hold's own guard settles; it has to know what was read.
    fn drop(&mut self) {
        self.note_read();
    }
}

/// Why passing on ended early.
enum RelayEnd {
    Client,
    Bad(StreamFailure),
}

/// Books a call that the end of the process cuts short before anything of it was passed on.
pub(crate) fn stopped(open: &mut OpenHold) -> ApiError {
    settle(open, Status::Broken)
        .err()
        .unwrap_or_else(shutting_down)
}

pub(crate) fn shutting_down() -> ApiError {
    ApiError::new(
        ErrorCode::ShuttingDown,
        "the gateway had to stop before the answer was whole",
    )
    .with_retry_after(5)
}

/// Reads once from the upstream and sorts the whole events that are there. May be dropped while it waits: nothing is lost.
async fn step(
    incoming: &mut IncomingResponse,
    passage: &mut ResponseStream,
    idle_ms: u64,
    deadline: Instant,
) -> ReadStep {
    let next = tokio::time::timeout_at(deadline.into(), incoming.next(idle_ms));
    // also an upstream that always has more to say
    let (false, Ok(next)) = (deadline <= Instant::now(), next.await) else {
        return ReadStep::Late;
    };
    match next {
        Err(failed) => ReadStep::Failed(failed),
        Ok(Some(bytes)) => match passage.push(bytes) {
            Ok(()) => sort(passage),
            Err(bad) => ReadStep::BadFrame(bad),
        },
        Ok(None) => match passage.ended() {
            None => ReadStep::Truncated {
                bytes: Bytes::new(),
            },
            Some(ForwardedEvent {
                kind: EventKind::Error(fault),
                bytes,
            }) => ReadStep::Fault { bytes, fault },
            Some(ForwardedEvent { kind, bytes }) => ReadStep::End {
                bytes,
                content: kind == EventKind::Content,
            },
        },
    }
}

fn sort(passage: &mut ResponseStream) -> ReadStep {
    let mut bytes = ChunkJoiner::default();
    let mut content = false;
    while let Some(event) = passage.next_event() {
        bytes.push(event.bytes);
        match event.kind {
            EventKind::Content => content = true,
            EventKind::Head | EventKind::Hidden => {}
            EventKind::Terminal => {
                return ReadStep::End {
                    bytes: bytes.join(),
                    content,
                };
            }
            EventKind::Truncated => {
                return ReadStep::Truncated {
                    bytes: bytes.join(),
                };
            }
            EventKind::Error(fault) => {
                return ReadStep::Fault {
                    bytes: bytes.join(),
                    fault,
                };
            }
        }
    }
    ReadStep::Events {
        bytes: bytes.join(),
        content,
    }
}

/// Events that go out in one piece; a single one is not copied.
#[derive(Default)]
struct ChunkJoiner {
    first: Option<Bytes>,
    rest: BytesMut,
}

impl ChunkJoiner {
    fn push(&mut self, event: Bytes) {
        if event.is_empty() {
            return;
        }
        match &self.first {
            None => self.first = Some(event),
            Some(first) => {
                if self.rest.is_empty() {
                    self.rest.extend_from_slice(first);
                }
                self.rest.extend_from_slice(&event);
            }
        }
    }

    fn join(self) -> Bytes {
        if self.rest.is_empty() {
            self.first.unwrap_or_default()
        } else {
            self.rest.freeze()
        }
    }
}
