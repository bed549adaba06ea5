//! Data plane: one model request from the client's bytes to the reply. Nothing is sent upstream before its worst case is
//! held, and no reply is finished before its cost is logged.
//!
//! [`Gateway::journey`] shows the flow. Every refusal becomes a reply, in the client's dialect, in [`Gateway::handle`]
//! and nowhere else.

mod access;
mod admission;
mod alert_outbox;
mod attempts;
mod body_bytes;
mod body_stream;
mod body_work;
mod caching;
mod call;
mod capture;
mod client_timeouts;
mod conversation;
mod deadlines;
mod drill;
mod exchange;
mod failed_call;
mod figures;
mod inflight;
mod latency_counts;
mod lookup;
mod metrics;
mod mirror;
mod mirror_plan;
mod mirror_stats;
mod order_wait_list;
mod origin;
mod parts;
mod price_list;
mod rate_limit_headers;
mod replaceable;
mod reply;
mod request;
mod resolution;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::auth::directory::Caller;
use crate::cache::ResponseCache;
use crate::config::{Config, Limits, Provider};
use crate::conversation::StateSealer;
use crate::dialect::{self, Dialect, Operation, Request};
use crate::domain::api_error::ApiError;
use crate::domain::attribution::Tag;
use crate::domain::event::Flags;
use crate::domain::id::RequestId;
use crate::domain::time::Time;
use crate::gateway::access::Access;
use crate::gateway::admission::refusal_log::{RefusalEntry, RefusalLog};
use crate::gateway::admission::{AdmissionControl, output_cap, queue::Queue};
use crate::gateway::alert_outbox::AlertOutbox;
use crate::gateway::attempts::{AttemptRunner, NoReply, RoutedRequest};
use crate::gateway::body_bytes::BodyBytes;
pub use crate::gateway::body_bytes::BodyReservation;
use crate::gateway::body_work::BodyWork;
pub use crate::gateway::caching::controls::read_cache_headers;
use crate::gateway::call::max_cost;
pub use crate::gateway::call::{Call, MAX_COST_HEADER, TAG_HEADER, forwarded_name};
pub use crate::gateway::client_timeouts::read_timeouts;
pub use crate::gateway::drill::{DrillCall, DrillForm, DrillOutcome, DrillReach};
use crate::gateway::exchange::context::ExchangeContext;
use crate::gateway::exchange::provider_test;
pub use crate::gateway::exchange::provider_test::{
    ProviderTest, ProviderVerdict, run as test_provider,
};
use crate::gateway::exchange::settler::Settler;
use crate::gateway::exchange::shared_progress::SharedProgress;
use crate::gateway::failed_call::FailedCall;
pub use crate::gateway::inflight::Inflight;
use crate::gateway::lookup::CacheStep;
pub use crate::gateway::metrics::Metrics;
pub use crate::gateway::mirror::MIRROR_HEADER;
use crate::gateway::mirror::Mirrors;
use crate::gateway::mirror_plan::MirrorPlan;
pub use crate::gateway::mirror_stats::MirrorStats;
use crate::gateway::origin::RequestOrigin;
pub use crate::gateway::parts::GatewayParts;
pub use crate::gateway::price_list::PricedModel;
pub use crate::gateway::reply::{Body, REQUEST_ID, Reply};
use crate::gateway::request::reasoning_memory::ReasoningStore;
use crate::gateway::request::route_params;
pub use crate::gateway::resolution::{ResolvedName, ResolvedTarget};
use crate::route::{Moment, RouteCell, mix};
use crate::store::captures::Captures;
use crate::trace::{RequestTrace, Tracer};
use crate::upstream::Client;

/// Longest wait for the answer to the test of a provider.
const PROVIDER_TEST_MS_MAX: u64 = 10_000;
/// Text per token, where bounds of tokens per minute count a call before its usage is known.
const BYTES_PER_TOKEN: u64 = 3;

/// Data plane of one process, shared by all workers.
pub struct Gateway {
    limits: Limits,
    user_header: Option<String>,
    access: Arc<Access>,
    attempts: Arc<AttemptRunner>,
    caching: CacheStep,
    mirrors: Mirrors,
    settler: Arc<Settler>,
    exchange: Arc<ExchangeContext>,
    inflight: Arc<Inflight>,
    bodies: Arc<BodyBytes>,
    refusals: Arc<RefusalLog>,
    /// origin of the requests that it handles
    origin: RequestOrigin,
    captures: Option<Arc<Captures>>,
    tracer: Arc<Tracer>,
    time: Arc<Time>,
    /// random at start, then counted: makes request ids unique
    next_unique: AtomicU64,
}

