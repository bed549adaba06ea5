//! The way back: the upstream's bytes go to the client as they came, whole events only, while a tee reads usage, stop and
//! errors. The last event waits until the cost is logged. A stream that ends without its terminal event is an error towards
//! the client, never a clean end.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::dialect::{self, BadFrame, Framing, Kind, Passage, Passed, UpstreamFault};
use crate::domain::event::Status;
use crate::domain::problem::{Problem, Word};
use crate::gateway::cap::Cap;
use crate::gateway::held::{ledger_unavailable, on_disk};
use crate::gateway::inflight::Running;
use crate::gateway::open::Open;
use crate::gateway::reply::{self, Body, Outlet, Reply};
use crate::gateway::{rates, upstream_error, whole};
use crate::meter::Receipt;
use crate::provider::OnDisconnect;
use crate::upstream::{Failed, Incoming};

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
pub(super) struct Answered {
    pub open: Open,
    pub incoming: Incoming,
    pub passage: Passage,
    pub framing: Framing,
    /// the client asked for a stream
    pub streamed: bool,
    pub cap: Cap,
    pub running: Running,
}

pub(super) async fn relay(answered: Answered) -> Result<Reply, Problem> {
    let framing = answered.framing;
    let mut headers = answered.incoming.headers.iter();
    let is_stream = headers.any(|(name, value)| name == "content-type" && framing.is(value));
    if answered.streamed && is_stream {
        return Box::pin(Stream::new(answered).begin()).await;
    }
    whole::unary(answered).await
}

/// The head of an answered call.
pub(super) fn head(open: &Open, status: u16, upstream: &[(String, String)]) -> Reply {
    let mut headers = upstream.to_vec();
    if let Some(allowance) = &open.held.allowance {
        rates::put_headers(&mut headers, allowance);
    }
    let mut reply = Reply::answered(status, headers, open.held.id, &open.deployment);
    if let Some(members) = &open.changed_members {
        reply
            .headers
            .push(("x-gatekeeper-dropped-params".into(), members.clone()));
    }
    reply
}

pub(super) fn output_cap(reply: &mut Reply, cap: &Cap) {
    if let Some(tokens) = cap.write {
        reply
            .headers
            .push(("x-gatekeeper-output-cap".into(), tokens.to_string()));
    }
}

pub(super) fn settle(open: &mut Open, status: Status) -> Result<Receipt, Problem> {
    open.settle(status)
        .map_err(|not_logged| ledger_unavailable(&not_logged))
}

/// What a call is that failed before anything of its answer was passed on.
pub(super) fn ending(fault: &UpstreamFault) -> Status {
    if fault.unreadable {
        Status::Broken
    } else {
        Status::UpstreamError
    }
}

/// A stream on its way.
struct Stream {
    open: Open,
    incoming: Incoming,
    passage: Passage,
    cap: Cap,
    running: Running,
    call_deadline: Instant,
    progressed: Instant,
}

/// What one reading of the upstream came to.
enum Step {
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
        fault: UpstreamFault,
    },
    /// the upstream's stream ended, and its answer had not
    Truncated {
        bytes: Bytes,
    },
    Failed(Failed),
    /// the call has had its time
    Late,
    BadFrame(BadFrame),
}

/// How a stream ended that did not end well.
struct Bad {
    status: Status,
    problem: Problem,
}

