//! One attempt: what a call may cost at most on one deployment is claimed, if need be after a wait, and held.

pub(crate) mod output_cap;
pub(crate) mod queue;
pub(crate) mod refusal_log;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::auth::directory::Caller;
use crate::dialect::{Dialect, Operation, Request};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attribution::{Attribution, Tag};
use crate::domain::budget::Budget;
use crate::domain::event::{Hold, HoldId, Progress, Subject};
use crate::domain::id::{BudgetId, RequestId};
use crate::domain::money::Money;
use crate::domain::usage::{ReportedUsage, Usage};
use crate::domain::zone::Zone;
use crate::gateway::admission::output_cap;
use crate::gateway::admission::output_cap::CapDecision;
use crate::gateway::admission::queue::{QueueFull, QueueTicket};
use crate::gateway::exchange::drain::DisconnectFlag;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::send::{AdmittedAttempt, ledger_unavailable, on_disk};
use crate::gateway::request::compat;
use crate::gateway::request::translate::TranslatedRequest;
use crate::gateway::{Gateway, defect, rate_limit_headers};
use crate::meter::estimates::TextSize;
use crate::meter::{BudgetStatus, Claim, HoldDenial, HoldError, HoldGrant, Tokens};
use crate::price::Mode;
use crate::provider::Endpoint;
use crate::route::Deployment;
use crate::upstream::Fetcher;

/// A request on its way to one deployment.
pub(super) struct Admission<'g> {
    pub gateway: &'g Arc<Gateway>,
    caller: Arc<Caller>,
    pub request: Request,
    pub deployment: Arc<Deployment>,
    pub id: HoldId,
    endpoint: &'static Endpoint,
    pub url: String,
    /// where the vendor speaks another dialect
    crossing: Option<Box<TranslatedRequest>>,
    attribution: Attribution,
}

