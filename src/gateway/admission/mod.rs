//! Admission control: claims the worst case of one attempt in every budget and rate limit above the caller, waiting for room
//! where it fits once other calls settle. Takes a decoded request and its deployment, returns the granted hold; sends nothing.

pub(super) mod control;
pub(super) mod output_cap;
pub(super) mod plan;
pub(super) mod queue;
pub(super) mod refusal;
pub(super) mod refusal_log;
mod try_hold;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::directory::Caller;
use crate::dialect::{self, Dialect, Request};
use crate::domain::api_error::ApiError;
use crate::domain::attribution::{Attribution, Tag};
use crate::domain::event::HoldId;
use crate::domain::header_list::KnownHeader;
use crate::domain::id::BudgetId;
use crate::domain::input_bound::{InputBound, SecondModelBound};
use crate::domain::money::Money;
pub(super) use crate::gateway::admission::control::AdmissionControl;
use crate::gateway::admission::output_cap::{RequestBounds, UnboundedTool};
pub(super) use crate::gateway::admission::plan::Admission;
use crate::gateway::admission::plan::GrantedHold;
use crate::gateway::admission::queue::{QueueFull, QueueTicket};
use crate::gateway::admission::try_hold::AdmissionError;
use crate::gateway::deadlines::Deadlines;
use crate::gateway::origin::RequestOrigin;
use crate::gateway::request::compat;
use crate::gateway::request::embeddings::NativeEmbeddings;
use crate::gateway::request::fitting::{CapBounds, Fitter};
use crate::gateway::request::passthrough::Passthrough;
use crate::gateway::request::translate::{TranslatedRequest, TranslationContext};
use crate::price::Mode;
use crate::provider::Endpoint;
use crate::route::{Deployment, Step};

/// Parts from which an attempt is planned.
pub(super) struct NewAttempt {
    pub caller: Arc<Caller>,
    pub request: Arc<Request>,
    pub step: Step,
    pub deadlines: Deadlines,
    /// most that the attempt may cost, as the client asks
    pub max_cost: Option<Money>,
    pub origin: RequestOrigin,
    pub id: HoldId,
}

/// Reason why a try took no hold.
enum NoHold {
    /// fits once holds of this budget settle
    Wait(BudgetId),
    Refused(ApiError),
    /// the key may no longer call, or not this model
    Unauthorized(ApiError),
}

impl AdmissionControl {
    /// Begins the plan of an attempt: the endpoint that serves it, and the bounds of its request. Boxed, because the futures that
    /// own one would each copy it.
    pub fn begin(
        &self,
        attempt: NewAttempt,
        tag: Option<&Tag>,
    ) -> Result<Box<Admission>, ApiError> {
        let NewAttempt {
            caller,
            request,
            step,
            deadlines,
            max_cost,
            origin,
            id,
        } = attempt;
        let deployment = step.candidate.deployment().clone();
        let endpoint = serving_endpoint(&deployment, &request)?;
        refusal::check_mode(&deployment, &request, endpoint)?;
        let bounds = RequestBounds {
            input: request.input.clone(),
            thinking_budget: request.thinking_budget,
            second_models: Ok(Money::ZERO),
            cap: CapBounds::default(),
        };
        let user = request.user.as_deref();
        let attribution = Attribution {
            user: user.map(|user| self.pseudonyms.user(user)),
            tag: tag.cloned(),
        };
        Ok(Box::new(Admission {
            caller,
            request,
            step,
            deadlines,
            max_cost,
            origin,
            id,
            endpoint,
            url: String::new(),
            translated: None,
            embeddings: None,
            restored: None,
            changed: Vec::new(),
            bounds,
            attribution,
        }))
    }

    /// Plans an attempt: pass-through where the vendor speaks the client's dialect, else translation. Refuses what the vendor
    /// cannot do, and before the work of a translation what no budget or limit has room for. `headers` are the client's; with
    /// `may_fetch` the gateway may fetch images by URL.
    pub async fn plan(
        &self,
        admission: &mut Admission,
        headers: &Arc<[KnownHeader]>,
        may_fetch: bool,
    ) -> Result<(), ApiError> {
        if admission.endpoint.embedding_format.is_some() {
            Box::pin(self.translate_embeddings(admission)).await?;
        } else if admission.endpoint.dialect == admission.request.dialect {
            self.pass_through(admission, headers).await?;
        } else {
            Box::pin(self.translate(admission, may_fetch)).await?;
        }
        self.complete(admission)
    }

