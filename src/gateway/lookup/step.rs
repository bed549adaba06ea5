//! Decides how the cache takes part in a request, and looks for an answer that its caller may have.

use std::sync::{Arc, OnceLock};

use crate::auth;
use crate::auth::directory::Caller;
use crate::cache::fingerprint::{RequestContext, ScopeId, last_message};
use crate::cache::{AskedQuestion, CacheCell, FoundAnswer, ResponseCache, SimilarAnswer};
use crate::cache::{eligibility, embedder};
use crate::dialect::Request;
use crate::domain::api_error::ApiError;
use crate::domain::cache::{CacheMode, CacheNote, CacheOutcome, CachePolicy};
use crate::gateway::attempts::{AttemptRunner, RoutedRequest};
use crate::gateway::caching::controls::{CacheControls, Directive};
use crate::gateway::caching::plan::CachePlan;
use crate::gateway::caching::recorder::{CacheUse, EntryOwner, SemanticUse};
use crate::gateway::call::Call;
use crate::gateway::lookup::hit;
use crate::gateway::reply::Reply;
use crate::route::{Candidate, Plan};

/// The cache, and the policy of names without a route.
pub(in crate::gateway) struct CacheStep {
    /// `None`: no answer is kept
    cache: Option<CacheCell>,
    default: CachePolicy,
}

impl CacheStep {
    pub fn new(cache: Option<CacheCell>, default: CachePolicy) -> CacheStep {
        CacheStep { cache, default }
    }

    /// The cache, once it is open.
    pub fn cache(&self) -> Option<&Arc<ResponseCache>> {
        self.cache.as_ref()?.get()
    }

    /// Decides how the cache takes part in a request; `None` where it is off.
    pub fn plan(
        &self,
        call: &Call,
        request: &Request,
        caller: &Caller,
        plan: &Plan,
    ) -> Result<Option<Box<CachePlan>>, ApiError> {
        let policy = plan
            .route()
            .map_or(self.default, |route| route.config.cache);
        if policy.mode == CacheMode::Off && call.cache.is_none() {
            return Ok(None);
        }
        let controls = call.cache.as_deref().map(CacheControls::parse);
        let controls = controls.transpose()?.unwrap_or_default();
        let reason = match controls.directive {
            _ if policy.mode == CacheMode::Off => Some("off"),
            Some(Directive::Off) => Some("request"),
            _ => eligibility::refusal(request),
        };
        if let Some(reason) = reason {
            return Ok(Some(Box::new(CachePlan::bypass(reason))));
        }
        let Some(cache) = self.cache() else {
            // the route got its cache while the process ran
            self.cache.iter().for_each(CacheCell::open_soon);
            return Ok(Some(Box::new(CachePlan::bypass("opening"))));
        };
        let key = &caller.key;
        let version = version_of(plan);
        let context = RequestContext {
            scope: ScopeId::of(policy.scope, (key.organization, key.team, key.id)),
            route: &version,
            namespace: controls.namespace.as_deref(),
            headers: &call.headers,
            user: call.user.as_deref(),
            ignore_user: policy.ignore_user,
        };
        let Some(id) = cache.fingerprints.exact(request, &context) else {
            return Ok(Some(Box::new(CachePlan::bypass("unreadable"))));
        };
        let stores = controls.directive != Some(Directive::NoStore);
        let semantic = semantic_use(cache, request, &context, (&policy, &controls));
        Ok(Some(Box::new(CachePlan {
            note: CacheNote {
                own: stores.then_some(id),
                ..CacheNote::of(CacheOutcome::Miss)
            },
            plan: Some(Arc::new(CacheUse {
                cache: cache.clone(),
                id,
                owner: EntryOwner {
                    organization: key.organization,
                    team: key.team,
                    key: key.id,
                    model_asked: request.model.clone(),
                },
                ttl_ms: controls
                    .ttl_ms
                    .map_or(policy.ttl_ms, |ttl_ms| ttl_ms.min(policy.ttl_ms)),
                looks_up: controls.directive != Some(Directive::Refresh),
                stores,
                semantic,
                targets: candidates(plan).map(named).collect(),
            })),
        })))
    }

    /// Answers a request from the cache; `None` where it has to be answered upstream.
    pub async fn answer(
        &self,
        runner: &AttemptRunner,
        routed: &mut RoutedRequest,
    ) -> Result<Option<Reply>, ApiError> {
        let Some(mut cache) = routed.cache.take() else {
            return Ok(None);
        };
        let found = match cache.plan.clone() {
            Some(plan) => look_up(runner, &plan, &mut cache.note).await,
            None => None,
        };
        let answered = match found {
            Some((found, outcome)) => hit::serve(runner, routed, found, outcome).await?,
            None => None,
        };
        if answered.is_none() {
            runner.settler.metrics.looked_up(&cache.note);
            routed.cache = Some(cache);
        }
        Ok(answered)
    }
}

