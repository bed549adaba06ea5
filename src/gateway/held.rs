//! An attempt whose worst case is held: it is sent, and what comes back is handed to the relay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::dialect::{self, AnswerHead, Dialect, Edit, Passage, Request};
use crate::domain::problem::{Problem, Word};
use crate::gateway::cap::Cap;
use crate::gateway::crossing::Crossing;
use crate::gateway::drain::Presence;
use crate::gateway::inflight::Running;
use crate::gateway::open::Open;
use crate::gateway::reply::Reply;
use crate::gateway::{Gateway, defect, fit, outgoing, rates, relay, reply, upstream_error};
use crate::provider::{Endpoint, OnDisconnect};
use crate::store::NotLogged;
use crate::upstream::{Client, Failed};

/// How long a hold may wait for the disk with `ledger.sync = "disk"`.
const DISK_WAIT: Duration = Duration::from_secs(10);

/// An attempt whose worst case is held.
pub(super) struct HeldAttempt {
    pub request: Request,
    pub open: Open,
    pub cap: Cap,
    pub endpoint: &'static Endpoint,
    pub url: String,
    pub crossing: Option<Box<Crossing>>,
}

impl HeldAttempt {
    /// Headers that say who is asked, and what the rate limits have left: for an attempt that ends without an answer.
    pub(super) fn asked(&self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if let Some(allowance) = &self.open.held.allowance {
            rates::put_headers(&mut headers, allowance);
        }
        reply::put_attempt(&mut headers, self.open.held.id, &self.open.deployment);
        reply::put_remainder(&mut headers, self.open.held.remainder);
        headers
    }

    pub(super) fn gateway(&self) -> Arc<Gateway> {
        self.open.gateway.clone()
    }

    pub(super) fn on_disconnect(&self) -> OnDisconnect {
        self.open.deployment.provider.on_disconnect
    }

    pub(super) fn presence(&self) -> Presence {
        self.open.presence.clone()
    }

    /// Sends the request and relays the answer.
    pub(super) async fn call(
        mut self,
        client: &Client,
        headers: &[(String, String)],
        mut running: Running,
    ) -> Result<Reply, Problem> {
        let limits = &self.open.gateway.limits;
        let head_timeout =
            Duration::from_millis(limits.head_timeout_ms.min(limits.call_timeout_ms));
        let deployment = self.open.deployment.clone();
        let (body, passage) = self.ways(headers)?;
        let alike = self.endpoint.dialect == self.request.dialect && self.endpoint.cover.is_none();
        let headers = outgoing::meant(headers, alike);
        self.open.sent_at = Some(Instant::now());
        let now_ms = self.open.gateway.time.wall_ms();
        let answered = outgoing::send(
            client,
            &deployment,
            &self.url,
            &headers,
            body,
            head_timeout,
            now_ms,
        );
        let answered = tokio::select! {
            biased;
            answered = answered => answered,
            () = running.told_to_end() => return Err(relay::stopped(&mut self.open)),
        };
        let incoming = match answered {
            Ok(incoming) => incoming,
            Err(failed) => return Err(self.not_answered(&failed)),
        };
        self.open.upstream_status = incoming.status;
        self.open.tier_served = outgoing::tier_served(&incoming);
        if !(200..300).contains(&incoming.status) {
            return upstream_error::refused(
                self.open,
                self.request.dialect,
                self.endpoint.dialect,
                incoming,
                running,
            )
            .await;
        }
        let (framing, streamed) = (self.endpoint.framing, self.request.streamed);
        relay::relay(relay::Answered {
            open: self.open,
            incoming,
            passage,
            framing,
            streamed,
            cap: self.cap,
            running,
        })
        .await
    }

