//! Attempts of one request: each target is planned from the client's own bytes, holds its own worst case and is asked, until one answers
//! or the route gives up. A later attempt never waits for budget; without room for any, the error is that of the attempt before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::directory::Caller;
use crate::dialect::Request;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attempt::FailureClass;
use crate::domain::attribution::Tag;
use crate::domain::event::{Flags, HoldId};
use crate::domain::header_list::{HeaderList, KnownHeader};
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::gateway::admission::{Admission, AdmissionControl, NewAttempt};
use crate::gateway::caching::plan::CachePlan;
use crate::gateway::client_timeouts::ClientTimeouts;
use crate::gateway::deadlines::Deadlines;
use crate::gateway::exchange::context::ExchangeContext;
use crate::gateway::exchange::early_reply::EarlyReply;
use crate::gateway::exchange::outcome::{AttemptFailure, Outcome};
use crate::gateway::exchange::settler::Settler;
use crate::gateway::exchange::shared_progress::SharedProgress;
use crate::gateway::exchange::{self, AdmittedAttempt, unmetered};
use crate::gateway::inflight::InflightGuard;
use crate::gateway::mirror_plan::MirrorPlan;
use crate::gateway::origin::RequestOrigin;
use crate::gateway::reply::{self, Reply};
use crate::route::Step;
use crate::upstream::Client;

/// An authorized request, from which every attempt is planned anew.
pub(super) struct RoutedRequest {
    pub id: RequestId,
    pub caller: Arc<Caller>,
    pub request: Arc<Request>,
    pub tag: Option<Tag>,
    /// flags of its records whatever happens
    pub marks: Flags,
    pub credential: Option<String>,
    /// the client's, for vendors of the same dialect
    pub headers: Arc<[KnownHeader]>,
    pub timeouts: ClientTimeouts,
    /// request parameters that the route set
    pub route_params: Vec<String>,
    /// most that each attempt may cost, as the client asks
    pub max_cost: Option<Money>,
    /// `None` where the cache is off
    pub cache: Option<Box<CachePlan>>,
    pub arrived: Instant,
    pub progress: SharedProgress,
    pub origin: RequestOrigin,
    /// copy that follows
    pub mirror: Option<MirrorPlan>,
}

impl RoutedRequest {
    /// The same request with a reply whose head may go out early; the copy that follows stays behind.
    pub fn with_early(&self, early: EarlyReply) -> RoutedRequest {
        RoutedRequest {
            id: self.id,
            caller: self.caller.clone(),
            request: self.request.clone(),
            tag: self.tag.clone(),
            marks: self.marks,
            credential: self.credential.clone(),
            headers: self.headers.clone(),
            timeouts: self.timeouts,
            route_params: Vec::new(),
            max_cost: self.max_cost,
            cache: self.cache.clone(),
            arrived: self.arrived,
            progress: self.progress.with_early(early),
            origin: self.origin,
            mirror: None,
        }
    }

    /// Returns `true` if the client waits at least so long from now on.
    fn has_time(&self, wait: Duration) -> bool {
        let patience = self.timeouts.call_ms.map(Duration::from_millis);
        patience.is_none_or(|patience| self.arrived.elapsed() + wait < patience)
    }
}

/// Parts that every attempt needs.
pub(super) struct AttemptRunner {
    pub admission: AdmissionControl,
    pub settler: Arc<Settler>,
    pub exchange: Arc<ExchangeContext>,
}

/// A request that ended without a reply.
pub(super) enum NoReply {
    /// no attempt was made
    Refused(ApiError),
    /// the last attempt's error, with its headers
    Failed(ApiError, HeaderList),
}

/// The last failed attempt.
struct LastFailure {
    failure: Box<AttemptFailure>,
    headers: HeaderList,
}

impl AttemptRunner {
    /// Makes attempts until one answers or none is left; `None` if the client has the response already.
    pub async fn run(
        &self,
        routed: &RoutedRequest,
        client: &Client,
        guard: InflightGuard,
    ) -> Result<Option<Reply>, Box<NoReply>> {
        let (mut refusal, mut failed) = (None, None);
        while let Some(wait) = routed.progress.next_wait() {
            if failed.is_some() && !routed.has_time(wait) {
                break;
            }
            if !wait.is_zero() && !wait_before(wait, &guard).await {
                break;
            }
            let Some(step) = routed.progress.take_next() else {
                break;
            };
            let is_first = refusal.is_none() && failed.is_none();
            let may_wait = is_first && routed.origin.may_wait();
            let admission = self.begin(routed, step);
            let attempt = match self.admit(routed, admission, client, may_wait).await {
                Ok(attempt) => attempt,
                Err(error) => {
                    let is_of_target = is_of_target(&error);
                    refusal.get_or_insert(error);
                    if !is_of_target {
                        break;
                    }
                    routed.progress.skip();
                    continue;
                }
            };
            let head = attempt.facts_of_failure();
            let (headers, guard) = (&routed.headers, guard.clone());
            let failure = match exchange::run(attempt, client, headers, guard).await {
                Outcome::Reply(reply) => return Ok(Some(reply)),
                Outcome::Relayed => return Ok(None),
                Outcome::Failed(failure) => failure,
            };
            // the failures of a drill are none of a provider
            if routed.origin != RequestOrigin::Drill {
                self.exchange.log_failure(&failure, routed.id);
            }
            let is_own = failure.class == FailureClass::Gateway;
            let headers = head.headers();
            failed = Some(LastFailure { failure, headers });
            if is_own {
                break;
            }
        }
        match (failed, refusal) {
            (Some(failed), _) => failed.end(routed.progress.attempts()).map(Some),
            (None, Some(refusal)) => Err(Box::new(NoReply::Refused(refusal))),
            (None, None) => Err(Box::new(NoReply::Refused(no_attempt(routed)))),
        }
    }

