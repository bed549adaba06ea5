//! Data plane: one model request from the client's bytes to the reply. Nothing is sent upstream before its worst case is
//! held, and no reply is finished before its cost is logged.
//!
//! [`Gateway::journey`] shows the flow. Every refusal becomes a reply, in the client's dialect, in [`Gateway::handle`]
//! and nowhere else.

mod access;
mod admission;
mod alert_outbox;
mod body_bytes;
mod body_work;
mod call;
mod exchange;
mod inflight;
mod metrics;
mod price_list;
mod rate_limit_headers;
mod reply;
mod request;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::auth::denials::Denials;
use crate::auth::directory::{Caller, DirectoryCell};
use crate::config::{Config, Limits, Provider};
use crate::conversation::StateSealer;
use crate::dialect::{self, Dialect, Operation, Request};
use crate::domain::alert::Alert;
use crate::domain::api_error::ApiError;
use crate::domain::attribution::{Pseudonyms, Tag};
use crate::domain::event::HoldId;
use crate::domain::id::RequestId;
use crate::domain::time::Time;
use crate::gateway::access::Access;
use crate::gateway::admission::queue::Queue;
use crate::gateway::admission::refusal_log::{RefusalEntry, RefusalLog};
use crate::gateway::admission::{Admission, AdmissionControl, CallParts};
use crate::gateway::alert_outbox::AlertOutbox;
use crate::gateway::body_bytes::BodyBytes;
pub use crate::gateway::body_bytes::BodyReservation;
use crate::gateway::body_work::BodyWork;
pub use crate::gateway::call::{Call, TAG_HEADER, is_forwarded};
use crate::gateway::exchange::context::ExchangeContext;
use crate::gateway::exchange::outcome::Outcome;
pub use crate::gateway::exchange::provider_test::{ProviderTest, ProviderVerdict};
use crate::gateway::exchange::settler::Settler;
use crate::gateway::exchange::{AdmittedAttempt, provider_test, unmetered};
pub use crate::gateway::inflight::Inflight;
use crate::gateway::inflight::InflightGuard;
pub use crate::gateway::metrics::Metrics;
pub use crate::gateway::price_list::PricedModel;
pub use crate::gateway::reply::{Body, REQUEST_ID, Reply};
use crate::gateway::request::reasoning_memory::ReasoningStore;
use crate::meter::Ledger;
use crate::meter::estimates::Estimates;
use crate::route::RouteTable;
use crate::store::reasoning_memory::ReasoningMemory;
use crate::store::seal::SealKey;
use crate::upstream::Client;

/// Longest wait for the answer to the test of a provider.
const PROVIDER_TEST_MS_MAX: u64 = 10_000;

/// Parts of the process that the gateway works with.
pub struct GatewayParts {
    pub directory: Arc<DirectoryCell>,
    pub ledger: Arc<Ledger>,
    pub pseudonyms: Pseudonyms,
    /// delivery of budget alerts
    pub alerts: mpsc::Sender<Alert>,
    pub denials: Arc<Denials>,
    pub seal_key: SealKey,
    /// `None`: provider state that the client's dialect cannot carry is lost
    pub memory: Option<Arc<ReasoningMemory>>,
    pub time: Arc<Time>,
}

/// Data plane of one process, shared by all workers.
pub struct Gateway {
    limits: Limits,
    access: Arc<Access>,
    admission: AdmissionControl,
    settler: Arc<Settler>,
    exchange: Arc<ExchangeContext>,
    inflight: Arc<Inflight>,
    bodies: Arc<BodyBytes>,
    refusals: RefusalLog,
    time: Arc<Time>,
    /// random at start, then counted: makes request ids unique
    next_unique: AtomicU64,
}

impl Gateway {
    pub fn new(
        config: &Config,
        routes: Arc<RouteTable>,
        parts: GatewayParts,
    ) -> Result<Gateway, getrandom::Error> {
        let (time, ledger) = (parts.time, parts.ledger);
        let inflight = Arc::new(Inflight::new(parts.directory.ended_calls()));
        let access = Arc::new(Access {
            directory: parts.directory,
            routes,
            time: time.clone(),
            picker_aliases: config.picker_aliases,
        });
        let reasoning = Arc::new(ReasoningStore {
            sealer: StateSealer::new(parts.seal_key.for_purpose("envelope")),
            memory: parts.memory,
        });
        let settler = Arc::new(Settler {
            ledger: ledger.clone(),
            queue: Arc::new(Queue::new(config.limits.queue_max)),
            estimates: Arc::new(Estimates::default()),
            alerts: AlertOutbox {
                sender: parts.alerts,
                ledger: ledger.clone(),
            },
            metrics: Metrics::default(),
            routes: access.routes.clone(),
        });
        let admission = AdmissionControl {
            limits: config.limits,
            overrun: config.ledger.budget_overrun,
            access: access.clone(),
            ledger: ledger.clone(),
            queue: settler.queue.clone(),
            estimates: settler.estimates.clone(),
            alerts: settler.alerts.clone(),
            pseudonyms: parts.pseudonyms.clone(),
            reasoning: reasoning.clone(),
            inflight: inflight.clone(),
            work: BodyWork::default(),
        };
        Ok(Gateway {
            limits: config.limits,
            access,
            admission,
            settler,
            exchange: Arc::new(ExchangeContext::new(config.limits, time.clone(), reasoning)),
            inflight,
            bodies: Arc::new(BodyBytes::new(config.limits.bodies_bytes_max)),
            refusals: RefusalLog::new(ledger, parts.pseudonyms, parts.denials, time.clone()),
            time,
            next_unique: AtomicU64::new(getrandom::u64()?),
        })
    }