    /// Tools, second models and open names add to the bounds; the URL is that of the endpoint that serves at last.
    fn complete(&self, admission: &mut Admission) -> Result<(), ApiError> {
        let deployment = admission.step.candidate.deployment();
        let bounds = &mut admission.bounds;
        self.access
            .authorize_tools(&admission.caller, deployment, &bounds.input)?;
        bounds.second_models = self.second_models(deployment, &bounds.input);
        if (admission.endpoint.is_open_name)(&deployment.model) {
            bounds.set_open_name(&deployment.model);
        }
        let (provider, streamed) = (&deployment.provider, admission.request.streamed);
        admission.url = provider.url(admission.endpoint, &deployment.model, streamed);
        Ok(())
    }

    /// Checks the client's own body against the vendor's rules and limits.
    async fn pass_through(
        &self,
        admission: &mut Admission,
        headers: &Arc<[KnownHeader]>,
    ) -> Result<(), ApiError> {
        let endpoint = admission.endpoint;
        if let Some(rules) = endpoint.compat {
            compat::check(&admission.request, rules, admission.deployment())?;
        }
        self.restore_reasoning(admission);
        if endpoint.fits_passthrough() {
            admission.bounds.cap = Fitter::new(admission.deployment(), endpoint).cap_bounds();
        }
        if Passthrough::may_change(&admission.request, endpoint) {
            let (request, deployment) = (admission.request.clone(), admission.deployment().clone());
            let restored = admission.restored.clone();
            let (bytes, headers) = (request.body.len(), headers.clone());
            let fit = move || {
                let passthrough = Passthrough {
                    request: &request,
                    deployment: &deployment,
                    endpoint,
                    headers: &headers,
                    known_only: false,
                    restored: restored.as_deref(),
                };
                passthrough.body(None).map(|fitted| fitted.changed)
            };
            admission.changed = self.work.run(bytes, fit).await?;
        }
        Ok(())
    }

    /// Adds the reasoning before calls that the client left out, for a model that wants it back.
    fn restore_reasoning(&self, admission: &mut Admission) {
        let dialect = admission.endpoint.dialect;
        if dialect != Dialect::Chat || !admission.deployment().capabilities().returned_reasoning {
            return;
        }
        let request = admission.request.clone();
        let team = admission.team();
        let recall = |call: &str| self.reasoning.text_before(team, call, dialect);
        if let Some((messages, bytes)) = dialect::with_returned_reasoning(&request, recall) {
            let input = &mut admission.bounds.input;
            input.text_bytes = input.text_bytes.saturating_add(bytes);
            admission.restored = Some(messages.into());
        }
    }

    /// Translates the request, if budgets and limits have room for its text.
    async fn translate(&self, admission: &mut Admission, may_fetch: bool) -> Result<(), ApiError> {
        self.look(admission)?;
        let (reasoning, pseudonyms) = (self.reasoning.clone(), self.pseudonyms.clone());
        let (request, deployment) = (admission.request.clone(), admission.deployment().clone());
        let (team, endpoint) = (admission.team(), admission.endpoint);
        let translate = move || {
            let context = TranslationContext {
                reasoning: &reasoning,
                team,
                pseudonyms: &pseudonyms,
                may_fetch,
            };
            TranslatedRequest::plan(context, &request, &deployment, endpoint).map(Box::new)
        };
        let bytes = admission.request.body.len();
        let translated = self.work.run(bytes, translate).await?;
        admission.endpoint = translated.endpoint;
        let deployment = admission.deployment().clone();
        let bounds = &mut admission.bounds;
        bounds.input = translated.input(std::mem::take(&mut bounds.input));
        bounds.thinking_budget = bounds.thinking_budget.or(translated.thinking_tokens_min());
        bounds.cap = Fitter::new(&deployment, admission.endpoint).cap_bounds();
        admission.translated = Some(translated);
        Ok(())
    }

