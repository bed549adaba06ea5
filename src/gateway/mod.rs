//! The data plane: a model call from the client's bytes to the client's bytes. Nothing is sent upstream before its worst
//! case is held, and nothing is finished towards the client before its cost is logged.

mod admission;
mod exchange;
mod inflight;
mod metrics;
mod rate_limit_headers;
mod reply;
mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::auth;
use crate::auth::directory::{Caller, DirectoryCell};
use crate::config::{Config, Limits, Overrun};
use crate::conversation::StateSealer;
use crate::dialect::{self, Dialect, Operation, Request};
use crate::domain::alert::Alert;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attribution::{Pseudonyms, Tag};
use crate::domain::id::RequestId;
use crate::domain::time::Time;
use crate::gateway::admission::Admission;
use crate::gateway::admission::queue::Queue;
use crate::gateway::admission::refusal_log::RefusalEntry;
use crate::gateway::exchange::drain::DrainSlots;
pub use crate::gateway::exchange::http::is_forwarded;
pub use crate::gateway::inflight::Inflight;
pub use crate::gateway::metrics::Metrics;
pub use crate::gateway::reply::{Body, Reply};
use crate::meter::Ledger;
use crate::meter::estimates::Estimates;
use crate::policy::access;
use crate::route::{Deployment, RouteTable};
use crate::store::reasoning_memory::ReasoningMemory;
use crate::store::seal::SealKey;
use crate::upstream::Client;

/// A model call as the listener hands it over.
pub struct Call {
    pub dialect: Dialect,
    pub operation: Operation,
    pub credential: Option<String>,
    /// the client's headers that `is_forwarded`, names in lower case
    pub headers: Vec<(String, String)>,
    /// the header `TAG_HEADER` as it came
    pub tag: Option<Bytes>,
    pub body: Bytes,
}

/// What a call is filed under, besides its user; it goes no further.
pub const TAG_HEADER: &str = "x-gatekeeper-tag";

/// What the gateway is given of the rest of the process.
pub struct GatewayParts {
    pub directory: Arc<DirectoryCell>,
    pub ledger: Arc<Ledger>,
    pub pseudonyms: Pseudonyms,
    /// who writes down what budgets have to say
    pub alerts: mpsc::Sender<Alert>,
    /// what seals are made of
    pub seal_key: SealKey,
    /// `None`: what clients cannot carry is lost
    pub memory: Option<Arc<ReasoningMemory>>,
    pub time: Arc<Time>,
}

/// What all workers share.
pub struct Gateway {
    limits: Limits,
    overrun: Overrun,
    picker_aliases: bool,
    directory: Arc<DirectoryCell>,
    ledger: Arc<Ledger>,
    table: Arc<RouteTable>,
    queue: Queue,
    drains: DrainSlots,
    estimates: Estimates,
    time: Arc<Time>,
    pseudonyms: Pseudonyms,
    alerts: mpsc::Sender<Alert>,
    /// seals what only a vendor can read
    envelope: StateSealer,
    memory: Option<Arc<ReasoningMemory>>,
    metrics: Metrics,
    inflight: Inflight,
    refusals: refusals::RefusalSampler,
    /// random at start, then counted up: what makes request ids unique
    unique: AtomicU64,
}

impl Gateway {
    pub fn new(
        config: &Config,
        table: Arc<RouteTable>,
        parts: GatewayParts,
    ) -> Result<Gateway, getrandom::Error> {
        Ok(Gateway {
            envelope: StateSealer::new(parts.seal_key.for_purpose("envelope")),
            memory: parts.memory,
            limits: config.limits,
            overrun: config.ledger.budget_overrun,
            picker_aliases: config.picker_aliases,
            directory: parts.directory,
            ledger: parts.ledger,
            table,
            queue: Queue::new(config.limits.queue_max),
            drains: DrainSlots::default(),
            estimates: Estimates::default(),
            pseudonyms: parts.pseudonyms,
            alerts: parts.alerts,
            time: parts.time,
            metrics: Metrics::default(),
            inflight: Inflight::default(),
            refusals: refusals::RefusalSampler::default(),
            unique: AtomicU64::new(getrandom::u64()?),
        })
    }