    /// Answers one model request. Every refusal is answered in the client's dialect.
    pub async fn handle(&self, client: &Client, call: Call) -> Reply {
        let id = self.next_id();
        let dialect = call.dialect;
        let began = std::time::Instant::now();
        let reply = match self.journey(client, call, id).await {
            Ok(reply) => reply,
            Err(failed) => {
                let FailedCall { error, headers } = *failed;
                self.metrics().refused(error.code);
                let mut reply = Reply::refusal(dialect, &error, id);
                reply.headers.extend(headers);
                reply
            }
        };
        self.metrics().answered(began.elapsed());
        reply
    }

    /// Authenticate, decode, check access, plan, admit, attempt, relay, settle.
    async fn journey(
        &self,
        client: &Client,
        call: Call,
        id: RequestId,
    ) -> Result<Reply, Box<FailedCall>> {
        let mut guard = self.inflight.begin()?;
        let caller = match self.access.authenticate(call.credential.as_deref()) {
            Ok(caller) => caller,
            Err(error) => return Err(self.log_unauthenticated(&call, id, error).into()),
        };
        guard.belong_to(&caller);
        let mut entry = RefusalEntry::new(id, call.dialect, call.operation, caller.clone());
        entry.address = call.address;
        let admitted = self.admit(&mut entry, caller, &call, client).await;
        let attempt = match admitted.map_err(|error| self.refusals.log(&entry, error))? {
            Admitted::Metered(attempt) => attempt,
            Admitted::Unmetered(admission) => {
                let outcome = Box::pin(unmetered::call(
                    *admission,
                    &self.exchange,
                    client,
                    &call.headers,
                    guard,
                ));
                return self.reply(id, outcome.await, Vec::new());
            }
        };
        self.attempt(*attempt, client, call.headers, guard).await
    }

    /// From the decoded body to the hold. Every error is a refusal of the gateway and reaches the request log once.
    async fn admit(
        &self,
        entry: &mut RefusalEntry,
        caller: Arc<Caller>,
        call: &Call,
        client: &Client,
    ) -> Result<Admitted, ApiError> {
        let tag = call.tag.as_ref();
        let tag = tag.map(|bytes| Tag::parse(bytes).ok_or_else(call::invalid_tag));
        entry.tag = tag.transpose()?;
        let mut request = self.read(call).await?;
        self.access.resolve_alias(&mut request);
        entry.note_request(&request);
        access::check_endpoint(&caller, call)?;
        let deployment = self.access.authorize(&caller, &request.model)?;
        let id = HoldId::first(entry.request);
        let planned = self.admission.plan(
            caller,
            Arc::new(request),
            deployment,
            id,
            CallParts {
                tag: entry.tag.as_ref(),
                headers: &call.headers,
                may_fetch: client.fetcher().is_some(),
            },
        );
        let admission = planned.await?;
        if call.operation.is_unmetered() {
            return Ok(Admitted::Unmetered(Box::new(admission)));
        }
        let credential = call.credential.as_deref();
        let granted = self.admission.hold(admission, credential).await?;
        let (settler, context) = (self.settler.clone(), self.exchange.clone());
        let mut attempt = AdmittedAttempt::open(granted, settler, context);
        attempt.hold.wait_for_disk().await?;
        Box::pin(attempt.fetch_images(client.fetcher())).await?;
        Ok(Admitted::Metered(Box::new(attempt)))
    }

    async fn read(&self, call: &Call) -> Result<Request, ApiError> {
        let (dialect, operation, body) = (call.dialect, call.operation, call.body.clone());
        let read = move || dialect::read(dialect, operation, body);
        self.admission.work.run(call.body.len(), read).await
    }

    /// Looks at a call before its long body is read, without taking anything: the key, limits and budgets over all models, and
    /// the room for `bytes` of body.
    pub fn expect_body(
        &self,
        credential: Option<&str>,
        bytes: usize,
    ) -> Result<BodyReservation, ApiError> {
        self.inflight.check_open()?;
        let caller = self.access.authenticate(credential)?;
        self.admission.look_at_caller(&caller)?;
        self.bodies.reserve(caller.key.id, bytes)
    }

    /// Bytes of long request bodies in flight.
    pub fn body_bytes(&self) -> usize {
        self.bodies.in_flight()
    }

    /// Runs one admitted attempt to its reply.
    async fn attempt(
        &self,
        attempt: AdmittedAttempt,
        client: &Client,
        headers: Vec<(String, String)>,
        guard: InflightGuard,
    ) -> Result<Reply, Box<FailedCall>> {
        let id = attempt.hold.grant.id.request;
        let failure_headers = attempt.failure_headers();
        let outcome = exchange::run(attempt, client, headers, guard).await;
        self.reply(id, outcome, failure_headers)
    }