    /// Writes the batches of an embeddings request, if budgets and limits have room for its texts.
    async fn translate_embeddings(&self, admission: &mut Admission) -> Result<(), ApiError> {
        self.look(admission)?;
        let (request, deployment) = (admission.request.clone(), admission.deployment().clone());
        let endpoint = admission.endpoint;
        let Some(format) = endpoint.embedding_format else {
            return Err(ApiError::defect(
                "an endpoint lacks the format of its embeddings",
            ));
        };
        let write = move || NativeEmbeddings::plan(&request, &deployment, endpoint, format);
        let bytes = admission.request.body.len();
        let embeddings = self.work.run(bytes, write).await?;
        admission.embeddings = Some(Box::new(embeddings));
        Ok(())
    }

    /// Holds the worst case in every budget above the caller; queues where it fits once other calls settle.
    pub async fn hold(
        &self,
        admission: &mut Admission,
        credential: Option<&str>,
    ) -> Result<GrantedHold, ApiError> {
        match self.hold_for_current(admission, credential, None) {
            Ok(granted) => Ok(granted),
            // boxed, because most requests find room
            Err(NoHold::Wait(budget)) => {
                Box::pin(self.wait_for_room(admission, credential, budget)).await
            }
            Err(NoHold::Refused(error)) => Err(self.with_remainder(admission, error)),
            Err(NoHold::Unauthorized(error)) => Err(error),
        }
    }

    /// Waits in the queue of a budget. Each try is made for the caller as it is then: changes of the key, its models, budgets or
    /// limits count for this request too.
    async fn wait_for_room(
        &self,
        admission: &mut Admission,
        credential: Option<&str>,
        short_of: BudgetId,
    ) -> Result<GrantedHold, ApiError> {
        let deadline = Instant::now() + Duration::from_millis(self.limits.queue_wait_ms);
        let joined = self.queue.join(short_of);
        let mut ticket = joined.map_err(|QueueFull| self.queue_full(admission, short_of))?;
        // the first try follows at once: room that came free before the ticket existed woke no one
        let mut changes = self.ledger.changes();
        loop {
            let short_of = match self.hold_for_current(admission, credential, Some(&ticket)) {
                Ok(granted) => return Ok(granted),
                Err(NoHold::Wait(budget)) => budget,
                Err(NoHold::Refused(error)) => return Err(self.with_remainder(admission, error)),
                Err(NoHold::Unauthorized(error)) => return Err(error),
            };
            if Instant::now() >= deadline {
                return Err(self.wait_expired(admission, short_of));
            }
            ticket = self.queue_at(admission, ticket, short_of)?;
            ticket.turn(deadline, &mut changes).await;
            // no request waits in a stopping process
            self.inflight.check_open()?;
        }
    }

    /// Holds the worst case now, or returns why not; for attempts after the first, which never wait for budget.
    pub fn hold_now(
        &self,
        admission: &mut Admission,
        credential: Option<&str>,
    ) -> Result<GrantedHold, ApiError> {
        let held = self.hold_for_current(admission, credential, None);
        held.map_err(|no_hold| match no_hold {
            NoHold::Wait(budget) => self.no_room(admission, budget),
            NoHold::Refused(error) | NoHold::Unauthorized(error) => error,
        })
    }

    /// Tries once to hold the worst case, for the caller as it is now. `ticket` is the request's place in a queue, if it waits.
    fn hold_for_current(
        &self,
        admission: &mut Admission,
        credential: Option<&str>,
        ticket: Option<&QueueTicket<'_>>,
    ) -> Result<GrantedHold, NoHold> {
        loop {
            if ticket.is_some() || !self.access.is_current(&admission.caller) {
                self.reauthorize(admission, credential)
                    .map_err(NoHold::Unauthorized)?;
            }
            return match self.try_hold(admission, ticket) {
                Ok((grant, cap)) => Ok(GrantedHold { grant, cap }),
                Err(AdmissionError::Refused(error)) => Err(NoHold::Refused(error)),
                Err(AdmissionError::Wait(budget)) => Err(NoHold::Wait(budget)),
                Err(AdmissionError::Stale) if self.access.is_current(&admission.caller) => {
                    let error = ApiError::defect("a key names a budget that does not exist");
                    Err(NoHold::Unauthorized(error))
                }
                Err(AdmissionError::Stale) => continue,
            };
        }
    }

    fn no_room(&self, admission: &Admission, short_of: BudgetId) -> ApiError {
        let budget = refusal::budget_label(&self.ledger, &admission.caller, short_of);
        refusal::wait_expired(&budget, 0)
    }