    /// The journey of a call. Every refusal is answered in the dialect that the client speaks.
    pub async fn handle(self: &Arc<Gateway>, client: &Client, call: Call) -> Reply {
        let id = self.next_id();
        let dialect = call.dialect;
        let began = std::time::Instant::now();
        let reply = match self.journey(client, call, id).await {
            Ok(reply) => reply,
            Err(FailedCall { problem, headers }) => {
                self.metrics.refused(problem.code);
                let mut reply = Reply::refusal(dialect, &problem, id);
                reply.headers.extend(headers);
                reply
            }
        };
        self.metrics.answered(began.elapsed());
        reply
    }

    async fn journey(
        self: &Arc<Gateway>,
        client: &Client,
        call: Call,
        id: RequestId,
    ) -> Result<Reply, FailedCall> {
        let running = self.inflight.begin()?;
        let Call {
            dialect,
            operation,
            credential,
            headers,
            tag,
            body,
        } = call;
        let caller = self
            .authenticate(credential.as_deref())
            .map_err(|problem| {
                let call = UnparsedCall {
                    dialect,
                    operation,
                    credential: credential.as_deref(),
                    id,
                };
                self.note_refusal(&call, problem, |entering| {
                    entering.read_what_can_be(tag.as_deref(), &body)
                })
            })?;
        let mut entering = RefusalEntry::new(self, id, dialect, operation, caller.clone());
        let tag = tag
            .map(|bytes| Tag::parse(&bytes).ok_or_else(|| entering.refused(invalid_tag())))
            .transpose()?;
        entering.tag.clone_from(&tag);
        let mut request =
            dialect::read(dialect, operation, body).map_err(|problem| entering.refused(problem))?;
        self.resolve_alias(&mut request);
        entering.read(&request);
        let deployment = self
            .admit(&caller, &request.model)
            .map_err(|problem| entering.refused(problem))?;
        let planned =
            Admission::plan(self, caller, request, deployment, id, tag, client.fetcher()).await;
        let attempt = planned.map_err(|problem| entering.refused(problem))?;
        if operation.is_unmetered() {
            return Ok(Box::pin(free::call(attempt, client, &headers, running)).await?);
        }
        let held = attempt
            .hold(credential.as_deref())
            .await
            .map_err(|problem| entering.refused(problem))?;
        let asked = held.asked();
        drain::call(held, client, headers, running)
            .await
            .map_err(|problem| FailedCall {
                problem,
                headers: asked,
            })
    }

    /// Puts the model's own name in the place of a picker's alias, so that no allow-list and no budget knows but the one.
    fn resolve_alias(&self, request: &mut Request) {
        let meant = if self.picker_aliases {
            self.table.resolve_alias(&request.model)
        } else {
            &request.model
        };
        if meant != request.model {
            request.means(meant.to_owned());
        }
    }