/// Looks for an equal request, then for a similar one; notes the nearest that was refused.
async fn look_up(
    runner: &AttemptRunner,
    plan: &CacheUse,
    note: &mut CacheNote,
) -> Option<(FoundAnswer, CacheOutcome)> {
    if plan.looks_up
        && let Some(found) = find(runner, plan)
    {
        return Some((found, CacheOutcome::Exact));
    }
    let semantic = plan.semantic.as_ref()?;
    let vector = match plan.cache.embed(&semantic.text).await {
        Ok(vector) => semantic.vector.get_or_init(|| vector),
        Err(reason) => {
            note.reason = reason.as_str().to_owned();
            return None;
        }
    };
    if !plan.looks_up {
        return None;
    }
    let asked = AskedQuestion {
        namespace: semantic.namespace,
        text: &semantic.text,
        vector,
        threshold: semantic.threshold,
        guard: semantic.guard,
    };
    let is_allowed = |found: &FoundAnswer| is_allowed(runner, plan, found);
    match plan.cache.find_similar(&asked, plan.ttl_ms, is_allowed) {
        SimilarAnswer::Found(found) => Some((*found, CacheOutcome::Semantic)),
        SimilarAnswer::Refused(id, similarity, reason) => {
            note.entry = Some(id);
            note.similarity = Some(similarity);
            note.reason = reason.to_owned();
            None
        }
        SimilarAnswer::None => None,
    }
}

/// An answer to an equal request that this caller may have.
fn find(runner: &AttemptRunner, plan: &CacheUse) -> Option<FoundAnswer> {
    let found = plan.cache.find(plan.id, plan.ttl_ms)?;
    is_allowed(runner, plan, &found).then_some(found)
}

/// The key that asked first may still call, and the caller may use the deployment that answered.
fn is_allowed(runner: &AttemptRunner, plan: &CacheUse, found: &FoundAnswer) -> bool {
    let (access, answer) = (&runner.admission.access, &found.answer);
    let mut targets = plan.targets.iter();
    let is_target =
        targets.any(|(provider, model)| *provider == answer.provider && *model == answer.model);
    let directory = access.directory.load();
    is_target && auth::may_call(&directory, answer.key, access.time.now_ms())
}

/// Comparison by meaning, for a request that fits it on a route that has it.
fn semantic_use(
    cache: &ResponseCache,
    request: &Request,
    context: &RequestContext<'_>,
    (policy, controls): (&CachePolicy, &CacheControls),
) -> Option<SemanticUse> {
    let is_semantic =
        policy.mode == CacheMode::Semantic && controls.directive != Some(Directive::Exact);
    if !is_semantic || !eligibility::may_be_compared(request) {
        return None;
    }
    let last = last_message(request)?;
    let fingerprints = &cache.fingerprints;
    let namespace = fingerprints.namespace(request, context, &last, embedder::MODEL)?;
    let threshold = controls.threshold.unwrap_or(policy.threshold);
    Some(SemanticUse {
        namespace,
        text: last.text,
        threshold: threshold.max(policy.threshold),
        guard: policy.guard,
        vector: OnceLock::new(),
    })
}

/// Targets and fallbacks of a plan.
fn candidates(plan: &Plan) -> impl Iterator<Item = &Candidate> {
    let lists = [
        &plan.targets,
        &plan.fallbacks,
        &plan.context_fallbacks,
        &plan.content_fallbacks,
    ];
    lists.into_iter().flatten()
}

fn named(candidate: &Candidate) -> (String, String) {
    let deployment = candidate.deployment();
    (deployment.provider.name.clone(), deployment.model.clone())
}

/// Everything that the configuration says of the answer: the route, and provider, address and model of each target. A change makes
/// earlier answers unreachable.
fn version_of(plan: &Plan) -> Vec<u8> {
    let mut version = Vec::with_capacity(128);
    if let Some(route) = plan.route() {
        version.extend_from_slice(route.version());
    }
    for candidate in candidates(plan) {
        let deployment = candidate.deployment();
        let provider = &deployment.provider;
        for text in [
            provider.name.as_str(),
            provider.preset.name,
            &provider.base_url,
            &deployment.model,
        ] {
            version.extend_from_slice(text.as_bytes());
            version.push(0);
        }
    }
    version
}