    /// Most that the models cost which tools of the vendor run inside a call.
    fn second_models(
        &self,
        deployment: &Deployment,
        input: &InputBound,
    ) -> Result<Money, UnboundedTool> {
        let ceiling = |bound: &SecondModelBound| {
            let second = self.access.routes.load().beside(deployment, &bound.model);
            second_model_ceiling(&second, bound).map_err(|why| UnboundedTool {
                tool: bound.tool.clone(),
                model: bound.model.clone(),
                why,
            })
        };
        input.second_models.iter().map(ceiling).sum()
    }

    /// Moves a waiting request to the queue of the budget that it lacks now.
    fn queue_at<'q>(
        &'q self,
        admission: &Admission,
        ticket: QueueTicket<'q>,
        short_of: BudgetId,
    ) -> Result<QueueTicket<'q>, ApiError> {
        if ticket.budget() == short_of {
            return Ok(ticket);
        }
        let moved = self.queue.move_ticket(ticket, short_of);
        moved.map_err(|QueueFull| self.queue_full(admission, short_of))
    }

    /// Looks the caller up again: the key may have been revoked, or have lost the model.
    fn reauthorize(
        &self,
        admission: &mut Admission,
        credential: Option<&str>,
    ) -> Result<(), ApiError> {
        let caller = self.access.authenticate(credential)?;
        if !Arc::ptr_eq(&caller, &admission.caller) {
            let (asked, candidate) = (&admission.request.model, &admission.step.candidate);
            self.access.check_granted(&caller, asked, candidate)?;
            let (deployment, input) = (admission.deployment(), &admission.bounds.input);
            self.access.authorize_tools(&caller, deployment, input)?;
            admission.caller = caller;
        }
        Ok(())
    }

    fn queue_full(&self, admission: &Admission, short_of: BudgetId) -> ApiError {
        let budget = refusal::budget_label(&self.ledger, &admission.caller, short_of);
        let error = refusal::queue_full(&budget, self.limits.queue_max);
        self.with_remainder(admission, error)
    }

    fn wait_expired(&self, admission: &Admission, short_of: BudgetId) -> ApiError {
        let budget = refusal::budget_label(&self.ledger, &admission.caller, short_of);
        let error = refusal::wait_expired(&budget, self.limits.queue_wait_ms / 1_000);
        self.with_remainder(admission, error)
    }

    /// Adds what the tightest budget above the caller has left, whatever the reason of the refusal.
    pub(super) fn with_remainder(&self, admission: &Admission, error: ApiError) -> ApiError {
        error.with_remainder(self.ledger.remainder(&admission.claim()))
    }
}

/// Most that one model in a tool costs: its context window as input of each run, and its output cap.
fn second_model_ceiling(second: &Deployment, bound: &SecondModelBound) -> Result<Money, String> {
    let runs = bound.runs.ok_or("its runs have no limit")?;
    let cap = bound.output_cap.or(second.price.max_output());
    let cap = cap.ok_or("its output has no limit")?;
    let window = InputBound {
        documents: 1,
        ..InputBound::default()
    };
    let ceiling = second.price.ceiling(&window, cap, 1, second.pricing(None));
    let one_run = ceiling.map_err(|error| error.to_string())?;
    Ok(one_run.times(runs))
}

/// Endpoint for a call: that of the client's dialect, unless the model or the request needs another.
fn serving_endpoint(
    deployment: &Deployment,
    request: &Request,
) -> Result<&'static Endpoint, ApiError> {
    let preset = deployment.provider.preset;
    let endpoint = preset
        .endpoint(request.operation, request.dialect, &deployment.model)
        .ok_or_else(|| refusal::dialect_not_supported(deployment, request))?;
    let fitter = Fitter::new(deployment, endpoint);
    let by_mode = || {
        let is_response = deployment.price.mode() == Some(Mode::Responses);
        let at_responses =
            preset.endpoint(request.operation, Dialect::Responses, &deployment.model);
        at_responses.filter(|_| is_response)
    };
    let other = fitter.serving_endpoint().or_else(by_mode).or_else(|| {
        let is_own = endpoint.dialect == request.dialect;
        is_own.then(|| fitter.endpoint_for(&request.body)).flatten()
    });
    Ok(other.unwrap_or(endpoint))
}