    /// Calls without a meter: one target answers, and nothing is held or recorded.
    pub async fn run_unmetered(
        &self,
        routed: &RoutedRequest,
        client: &Client,
        guard: InflightGuard,
    ) -> Result<Reply, Box<NoReply>> {
        let mut refusal = None;
        while let Some(step) = routed.progress.take_next() {
            let planned = async {
                let mut admission = self.begin(routed, step)?;
                self.plan(routed, &mut admission, client).await?;
                Ok(admission)
            };
            let admission = match Box::pin(planned).await {
                Ok(admission) => admission,
                Err(error) => {
                    refusal.get_or_insert(error);
                    routed.progress.skip();
                    continue;
                }
            };
            let context = &self.exchange;
            let call = unmetered::call(admission, context, client, &routed.headers, guard);
            return match Box::pin(call).await {
                Outcome::Reply(reply) => Ok(reply),
                Outcome::Relayed => Err(Box::new(NoReply::Refused(shutting_down()))),
                Outcome::Failed(failure) => {
                    self.exchange.log_failure(&failure, routed.id);
                    let headers = HeaderList::default();
                    LastFailure { failure, headers }.end(1)
                }
            };
        }
        let refusal = refusal.unwrap_or_else(|| no_attempt(routed));
        Err(Box::new(NoReply::Refused(refusal)))
    }

    /// From the client's bytes to the open hold of one attempt.
    async fn admit(
        &self,
        routed: &RoutedRequest,
        admission: Result<Box<Admission>, ApiError>,
        client: &Client,
        may_wait: bool,
    ) -> Result<AdmittedAttempt, ApiError> {
        let mut admission = admission?;
        self.plan(routed, &mut admission, client).await?;
        let credential = routed.credential.as_deref();
        let granted = if may_wait {
            self.admission.hold(&mut admission, credential).await?
        } else {
            self.admission.hold_now(&mut admission, credential)?
        };
        let (settler, exchange) = (self.settler.clone(), self.exchange.clone());
        let progress = routed.progress.clone();
        let cache = routed.cache.as_ref().map(|cache| cache.attempt());
        let state = (progress, routed.marks, cache);
        let mut attempt = AdmittedAttempt::open((admission, granted), settler, exchange, state);
        attempt.hold.wait_for_disk().await?;
        if attempt.fetches_images() {
            Box::pin(attempt.fetch_images(client.fetcher())).await?;
        }
        routed.progress.begin();
        Ok(attempt)
    }

    /// Begins the plan of one attempt.
    fn begin(&self, routed: &RoutedRequest, step: Step) -> Result<Box<Admission>, ApiError> {
        let id = HoldId {
            request: routed.id,
            attempt: step.attempt,
        };
        let timeouts = step.candidate.timeouts();
        let limits = &self.exchange.limits;
        let attempt = NewAttempt {
            caller: routed.caller.clone(),
            request: routed.request.clone(),
            deadlines: Deadlines::new(limits, timeouts, routed.timeouts, routed.arrived),
            max_cost: routed.max_cost,
            origin: routed.origin,
            step,
            id,
        };
        self.admission.begin(attempt, routed.tag.as_ref())
    }

    async fn plan(
        &self,
        routed: &RoutedRequest,
        admission: &mut Admission,
        client: &Client,
    ) -> Result<(), ApiError> {
        let may_fetch = client.fetcher().is_some();
        let headers = &routed.headers;
        self.admission.plan(admission, headers, may_fetch).await
    }
}

impl LastFailure {
    /// The reply that forwards the vendor's rejection, or the failure as an error of the gateway.
    fn end(self, attempts: u8) -> Result<Reply, Box<NoReply>> {
        let mut headers = self.headers;
        self.failure.into_forwarded().map_err(|failure| {
            let error = failure.into_api_error();
            if attempts > 1 && matches!(error.code.status(), 502 | 504) {
                reply::put_no_retry(&mut headers);
            }
            Box::new(NoReply::Failed(error, headers))
        })
    }
}

/// Waits before a repetition; `false` if the process stops meanwhile.
async fn wait_before(wait: Duration, guard: &InflightGuard) -> bool {
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        () = guard.end_ordered() => false,
    }
}

/// Returns `true` for a refusal that another target may lift: what the vendor cannot do, and budgets and limits of its model.
fn is_of_target(error: &ApiError) -> bool {
    matches!(
        error.code,
        ErrorCode::InvalidRequest
            | ErrorCode::NotSupported
            | ErrorCode::BudgetExceeded
            | ErrorCode::BudgetHeld
            | ErrorCode::PriceUnknown
            | ErrorCode::CostUnbounded
            | ErrorCode::RateLimitExceeded
    )
}

/// Refusal of a request for which no target could be chosen: the bounds of all are reached, or the process stops.
fn no_attempt(routed: &RoutedRequest) -> ApiError {
    let Some(wait_ms) = routed.progress.limited_ms() else {
        return shutting_down();
    };
    let wait_s = wait_ms.div_ceil(1_000);
    let message = format!(
        "limit of requests or tokens per minute of every target of this model reached; retry after {wait_s} s"
    );
    ApiError::new(ErrorCode::RateLimitExceeded, message).with_retry_after(wait_s)
}

fn shutting_down() -> ApiError {
    let message = "the gateway is stopping; try again in a moment";
    ApiError::new(ErrorCode::ShuttingDown, message).with_retry_after(5)
}