impl Stream {
    fn new(answered: Answered) -> Stream {
        let Answered {
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
    async fn begin(mut self) -> Result<Reply, Problem> {
        let kept_until = Instant::now() + KEPT_BACK;
        let mut kept = BytesMut::new();
        loop {
            let idle_ms = self.open.gateway.limits.idle_timeout_ms;
            let step = tokio::select! {
                biased;
                () = tokio::time::sleep_until(kept_until.into()) => return Ok(self.flow(kept.freeze(), false)),
                step = step(&mut self.incoming, &mut self.passage, idle_ms, self.call_deadline) => step,
                () = self.running.told_to_end() => {
                    self.note_read();
                    return Err(stopped(&mut self.open));
                }
            };
            match step {
                Step::Events { bytes, content } => {
                    kept.extend_from_slice(&bytes);
                    self.note_content(content);
                    if content || kept.len() > KEPT_BYTES_MAX {
                        return Ok(self.flow(kept.freeze(), false));
                    }
                }
                Step::End { bytes, content } => {
                    kept.extend_from_slice(&bytes);
                    self.note_content(content);
                    return Ok(self.flow(kept.freeze(), true));
                }
                step => {
                    if let Step::Fault { .. } = &step {
                        self.overhear().await;
                    }
                    // an upstream that says it failed bills nothing; one that fell silent, or cannot be understood, may
                    let failed = if let Step::Fault { fault, .. } = &step {
                        Some(ending(fault))
                    } else {
                        None
                    };
                    let Bad { status, problem } = self.bad(step);
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
        tokio::task::spawn_local(self.pass_on(client, first, whole));
        reply
    }

    async fn pass_on(mut self, client: Outlet, first: Bytes, whole: bool) {
        let outcome = self.run(&client, first, whole).await;
        match outcome {
            Ok(()) => {
                client.end();
                self.read_tail().await;
            }
            Err(Gone::Client) if self.open.resolved => {}
            Err(Gone::Client) => {
                if self.open.deployment.provider.on_disconnect == OnDisconnect::Drain {
                    let gateway = self.open.gateway.clone();
                    gateway.drains.run(self.read_out()).await;
                }
                drop(self.settle(Status::ClientGone));
            }
            Err(Gone::Bad(bad)) => {
                let problem = self.settle(bad.status).err().unwrap_or(bad.problem);
                let id = self.open.held.id.request.to_string();
                let failed = self.passage.failed(&problem, &id);
                if self.send(&client, failed).await.is_ok() {
                    client.end();
                }
            }
        }
    }

    async fn run(&mut self, client: &Outlet, first: Bytes, whole: bool) -> Result<(), Gone> {
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
                () = client.closed() => return Err(Gone::Client),
                () = self.running.told_to_end() => return Err(Gone::Bad(Bad { status: Status::Broken, problem: shutting_down() })),
                step = step(&mut self.incoming, &mut self.passage, wait_ms, self.call_deadline) => step,
            };
            match step {
                Step::Failed(Failed::IdleTimeout(waited_ms)) => {
                    silent_ms += waited_ms;
                    if silent_ms >= self.open.gateway.limits.idle_timeout_ms {
                        return Err(Gone::Bad(
                            self.bad(Step::Failed(Failed::IdleTimeout(silent_ms))),
                        ));
                    }
                    self.send(client, dialect::ping(self.passage.dialect()))
                        .await?;
                }
                Step::Events { bytes, content } => {
                    silent_ms = 0;
                    self.note_content(content);
                    self.send(client, bytes).await?;
                    self.log_progress();
                }
                Step::End { bytes, content } => {
                    self.note_content(content);
                    self.send(client, bytes).await?;
                    return self.end(client).await;
                }
                Step::Fault { bytes, fault } => {
                    self.send(client, bytes).await?;
                    self.overhear().await;
                    return Err(Gone::Bad(self.bad(Step::Fault {
                        bytes: Bytes::new(),
                        fault,
                    })));
                }
                Step::Truncated { bytes } => {
                    self.send(client, bytes).await?;
                    return Err(Gone::Bad(self.bad(Step::Truncated {
                        bytes: Bytes::new(),
                    })));
                }
                bad => return Err(Gone::Bad(self.bad(bad))),
            }
        }
    }

    /// Reads on to the end without a client, for the usage that is told there.
    async fn read_out(&mut self) {
        let idle_ms = self.open.gateway.limits.idle_timeout_ms;
        loop {
            let step = tokio::select! {
                biased;
                () = self.running.told_to_end() => return,
                step = step(&mut self.incoming, &mut self.passage, idle_ms, self.call_deadline) => step,
            };
            match step {
                Step::Events { content, .. } => {
                    self.note_content(content);
                    self.log_progress();
                }
                Step::Fault { .. } => return self.overhear().await,
                _ => return,
            }
        }
    }

    /// After a fault: what the upstream used may follow, and is all that is still read.
    async fn overhear(&mut self) {
        let until = Instant::now() + Duration::from_millis(TAIL_WAIT_MS);
        // an upstream may always have more to say
        while !self.passage.output_is_final() && Instant::now() < until {
            match self.passage.overhear() {
                Some(Kind::Terminal | Kind::CutOff) => return,
                Some(_) => continue,
                None => {}
            }
            let next = tokio::select! {
                biased;
                () = self.running.told_to_end() => return,
                next = tokio::time::timeout_at(until.into(), self.incoming.next(TAIL_WAIT_MS)) => next,
            };
            let Ok(Ok(Some(bytes))) = next else { return };
            if self.passage.push(bytes).is_err() {
                return;
            }
        }
    }

    /// Logs the cost, then lets the client see the end.
    async fn end(&mut self, client: &Outlet) -> Result<(), Gone> {
        let ledger_failed = |problem| {
            Gone::Bad(Bad {
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
    async fn read_tail(&mut self) {
        let tail = async { while let Ok(Some(_)) = self.incoming.next(TAIL_WAIT_MS).await {} };
        let _ended = tokio::time::timeout(Duration::from_millis(TAIL_WAIT_MS), tail).await;
    }

    /// Hands bytes to the client; one that reads nothing for too long is gone.
    async fn send(&self, client: &Outlet, bytes: Bytes) -> Result<(), Gone> {
        if bytes.is_empty() {
            return Ok(());
        }
        let stall = Duration::from_millis(self.open.gateway.limits.client_stall_ms);
        match tokio::time::timeout(stall, client.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone::Client),
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

    fn settle(&mut self, status: Status) -> Result<Receipt, Problem> {
        self.note_read();
        settle(&mut self.open, status)
    }

    fn bad(&self, step: Step) -> Bad {
        let name = &self.open.deployment.provider.name;
        let error = |status, message: String| Bad {
            status,
            problem: Problem::new(Word::UpstreamError, message),
        };
        match step {
            Step::Fault { fault, .. } => Bad {
                status: Status::Broken,
                problem: upstream_error::in_band(name, &fault),
            },
            Step::Failed(Failed::IdleTimeout(ms)) => Bad {
                status: Status::Broken,
                problem: Problem::new(
                    Word::UpstreamTimeout,
                    format!(
                        "provider {name} sent nothing more for {} s",
                        ms.div_ceil(1_000)
                    ),
                ),
            },
            Step::Late => {
                let within_s = self.open.gateway.limits.call_timeout_ms.div_ceil(1_000);
                let message =
                    format!("the answer of provider {name} was not whole within {within_s} s");
                Bad {
                    status: Status::Broken,
                    problem: Problem::new(Word::UpstreamTimeout, message),
                }
            }
            Step::Failed(failed) => error(
                Status::Broken,
                format!("the stream of provider {name} failed: {failed}"),
            ),
            Step::BadFrame(bad) => error(
                Status::Broken,
                format!("the stream of provider {name} cannot be read: {bad}"),
            ),
            Step::Truncated { .. } | Step::Events { .. } | Step::End { .. } => error(
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
enum Gone {
    Client,
    Bad(Bad),
}

/// Books a call that the end of the process cuts short before anything of it was passed on.
pub(super) fn stopped(open: &mut Open) -> Problem {
    settle(open, Status::Broken)
        .err()
        .unwrap_or_else(shutting_down)
}

pub(super) fn shutting_down() -> Problem {
    Problem::new(
        Word::ShuttingDown,
        "the gateway had to stop before the answer was whole",
    )
    .retry_after(5)
}

/// Reads once from the upstream and sorts the whole events that are there. May be dropped while it waits: nothing is lost.
async fn step(
    incoming: &mut Incoming,
    passage: &mut Passage,
    idle_ms: u64,
    deadline: Instant,
) -> Step {
    let next = tokio::time::timeout_at(deadline.into(), incoming.next(idle_ms));
    // also an upstream that always has more to say
    let (false, Ok(next)) = (deadline <= Instant::now(), next.await) else {
        return Step::Late;
    };
    match next {
        Err(failed) => Step::Failed(failed),
        Ok(Some(bytes)) => match passage.push(bytes) {
            Ok(()) => sort(passage),
            Err(bad) => Step::BadFrame(bad),
        },
        Ok(None) => match passage.ended() {
            None => Step::Truncated {
                bytes: Bytes::new(),
            },
            Some(Passed {
                kind: Kind::Error(fault),
                bytes,
            }) => Step::Fault { bytes, fault },
            Some(Passed { kind, bytes }) => Step::End {
                bytes,
                content: kind == Kind::Content,
            },
        },
    }
}

fn sort(passage: &mut Passage) -> Step {
    let mut bytes = Pieces::default();
    let mut content = false;
    while let Some(event) = passage.next_event() {
        bytes.push(event.bytes);
        match event.kind {
            Kind::Content => content = true,
            Kind::Head | Kind::Hidden => {}
            Kind::Terminal => {
                return Step::End {
                    bytes: bytes.join(),
                    content,
                };
            }
            Kind::CutOff => {
                return Step::Truncated {
                    bytes: bytes.join(),
                };
            }
            Kind::Error(fault) => {
                return Step::Fault {
                    bytes: bytes.join(),
                    fault,
                };
            }
        }
    }
    Step::Events {
        bytes: bytes.join(),
        content,
    }
}

/// Events that go out in one piece; a single one is not copied.
#[derive(Default)]
struct Pieces {
    first: Option<Bytes>,
    rest: BytesMut,
}

impl Pieces {
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
