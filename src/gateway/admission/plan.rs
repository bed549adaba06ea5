//! One planned attempt: request, deployment and the way between them, and the claim that the ledger checks for it.

use std::sync::Arc;

use crate::auth::directory::Caller;
use crate::dialect::Request;
use crate::domain::attempt::AttemptNote;
use crate::domain::attribution::Attribution;
use crate::domain::event::{Hold, HoldId, Progress, Subject};
use crate::domain::id::TeamId;
use crate::domain::money::Money;
use crate::gateway::admission::output_cap::{CapDecision, RequestBounds};
use crate::gateway::deadlines::Deadlines;
use crate::gateway::origin::RequestOrigin;
use crate::gateway::request::embeddings::NativeEmbeddings;
use crate::gateway::request::translate::TranslatedRequest;
use crate::gateway::request::{compat, known_members};
use crate::meter::{Claim, HoldGrant, Tokens};
use crate::price::Price;
use crate::provider::Endpoint;
use crate::route::{Deployment, Step};

/// One planned attempt: a request, the deployment that shall serve it, and how it gets there. The request stays as it was
/// read, so that another attempt can start from it.
pub(in crate::gateway) struct Admission {
    pub caller: Arc<Caller>,
    pub request: Arc<Request>,
    pub step: Step,
    pub deadlines: Deadlines,
    /// most that the attempt may cost, as the client's header asks
    pub max_cost: Option<Money>,
    pub origin: RequestOrigin,
    pub id: HoldId,
    pub endpoint: &'static Endpoint,
    pub url: String,
    /// present where the vendor speaks another dialect
    pub translated: Option<Box<TranslatedRequest>>,
    /// present where the vendor has a format of its own for embeddings
    pub embeddings: Option<Box<NativeEmbeddings>>,
    /// `messages` of a pass-through with the reasoning that the client left out
    pub restored: Option<Arc<str>>,
    /// paths that a pass-through changes to keep the vendor's limits
    pub changed: Vec<String>,
    pub bounds: RequestBounds,
    pub attribution: Attribution,
}

/// Hold of the worst case of an admission.
pub(in crate::gateway) struct GrantedHold {
    pub grant: HoldGrant,
    pub cap: CapDecision,
}

impl Admission {
    pub fn deployment(&self) -> &Arc<Deployment> {
        self.step.candidate.deployment()
    }

    /// Note about the choice; empty for the one attempt at a model called by its own name.
    pub fn note(&self) -> AttemptNote {
        let has_key = self.deployment().key_name().is_some();
        if self.step.candidate.route.is_none() && self.step.attempt == 1 && !has_key {
            return AttemptNote::default();
        }
        AttemptNote {
            route: AttemptNote::cut(self.step.candidate.route_name().to_owned()),
            chosen: AttemptNote::cut(self.step.chosen.clone().into_owned()),
            wait_ms: self.step.wait.as_millis() as u64,
            failure: None,
        }
    }

    pub fn team(&self) -> TeamId {
        self.caller.key.team
    }

    /// Bytes of the input that are text.
    pub fn input_bytes(&self) -> u64 {
        self.bounds.input.text_bytes
    }

    /// Returns true if only known members of the client's body may go up where a budget blocks: the vendor borrows the
    /// dialect, and its calls cost money.
    pub fn needs_known_members(&self) -> bool {
        let free = matches!(self.deployment().price, Price::Free);
        self.endpoint.borrowed && self.translated.is_none() && !free
    }

    /// Members of the request that the vendor receives changed or not at all, as a header lists them. `known_only`: unknown
    /// members are left out.
    pub fn changed_members(&self, known_only: bool) -> Option<String> {
        if let Some(translated) = &self.translated {
            return translated.dropped();
        }
        if let Some(embeddings) = &self.embeddings {
            return embeddings.dropped();
        }
        let mut names = self
            .endpoint
            .compat
            .map_or_else(Vec::new, |rules| compat::changed(&self.request, rules));
        if known_only {
            names.extend(known_members::unknown(
                &self.request,
                self.endpoint,
                self.deployment(),
            ));
        }
        names.extend(self.changed.iter().map(String::as_str));
        names.sort_unstable();
        names.dedup();
        compat::header_list(&names)
    }

    /// Members that go up although the gateway does not know them. `known_only`: only those that the configuration lists.
    pub fn foreign_members(&self, known_only: bool) -> Vec<String> {
        if !self.needs_known_members() {
            return Vec::new();
        }
        known_members::foreign(&self.request, self.endpoint, self.deployment(), known_only)
    }

    /// The claim without ceiling and tokens: those depend on what the budgets have left.
    pub fn claim(&self) -> Claim<'_> {
        Claim {
            hold: self.unpriced_hold(),
            budgets: &self.caller.budgets,
            limits: &self.caller.limits,
            tokens: Tokens::default(),
        }
    }

    /// Models that tools of the vendor may run inside the call, each once.
    fn second_models(&self) -> Vec<String> {
        let mut models: Vec<String> = Vec::new();
        for bound in &self.bounds.input.second_models {
            if !models.contains(&bound.model) {
                models.push(bound.model.clone());
            }
        }
        models
    }

    fn unpriced_hold(&self) -> Hold {
        let (key, names) = (&self.caller.key, &self.deployment().names);
        Hold {
            id: self.id,
            at_ms: 0,
            subject: Arc::new(Subject {
                organization: key.organization,
                team: key.team,
                key: key.id,
                model_asked: names.asked(&self.request.model),
                provider: names.provider.clone(),
                model: names.model.clone(),
                dialect: self
                    .request
                    .operation
                    .record_name(self.request.dialect)
                    .into(),
                streamed: self.request.streamed,
                attribution: self.attribution.clone(),
                second_models: self.second_models(),
            }),
            ceiling: Money::ZERO,
            charges: Vec::new(),
            progress: Progress::default(),
        }
    }
}