impl Gateway {
    pub fn new(
        config: &Config,
        routes: Arc<RouteCell>,
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
        let table = access.routes.load_full();
        let providers = table.providers().iter().map(Arc::as_ref);
        parts.ceilings.retain_configured(providers);
        let alerts = AlertOutbox {
            sender: parts.alerts,
            ledger: ledger.clone(),
            deployments: parts.deployment_alerts,
        };
        let queue = Arc::new(Queue::new(config.limits.queue_max));
        let (ceilings, routes) = (parts.ceilings.clone(), access.routes.clone());
        let settler = Arc::new(Settler::new(alerts, ceilings, queue, routes));
        let work = BodyWork::new(parts.return_memory);
        let admission = AdmissionControl {
            limits: config.limits,
            overrun: config.ledger.budget_overrun,
            access: access.clone(),
            ledger: ledger.clone(),
            ceilings: parts.ceilings,
            queue: settler.queue.clone(),
            estimates: settler.estimates.clone(),
            alerts: settler.alerts.clone(),
            pseudonyms: parts.pseudonyms.clone(),
            reasoning: reasoning.clone(),
            inflight: inflight.clone(),
            work: work.clone(),
        };
        let exchange = ExchangeContext::new(config.limits, time.clone(), reasoning, work);
        let exchange = Arc::new(exchange);
        let refusals = RefusalLog::new(ledger, parts.pseudonyms, parts.denials, time.clone());
        Ok(Gateway {
            caching: CacheStep::new(parts.cache, config.cache.policy),
            limits: config.limits,
            user_header: config.user_header.clone(),
            access,
            attempts: Arc::new(AttemptRunner {
                admission,
                settler: settler.clone(),
                exchange: exchange.clone(),
            }),
            mirrors: Mirrors::new(settler.mirrors.clone()),
            settler,
            exchange,
            inflight,
            bodies: Arc::new(BodyBytes::new(config.limits.bodies_bytes_max)),
            refusals: Arc::new(refusals),
            origin: RequestOrigin::Client,
            captures: parts.captures,
            tracer: parts.tracer,
            time,
            next_unique: AtomicU64::new(getrandom::u64()?),
        })
    }

    /// Answers one model request. Every refusal is answered in the client's dialect.
    pub async fn handle(&self, client: &Client, mut call: Call) -> Reply {
        let id = self.next_id();
        let dialect = call.dialect;
        let began = std::time::Instant::now();
        let trace = self.trace(id, &mut call);
        let mut refused = None;
        // boxed, because each future around it would move it once more
        let reply = match Box::pin(self.journey(client, call, id)).await {
            Ok(reply) => reply,
            Err(failed) => {
                let code = failed.error.code;
                self.metrics().refused(code);
                refused = Some(code.as_str());
                failed.into_reply(dialect, id)
            }
        };
        self.metrics().answered(began.elapsed());
        if let Some(trace) = trace {
            trace.note_answer(reply.status, refused);
        }
        reply
    }

    /// Begins the trace of a request, if traces are exported and this one is recorded.
    fn trace(&self, id: RequestId, call: &mut Call) -> Option<Arc<RequestTrace>> {
        if !self.tracer.is_on() {
            return None;
        }
        let operation = call.operation.semantic_name();
        let origin = (call.traceparent.as_deref(), self.time.wall_ms());
        call.trace = RequestTrace::begin(&self.tracer, id, operation, origin);
        call.trace.clone()
    }