    /// The reply of the last attempt, or its failure as an error of the gateway.
    fn reply(
        &self,
        id: RequestId,
        outcome: Outcome,
        headers: Vec<(String, String)>,
    ) -> Result<Reply, Box<FailedCall>> {
        let failure = match outcome {
            Outcome::Reply(reply) => return Ok(reply),
            Outcome::Failed(failure) => failure,
        };
        self.exchange.log_failure(&failure, id);
        failure.into_forwarded().map_err(|failure| {
            Box::new(FailedCall {
                error: failure.into_api_error(),
                headers,
            })
        })
    }

    /// Logs the refusal of a key that is known but may not call.
    fn log_unauthenticated(&self, call: &Call, id: RequestId, error: ApiError) -> ApiError {
        let Some(caller) = self.access.find_caller(call.credential.as_deref()) else {
            return self.refusals.note_stranger(id, call.address, error);
        };
        let mut entry = RefusalEntry::new(id, call.dialect, call.operation, caller);
        entry.address = call.address;
        entry.tag = call.tag.as_deref().and_then(Tag::parse);
        if let Ok(request) = dialect::read(call.dialect, call.operation, call.body.clone()) {
            entry.note_request(&request);
        }
        self.refusals.log(&entry, error)
    }

    /// Refuses a model request whose body was not read; logged like every other refusal.
    pub fn refuse_call(
        &self,
        dialect: Dialect,
        operation: Operation,
        (credential, address): (Option<&str>, Option<IpAddr>),
        error: ApiError,
    ) -> Reply {
        let id = self.next_id();
        let error = match self.access.find_caller(credential) {
            Some(caller) => {
                let mut entry = RefusalEntry::new(id, dialect, operation, caller);
                entry.address = address;
                self.refusals.log(&entry, error)
            }
            None => self.refusals.note_stranger(id, address, error),
        };
        self.metrics().refused(error.code);
        Reply::refusal(dialect, &error, id)
    }

    /// Refuses what is not a model request (such as an endpoint that is not served); counted like every other refusal.
    pub fn refuse(&self, dialect: Dialect, error: &ApiError) -> Reply {
        self.metrics().refused(error.code);
        Reply::refusal(dialect, error, self.next_id())
    }

    /// Returns the caller behind a credential; 401, or 403 for an administrative key.
    pub fn authenticate(&self, credential: Option<&str>) -> Result<Arc<Caller>, ApiError> {
        self.access.authenticate(credential)
    }

    /// Lists the models that the key may call, sorted: name and provider.
    pub fn models(
        &self,
        credential: Option<&str>,
        dialect: Dialect,
    ) -> Result<Vec<(String, String)>, ApiError> {
        self.access.models(credential, dialect)
    }

    /// Configured providers.
    pub fn providers(&self) -> &[Arc<Provider>] {
        self.access.routes.providers()
    }

    /// Tests a provider; `None` if it has no endpoint for conversations.
    pub async fn test_provider(
        &self,
        client: &Client,
        provider: &Arc<Provider>,
    ) -> Option<ProviderTest> {
        let timeout_ms = self.limits.head_timeout_ms.min(PROVIDER_TEST_MS_MAX);
        let timeout = Duration::from_millis(timeout_ms);
        provider_test::run(client, provider, timeout, self.time.wall_ms()).await
    }

    /// Listed models with their prices, and source and month of the price sheet.
    pub fn prices(&self) -> (Vec<PricedModel>, &str) {
        let routes = &self.access.routes;
        (price_list::priced_models(routes), routes.prices_as_of())
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn metrics(&self) -> &Metrics {
        &self.settler.metrics
    }

    pub fn inflight(&self) -> &Inflight {
        &self.inflight
    }

    /// Number of requests that wait for room in a budget.
    pub fn waiting(&self) -> usize {
        self.settler.queue.waiting()
    }

    /// Number of upstream calls that are read to their end without a client.
    pub fn draining(&self) -> usize {
        self.exchange.drain_slots.running()
    }

    /// A new request id.
    pub fn next_id(&self) -> RequestId {
        // 80 bits: a counter from a random start in the upper 64, zeros in the lower 16
        let unique = u128::from(self.next_unique.fetch_add(1, Ordering::Relaxed)) << 16;
        RequestId::new(self.time.now_ms(), unique)
    }
}

/// Result of the admission; boxed, since both are large and move through several futures.
enum Admitted {
    Metered(Box<AdmittedAttempt>),
    Unmetered(Box<Admission>),
}

/// A call that ended without a reply: its error, and the headers of the attempt if there was one.
struct FailedCall {
    error: ApiError,
    headers: Vec<(String, String)>,
}

impl From<ApiError> for Box<FailedCall> {
    fn from(error: ApiError) -> Box<FailedCall> {
        Box::new(FailedCall {
            error,
            headers: Vec::new(),
        })
    }
}