    /// What goes upstream, and how the answer comes back. `headers` are the client's.
    fn ways(&mut self, headers: &[(String, String)]) -> Result<(Bytes, Passage), Problem> {
        let event_bytes_max = self.open.gateway.limits.answer_bytes_max;
        let Some(mut crossing) = self.crossing.take() else {
            let hide_usage =
                self.open.deployment.provider.preset.asks_usage && !self.request.usage_asked;
            let passage = Passage::alike(
                self.request.dialect,
                self.endpoint.framing,
                hide_usage,
                event_bytes_max,
            );
            return Ok((self.body(headers), passage));
        };
        let body = crossing
            .body(&self.open.deployment, self.cap.write)
            .ok_or_else(|| defect("a request cannot be translated"))?;
        let body = self.borrowed(body)?;
        let head = AnswerHead {
            request_id: self.open.held.id.request.to_string(),
            model: self.open.deployment.model.clone(),
            created_s: self.open.gateway.time.now_ms() / 1_000,
            envelope: self.open.gateway.envelope.clone(),
        };
        let translation = crossing.translation(&self.request, head)?;
        Ok((
            body,
            Passage::translated(translation, self.endpoint.framing, event_bytes_max),
        ))
    }

    /// A translated body at a vendor that borrows its dialect: fitted by the same table as a client's own would be.
    fn borrowed(&self, body: Bytes) -> Result<Bytes, Problem> {
        let Some(borrowed) = self.endpoint.borrowed else {
            return Ok(body);
        };
        let request = dialect::read(self.endpoint.dialect, body)
            .map_err(|_| defect("a translated request cannot be read"))?;
        let mut edits = Vec::new();
        fit::edits(&request, borrowed, &mut edits);
        Ok(request.spliced(&edits))
    }

    /// The client's bytes with the edits that are allowed: the model's name, the usage report, the output cap, thoughts
    /// that another vendor's model had in an earlier turn, and at a vendor that borrows the dialect, or covers it, what its table
    /// says.
    fn body(&self, headers: &[(String, String)]) -> Bytes {
        let mut edits: Vec<Edit<'_>> = Vec::with_capacity(3);
        let deployment = &self.open.deployment;
        if deployment.model != self.request.model || self.request.aliased {
            edits.push(Edit::text("model", &deployment.model));
        }
        if self.request.streamed && deployment.provider.preset.asks_usage {
            edits.extend(self.request.stream_options_with_usage());
        }
        if let Some(tokens) = self.cap.write {
            edits.extend(
                self.request
                    .capped(tokens, deployment.provider.preset.output_cap_member),
            );
        }
        if self.request.dialect == Dialect::Messages
            && let Some(json) = dialect::without_foreign_thoughts(
                &self.request,
                deployment.capabilities().signed_thoughts,
            )
        {
            edits.push(Edit::Set {
                member: "messages",
                json: json.into(),
            });
        }
        if let Some(borrowed) = self.endpoint.borrowed {
            fit::edits(&self.request, borrowed, &mut edits);
        }
        if let Some(cover) = self.endpoint.cover {
            fit::cover(headers, cover, &mut edits);
        }
        self.request.spliced(&edits)
    }

    fn not_answered(&mut self, failed: &Failed) -> Problem {
        let (status, problem) = outgoing::not_answered(&self.open.deployment.provider.name, failed);
        match self.open.settle(status) {
            Ok(_) => problem,
            Err(not_logged) => ledger_unavailable(&not_logged),
        }
    }
}

/// Waits until a record is as safe as `ledger.sync` promises.
pub(super) async fn on_disk(open: &Open, sequence: u64) -> Result<(), Problem> {
    let wait = tokio::time::timeout(DISK_WAIT, open.gateway.ledger.journal().settled(sequence));
    wait.await.map_err(|_| {
        let message = format!(
            "the disk under the ledger has not answered for {} s; try again in a moment",
            DISK_WAIT.as_secs()
        );
        Problem::new(Word::LedgerUnavailable, message).retry_after(5)
    })
}

pub(super) fn ledger_unavailable(not_logged: &NotLogged) -> Problem {
    let word = if *not_logged == NotLogged::Closing {
        Word::ShuttingDown
    } else {
        Word::LedgerUnavailable
    };
    Problem::new(
        word,
        format!("the books cannot take this request: {not_logged}"),
    )
    .retry_after(5)
}