    /// A key that is known and may not call is noted.
    fn note_refusal(
        &self,
        call: &UnparsedCall<'_>,
        problem: ApiError,
        read: impl FnOnce(&mut RefusalEntry<'_>),
    ) -> ApiError {
        let Some(caller) = auth::find_caller(&self.directory.load(), call.credential) else {
            return problem;
        };
        let mut entering = RefusalEntry::new(self, call.id, call.dialect, call.operation, caller);
        read(&mut entering);
        entering.refused(problem)
    }

    /// The caller behind a credential.
    pub fn authenticate(&self, credential: Option<&str>) -> Result<Arc<Caller>, ApiError> {
        auth::authenticate(&self.directory.load(), credential, self.time.now_ms())
    }

    /// Where a name leads, if this caller may go there.
    fn admit(&self, caller: &Caller, asked: &str) -> Result<Arc<Deployment>, ApiError> {
        let deployment = self
            .table
            .resolve(asked)
            .map_err(|not_routed| not_routed.to_api_error(asked))?;
        access::check_model_allowed(
            &caller.team,
            caller.keys(),
            asked,
            &deployment.provider.name,
            &deployment.model,
        )?;
        Ok(deployment)
    }

    /// The models that the key may call, as `/v1/models` shows them: name and provider, sorted. Clients of Anthropic's dialect are
    /// shown the aliases too, where the configuration wants them.
    pub fn models(
        &self,
        credential: Option<&str>,
        dialect: Dialect,
    ) -> Result<Vec<(String, String)>, ApiError> {
        let caller = self.authenticate(credential)?;
        let allowed = self.table.names().filter(|(name, deployment)| {
            access::is_model_allowed(
                &caller.team,
                caller.keys(),
                name,
                &deployment.provider.name,
                &deployment.model,
            )
        });
        let mut models: Vec<(String, String)> = allowed
            .map(|(name, deployment)| (name.to_owned(), deployment.provider.name.clone()))
            .collect();
        if self.picker_aliases && dialect == Dialect::Messages {
            let aliases = models
                .iter()
                .filter_map(|(name, owner)| Some((dialect::picker_alias(name)?, owner.clone())));
            let aliases: Vec<(String, String)> = aliases
                .filter(|(alias, _)| self.table.resolve_alias(alias) != alias)
                .collect();
            models.extend(aliases);
            models.sort_unstable();
        }
        Ok(models)
    }

    /// A model call that the listener refuses before its body is there, noted like all others.
    pub fn refuse_call(
        &self,
        dialect: Dialect,
        operation: Operation,
        credential: Option<&str>,
        problem: ApiError,
    ) -> Reply {
        let id = self.next_id();
        let problem = self.note_refusal(
            &UnparsedCall {
                dialect,
                operation,
                credential,
                id,
            },
            problem,
            |_| {},
        );
        self.metrics.refused(problem.code);
        Reply::refusal(dialect, &problem, id)
    }

    /// A refusal of the listener's own (not a model call, endpoint not served), counted like all others.
    pub fn refuse(&self, dialect: Dialect, problem: &ApiError) -> Reply {
        self.metrics.refused(problem.code);
        Reply::refusal(dialect, problem, self.next_id())
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn inflight(&self) -> &Inflight {
        &self.inflight
    }

    /// Requests that wait for room in a budget.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Passes on what budgets have to say. Waits for nobody: where there is no room, it is due again with the next occasion.
    fn send_alerts(&self, alerts: Vec<Alert>) {
        for alert in alerts {
            if let Err(TrySendError::Full(alert) | TrySendError::Closed(alert)) =
                self.alerts.try_send(alert)
            {
                self.ledger.requeue(&alert);
            }
        }
    }

    /// Calls that are read to their end without a client.
    pub fn draining(&self) -> usize {
        self.drains.running()
    }

    fn next_id(&self) -> RequestId {
        // 80 bits: a counter from a random start in the upper 64, nothing in the lower 16
        let unique = u128::from(self.unique.fetch_add(1, Ordering::Relaxed)) << 16;
        RequestId::new(self.time.now_ms(), unique)
    }
}

/// A call that is refused before it is read.
struct UnparsedCall<'c> {
    dialect: Dialect,
    operation: Operation,
    credential: Option<&'c str>,
    id: RequestId,
}

/// How a journey ended without an answer: what is said, and the headers of the attempt that was made, if one was.
struct FailedCall {
    problem: ApiError,
    headers: Vec<(String, String)>,
}

impl From<ApiError> for FailedCall {
    fn from(problem: ApiError) -> FailedCall {
        FailedCall {
            problem,
            headers: Vec::new(),
        }
    }
}

fn invalid_tag() -> ApiError {
    ApiError::invalid(format!(
        "the header {TAG_HEADER} must be 1 to 64 letters of visible ASCII, without spaces"
    ))
    .with_param(TAG_HEADER)
}

/// A fault that only a defect of ours can cause.
fn defect(what: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("{what}; this is a defect of the gateway, please report it"),
    )
}