    /// Authenticate, decode, check access, route; then plan, admit, attempt, relay and settle for each target in turn.
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
        let draft = caller.capture.and_then(|keep| {
            let call = (&*caller, &call, id);
            capture::begin(self.captures.as_ref(), keep, call)
        });
        let is_unmetered = call.operation.is_unmetered();
        let read = self.read(&mut entry, &call).await;
        let routed = read.and_then(|request| self.route(&mut entry, caller, call, request));
        let mut routed = routed.map_err(|error| self.refusals.log(&entry, error))?;
        routed.marks = capture::marks(draft.as_deref());
        if routed.cache.is_some() {
            let answered = Box::pin(self.caching.answer(&self.attempts, &mut routed)).await;
            if let Some(reply) = answered.map_err(|error| self.refusals.log(&entry, error))? {
                let reply = reply.with_route_params(&routed.route_params);
                return Ok(capture::finish(draft, reply));
            }
        }
        if let Some(plan) = routed.mirror.take() {
            self.start_mirror(plan, &routed, client);
        }
        let ended = if is_unmetered {
            Box::pin(self.attempts.run_unmetered(&routed, client, guard)).await
        } else {
            replaceable::run(&self.attempts, &routed, client, guard).await
        };
        match ended.map(|reply| reply.with_route_params(&routed.route_params)) {
            Ok(reply) => Ok(capture::finish(
                draft,
                reply.with_lookup(routed.cache.as_deref()),
            )),
            Err(no_reply) => Err(match *no_reply {
                NoReply::Refused(error) => self.refusals.log(&entry, error).into(),
                NoReply::Failed(error, headers) => FailedCall::with_draft(error, headers, draft),
            }),
        }
    }

    /// From the request to the plan of targets. Every error is a refusal of the gateway and reaches the request log once.
    fn route(
        &self,
        entry: &mut RefusalEntry,
        caller: Arc<Caller>,
        call: Call,
        mut request: Request,
    ) -> Result<RoutedRequest, ApiError> {
        self.access.resolve_alias(&mut request);
        request.user = call.user.clone().or(request.user);
        entry.note_request(&request);
        if let Some(trace) = &call.trace {
            trace.note_request(&request.model, caller.team.id, caller.key.id);
        }
        access::check_endpoint(&caller, &call)?;
        let mut plan = self.access.plan(&caller, &request.model)?;
        let (request, route_params) = match plan.route() {
            Some(route) => route_params::apply(request, &route.config)?,
            None => (request, Vec::new()),
        };
        let cache = self.caching.plan(&call, &request, &caller, &plan)?;
        plan.note_ceilings(|deployment| output_cap::ceiling_at(&request, deployment));
        // the random part of the id
        let seed = (entry.request.0 >> 16) as u64;
        let moment = Moment {
            boot_ms: self.time.boot_ms(),
            random: mix(seed),
            conversation: plan.has_affinity().then(|| conversation::hash(&request)),
            tokens: request.input.text_bytes / BYTES_PER_TOKEN,
        };
        let may_mirror = self.origin == RequestOrigin::Client && !call.no_mirror;
        let mirrored = plan
            .route()
            .filter(|_| may_mirror && !call.operation.is_unmetered());
        let mirror = mirrored.and_then(|route| {
            let parts = (&*self.access, &*self.settler.ledger);
            self.mirrors.choose(parts, &caller, route, seed)
        });
        Ok(RoutedRequest {
            cache,
            id: entry.request,
            caller,
            request: Arc::new(request),
            tag: entry.tag.clone(),
            marks: Flags::default(),
            credential: call.credential,
            // an empty list needs no allocation
            headers: match call.headers.is_empty() {
                true => Arc::default(),
                false => call.headers.into(),
            },
            timeouts: call.timeouts,
            route_params,
            max_cost: max_cost(call.max_cost.as_deref())?,
            arrived: std::time::Instant::now(),
            progress: SharedProgress::new(plan, moment, self.time.clone(), seed, call.trace),
            origin: self.origin,
            mirror,
        })
    }

    /// Sends the copy of a request, unless the process is stopping.
    fn start_mirror(&self, plan: MirrorPlan, routed: &RoutedRequest, client: &Client) {
        if let Ok(guard) = self.inflight.begin() {
            let of = (self.next_id(), routed);
            self.mirrors.start(plan, of, &self.attempts, client, guard);
        }
    }

    /// Reads tag and body.
    async fn read(&self, entry: &mut RefusalEntry, call: &Call) -> Result<Request, ApiError> {
        let tag = call.tag.as_ref();
        let tag = tag.map(|bytes| Tag::parse(bytes).ok_or_else(call::invalid_tag));
        entry.tag = tag.transpose()?;
        let (dialect, operation, body) = (call.dialect, call.operation, call.body.clone());
        let read = move || dialect::read(dialect, operation, body);
        self.attempts
            .admission
            .work
            .run(call.body.len(), read)
            .await
    }

    /// `None` until a name has a cache.
    pub fn cache(&self) -> Option<&ResponseCache> {
        self.caching.cache().map(Arc::as_ref)
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
        self.attempts.admission.look_at_caller(&caller)?;
        self.bodies.reserve(caller.key.id, bytes)
    }

    /// Bytes of long request bodies in flight.
    pub fn body_bytes(&self) -> usize {
        self.bodies.in_flight()
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

    /// Request header that names the end user.
    pub fn user_header(&self) -> Option<&str> {
        self.user_header.as_deref()
    }

    /// Configured providers.
    pub fn providers(&self) -> Vec<Arc<Provider>> {
        self.access.routes.load().providers().to_vec()
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

    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A new request id.
    pub fn next_id(&self) -> RequestId {
        // 80 bits: a counter from a random start in the upper 64, zeros in the lower 16
        let unique = u128::from(self.next_unique.fetch_add(1, Ordering::Relaxed)) << 16;
        RequestId::new(self.time.now_ms(), unique)
    }
}