impl<'g> Admission<'g> {
    /// Finds the way: in the client's own dialect where the vendor speaks it, else through the hub.
    pub(super) async fn plan(
        gateway: &'g Arc<Gateway>,
        caller: Arc<Caller>,
        mut request: Request,
        deployment: Arc<Deployment>,
        id: RequestId,
        tag: Option<Tag>,
        fetcher: Option<&Fetcher>,
    ) -> Result<Admission<'g>, ApiError> {
        let Some(endpoint) = deployment.provider.preset.endpoint(
            request.operation,
            request.dialect,
            &deployment.model,
        ) else {
            return Err(not_spoken(&deployment, &request));
        };
        made_for(&deployment, &request)?;
        let crossing = if endpoint.dialect == request.dialect {
            if let Some(compat) = endpoint.compat {
                compat::check(&request, compat, &deployment)?;
            }
            None
        } else {
            // boxed, so that calls that need none are not moved about with room for it
            let crossing = Box::pin(TranslatedRequest::plan(
                gateway,
                caller.key.team,
                &request,
                &deployment,
                endpoint,
                fetcher,
            ));
            let crossing = Box::new(crossing.await?);
            request.input = crossing.input(request.input);
            request.thinking_budget = request.thinking_budget.or(crossing.thinking_tokens_min());
            Some(crossing)
        };
        let url = deployment
            .provider
            .url(endpoint, &deployment.model, request.streamed);
        let user = request
            .user
            .as_deref()
            .map(|user| gateway.pseudonyms.user(user));
        let (id, attribution) = (
            HoldId {
                request: id,
                attempt: 1,
            },
            Attribution { user, tag },
        );
        Ok(Admission {
            gateway,
            caller,
            request,
            deployment,
            id,
            endpoint,
            url,
            crossing,
            attribution,
        })
    }

    /// Holds the worst case in every budget above the caller; waits in line where it would fit once other calls settle. Each look is
    /// at the caller as it is then: a key, a model, a budget or a limit that was changed meanwhile is changed for this call too.
    pub(super) async fn hold(
        mut self,
        credential: Option<&str>,
    ) -> Result<AdmittedAttempt, ApiError> {
        let gateway = self.gateway;
        let deadline = Instant::now() + Duration::from_millis(gateway.limits.queue_wait_ms);
        let mut waiting: Option<(QueueTicket<'_>, watch::Receiver<u64>)> = None;
        loop {
            if waiting.is_some() || !self.is_up_to_date() {
                self.renew(credential)?;
            }
            let short_of = match self.try_hold(waiting.as_ref().map(|(place, _)| place)) {
                Ok((held, cap)) => return self.held(held, cap).await,
                Err(AdmissionError::Refused(problem)) => return Err(self.of_budgets(problem)),
                Err(AdmissionError::Stale) if self.is_up_to_date() => {
                    return Err(defect("a key names a budget that is not there"));
                }
                Err(AdmissionError::Stale) => continue,
                Err(AdmissionError::Wait(budget)) => budget,
            };
            let Some((place, mut changes)) = waiting.take() else {
                let place = gateway
                    .queue
                    .join(short_of)
                    .map_err(|QueueFull| self.no_place(short_of))?;
                // once more: what came free before it stood there woke nobody
                waiting = Some((place, gateway.ledger.changes()));
                continue;
            };
            if Instant::now() >= deadline {
                return Err(self.no_room_in_time(short_of));
            }
            let place = if place.budget() == short_of {
                Ok(place)
            } else {
                gateway.queue.moved(place, short_of)
            };
            let place = place.map_err(|QueueFull| self.no_place(short_of))?;
            place.turn(deadline, &mut changes).await;
            waiting = Some((place, changes));
            // a stopping process lets nobody wait
            gateway.inflight.still_open()?;
        }
    }

    /// Whether the directory still has the caller as it was looked up.
    fn is_up_to_date(&self) -> bool {
        let directory = self.gateway.directory.load();
        directory
            .key(self.caller.key.id)
            .is_some_and(|now| Arc::ptr_eq(now, &self.caller))
    }

    /// Looks the caller up anew: the key may have been revoked meanwhile, or have lost the model.
    fn renew(&mut self, credential: Option<&str>) -> Result<(), ApiError> {
        let caller = self.gateway.authenticate(credential)?;
        if !Arc::ptr_eq(&caller, &self.caller) {
            self.gateway.admit(&caller, &self.request.model)?;
            self.caller = caller;
        }
        Ok(())
    }

    /// A budget that counts this call and in which somebody has waited so long that this one may not pass. Who needs no money of
    /// it passes everybody.
    fn patience_over(
        &self,
        claim: &Claim<'_>,
        place: Option<&QueueTicket<'_>>,
    ) -> Option<BudgetId> {
        let gateway = self.gateway;
        if gateway.queue.waiting() == 0 || claim.hold.ceiling.is_zero() {
            return None;
        }
        gateway
            .queue
            .blocked(&gateway.ledger.blocking_budgets(claim), place)
    }

    /// What is claimed, without the ceiling and the tokens: those depend on what is left.
    fn claim(&self) -> Claim<'_> {
        Claim {
            hold: self.skeleton(),
            budgets: &self.caller.budgets,
            limits: &self.caller.limits,
            tokens: Tokens::default(),
        }
    }

    fn try_hold(
        &self,
        place: Option<&QueueTicket<'_>>,
    ) -> Result<(HoldGrant, CapDecision), AdmissionError> {
        let gateway = self.gateway;
        let mut claim = self.claim();
        let tightest = gateway.ledger.tightest_budget(&claim);
        let cap = output_cap::choose(&self.request, &self.deployment, tightest, gateway.overrun)
            .map_err(AdmissionError::Refused)?;
        claim.hold.ceiling = cap.ceiling;
        if !claim.limits.is_empty() {
            claim.tokens = self.claimed_tokens(&cap);
        }
        claim.hold.progress.cost = self.input_cost().min(cap.ceiling);
        if let Some(budget) = self.patience_over(&claim, place) {
            // what no wait can help is told at once all the same
            gateway.ledger.check_hold(&claim).or_else(|refused| {
                match self.not_held(refused, &cap) {
                    AdmissionError::Wait(_) => Ok(()),
                    refused => Err(refused),
                }
            })?;
            return Err(AdmissionError::Wait(budget));
        }
        gateway
            .ledger
            .hold(claim)
            .map_err(|refused| self.not_held(refused, &cap))
            .map(|held| (held, cap))
    }

    fn not_held(&self, refused: HoldError, cap: &CapDecision) -> AdmissionError {
        let no_room = match refused {
            HoldError::Denied(denial) => denial,
            HoldError::NotLogged(not_logged) => {
                return AdmissionError::Refused(ledger_unavailable(&not_logged));
            }
        };
        match no_room {
            HoldDenial::Held { budget, .. } => AdmissionError::Wait(budget.id),
            HoldDenial::Exceeded {
                budget,
                status,
                alerts,
            } => {
                self.gateway.send_alerts(alerts);
                AdmissionError::Refused(self.exceeded(&budget, &status, cap))
            }
            HoldDenial::RateLimited(limited) => {
                AdmissionError::Refused(rate_limit_headers::refused(
                    &limited,
                    &self.caller.describe_owner(limited.limit.owner),
                ))
            }
            HoldDenial::Stale => AdmissionError::Stale,
            HoldDenial::Duplicate => AdmissionError::Refused(defect("a hold was asked for twice")),
        }
    }

    /// The tokens that the rate limits are asked for: what the text comes to, and the output cap of every choice. Media is
    /// counted once the vendor has counted it.
    fn claimed_tokens(&self, cap: &CapDecision) -> Tokens {
        let (provider, model) = (&self.deployment.provider.name, &self.deployment.model);
        let text = TextSize {
            bytes: self.request.input.text_bytes,
            cjk_chars: 0,
        };
        let output = cap
            .tokens
            .unwrap_or(output_cap::UNKNOWN_MODEL_TOKENS)
            .saturating_mul(self.request.choices);
        Tokens {
            input: self.gateway.estimates.tokens(provider, model, text),
            output,
        }
    }

    /// What the call comes to if nothing more is ever heard of it: its input, as far as it can be guessed.
    fn input_cost(&self) -> Money {
        let (provider, model) = (&self.deployment.provider.name, &self.deployment.model);
        let text = TextSize {
            bytes: self.request.input.text_bytes,
            cjk_chars: 0,
        };
        let usage = Usage {
            uncached_in: self.gateway.estimates.tokens(provider, model, text),
            ..Usage::default()
        };
        let bill = self
            .deployment
            .price
            .cost(&usage, self.request.service_tier.as_deref());
        bill.map_or(Money::ZERO, |bill| bill.total)
    }

    fn skeleton(&self) -> Hold {
        let key = &self.caller.key;
        Hold {
            id: self.id,
            at_ms: 0,
            subject: Arc::new(Subject {
                organization: key.organization,
                team: key.team,
                key: key.id,
                model_asked: self.request.model.clone(),
                provider: self.deployment.provider.name.clone(),
                model: self.deployment.model.clone(),
                dialect: (self.request.operation)
                    .record_name(self.request.dialect)
                    .to_owned(),
                streamed: self.request.streamed,
                attribution: self.attribution.clone(),
            }),
            ceiling: Money::ZERO,
            charges: Vec::new(),
            progress: Progress::default(),
        }
    }

    async fn held(self, held: HoldGrant, cap: CapDecision) -> Result<AdmittedAttempt, ApiError> {
        let sequence = held.sequence;
        let open = OpenHold {
            gateway: self.gateway.clone(),
            deployment: self.deployment,
            held,
            team: self.caller.key.team,
            ceiling: cap.ceiling,
            guessed: cap.guessed,
            tier_asked: self.request.service_tier.clone(),
            tier_served: None,
            output_cap: cap.tokens,
            input_bytes: self.request.input.text_bytes,
            admitted: Instant::now(),
            upstream_status: 0,
            first_content_ms: None,
            sent_at: None,
            report: ReportedUsage::Missing,
            output_is_final: false,
            delivered: Default::default(),
            resolved: false,
            changed_members: match &self.crossing {
                Some(crossing) => crossing.dropped(),
                None => self
                    .endpoint
                    .compat
                    .and_then(|compat| compat::changed(&self.request, compat)),
            },
            presence: DisconnectFlag::default(),
        };
        on_disk(&open, sequence).await?;
        Ok(AdmittedAttempt {
            request: self.request,
            open,
            cap,
            endpoint: self.endpoint,
            url: self.url,
            crossing: self.crossing,
        })
    }

    fn exceeded(&self, budget: &Budget, standing: &BudgetStatus, cap: &CapDecision) -> ApiError {
        let left = standing.limit.minus(standing.settled).max(Money::ZERO);
        let until = standing.resets_at_ms.map_or(String::new(), |at_ms| {
            format!(" until {}", Zone::utc().rfc3339(at_ms))
        });
        let output = cap.tokens.map_or(String::new(), |tokens| {
            format!(" with up to {tokens} output tokens")
        });
        let models = budget
            .model
            .as_ref()
            .map_or(String::new(), |model| format!(" on {model}"));
        let remedy = if self.input_fits(left) {
            "Name a smaller max_tokens, or ask"
        } else {
            "Ask"
        };
        let message = format!(
            "the {} budget {}{models} of {} has ${left} left of ${}{until}; this request to {} can cost up to ${}{output}. \
             {remedy} your administrator to raise the budget",
            budget.period.as_str(),
            budget.id,
            self.caller.describe_owner(budget.owner),
            standing.limit,
            self.deployment.qualified(),
            cap.ceiling,
        );
        ApiError::new(ErrorCode::BudgetExceeded, message)
    }

    /// Whether less output would help.
    fn input_fits(&self, left: Money) -> bool {
        let input = self
            .deployment
            .price
            .input_ceiling(&self.request.input, self.request.service_tier.as_deref());
        self.request.operation != Operation::Embeddings && input.is_ok_and(|input| input < left)
    }

    fn no_place(&self, short_of: BudgetId) -> ApiError {
        let places = self.gateway.limits.queue_max;
        let budget = self.told(short_of);
        self.budget_held(&format!(
            "{places} requests already wait for room in {budget}; try again in a moment"
        ))
    }

    fn no_room_in_time(&self, short_of: BudgetId) -> ApiError {
        let waited = self.gateway.limits.queue_wait_ms / 1_000;
        self.budget_held(&format!(
            "the rest of {} is held by requests that are running; none of it came free within {waited} s. Try again, or name a \
             smaller max_tokens",
            self.told(short_of)
        ))
    }

    fn budget_held(&self, message: &str) -> ApiError {
        self.of_budgets(ApiError::new(ErrorCode::BudgetHeld, message).with_retry_after(2))
    }

    /// A budget in words: which, whose, and when it begins anew.
    fn told(&self, id: BudgetId) -> String {
        let ledger = &self.gateway.ledger;
        let Some((budget, standing)) = ledger.budget(id).zip(ledger.budget_status(id)) else {
            return format!("the budget {id}");
        };
        let until = standing.resets_at_ms.map_or(String::new(), |at_ms| {
            format!(" until {}", Zone::utc().rfc3339(at_ms))
        });
        let models = budget
            .model
            .as_ref()
            .map_or(String::new(), |model| format!(" on {model}"));
        let (period, whose) = (
            budget.period.as_str(),
            self.caller.describe_owner(budget.owner),
        );
        format!(
            "the {period} budget {id}{models} of {whose} (${}{until})",
            standing.limit
        )
    }

    /// With what the tightest of the budgets above has left, whatever the call was refused for.
    fn of_budgets(&self, problem: ApiError) -> ApiError {
        problem.with_remainder(self.gateway.ledger.remainder(&self.claim()))
    }
}

enum AdmissionError {
    Wait(BudgetId),
    /// what stands above the caller was changed
    Stale,
    Refused(ApiError),
}

fn not_spoken(deployment: &Deployment, request: &Request) -> ApiError {
    let name = deployment.qualified();
    let message = match request.operation {
        Operation::Embeddings => {
            format!("{name} has no embeddings that this gateway knows of; ask a provider that has")
        }
        Operation::TokenCount => {
            format!("{name} counts no tokens for its callers; count them yourself")
        }
        Operation::Conversation => format!(
            "{name} does not speak the {} dialect, and no dialect that it can be translated to",
            request.dialect.as_str()
        ),
    };
    ApiError::new(ErrorCode::NotSupported, message).with_param("model")
}

/// A model that makes vectors has no conversations, and the other way round; where no sheet says what a model is for, its
/// vendor will.
fn made_for(deployment: &Deployment, request: &Request) -> Result<(), ApiError> {
    let (does, instead) = match (deployment.price.mode(), request.operation) {
        (Some(Mode::Embedding), Operation::Conversation) => {
            ("makes embeddings", "POST /v1/embeddings")
        }
        (Some(Mode::Responses), Operation::Conversation)
            if request.dialect != Dialect::Responses =>
        {
            (
                "is reached in the Responses dialect only",
                "POST /v1/responses",
            )
        }
        (Some(Mode::Chat | Mode::Responses), Operation::Embeddings) => {
            ("makes no embeddings", "the endpoint of a conversation")
        }
        _ => return Ok(()),
    };
    let message = format!(
        "the model {} {does}; call it at {instead}, or ask for another model",
        deployment.qualified()
    );
    Err(ApiError::invalid(message).with_param("model"))
}
