//! Access checks of the data plane: the caller behind a credential, and the deployment behind a model name that this caller
//! may use. Reads the directory as it is at the moment of the call; never asks the store.

use std::sync::Arc;

use crate::auth;
use crate::auth::directory::{Caller, DirectoryCell};
use crate::dialect::{self, Dialect, Operation, Request};
use crate::domain::api_error::ApiError;
use crate::domain::input_bound::{InputBound, SecondModelBound};
use crate::domain::tenant::Endpoint;
use crate::domain::time::Time;
use crate::gateway::call::Call;
use crate::policy::{access, similar_names};
use crate::route::{Candidate, Deployment, Plan, Resolution, RouteCell, RouteError};

/// A key that may call at most this many models is told their names where a name is unknown.
const NAMES_SHOWN_MAX: usize = 10;
/// Owner of routes and aliases in model lists.
const ROUTE_OWNER: &str = "gatekeeper";

/// Refuses an endpoint that the caller may not use.
pub(super) fn check_endpoint(caller: &Caller, call: &Call) -> Result<(), ApiError> {
    let endpoint = match (call.operation, call.dialect) {
        (Operation::TokenCount, _) => Endpoint::CountTokens,
        (Operation::Embeddings, _) => Endpoint::Embeddings,
        (Operation::Conversation, Dialect::Responses) => Endpoint::Responses,
        (Operation::Conversation, Dialect::Messages) => Endpoint::Messages,
        (Operation::Conversation, _) => Endpoint::ChatCompletions,
    };
    access::check_endpoint_allowed(&caller.team, caller.keys(), endpoint)
}

/// Directory, routes and clock that every access check needs.
pub(super) struct Access {
    pub directory: Arc<DirectoryCell>,
    pub routes: Arc<RouteCell>,
    pub time: Arc<Time>,
    /// clients of Anthropic's dialect see other vendors' models under aliases
    pub picker_aliases: bool,
}

impl Access {
    /// Returns the caller behind a credential; 401, or 403 for an administrative key.
    pub fn authenticate(&self, credential: Option<&str>) -> Result<Arc<Caller>, ApiError> {
        let now_ms = self.time.now_ms();
        let caller = auth::authenticate(&self.directory.load(), credential, now_ms)?;
        caller.last_use.note(now_ms);
        Ok(caller)
    }

    /// Returns the caller of a known key even if the key may not call; for the request log only.
    pub fn find_caller(&self, credential: Option<&str>) -> Option<Arc<Caller>> {
        auth::find_caller(&self.directory.load(), credential)
    }

    /// Returns `true` if the directory still holds this very caller.
    pub fn is_current(&self, caller: &Arc<Caller>) -> bool {
        self.directory
            .load()
            .key(caller.key.id)
            .is_some_and(|now| Arc::ptr_eq(now, caller))
    }

    /// Replaces a picker's alias by the model's own name, the only one that allow-lists, budgets and books know.
    pub fn resolve_alias(&self, request: &mut Request) {
        if !self.picker_aliases {
            return;
        }
        let routes = self.routes.load();
        let name = routes.resolve_alias(&request.model);
        if name != request.model {
            request.resolve_alias(name.to_owned());
        }
    }

    /// Returns the targets behind a name, and those of its fallbacks, that the caller may use. A fallback is granted by its own
    /// names, never by the name that was asked for.
    pub fn plan(&self, caller: &Caller, asked: &str) -> Result<Plan, ApiError> {
        let routes = self.routes.load();
        let resolved = routes
            .resolve(asked)
            .map_err(|error| self.unresolved(caller, asked, &error))?;
        let mut refusal = None;
        let mut targets = Vec::with_capacity(resolved.targets.len());
        for candidate in resolved.into_candidates() {
            match check_granted(caller, asked, &candidate) {
                Ok(()) => targets.push(candidate),
                Err(error) => drop(refusal.get_or_insert(error)),
            }
        }
        let route = match (targets.first(), refusal) {
            (Some(target), _) => target.route.clone(),
            (None, refusal) => {
                return Err(refusal.unwrap_or_else(|| ApiError::defect("a name has no target")));
            }
        };
        let Some(route) = route else {
            return Ok(Plan {
                targets,
                ..Plan::default()
            });
        };
        let fallbacks = |names: &[String]| {
            let resolved = names.iter().filter_map(|name| routes.resolve(name).ok());
            resolved
                .flat_map(Resolution::into_candidates)
                .filter(|candidate| is_granted(caller, candidate))
                .collect()
        };
        Ok(Plan {
            fallbacks: fallbacks(&route.config.fallbacks),
            context_fallbacks: fallbacks(&route.config.context_fallbacks),
            content_fallbacks: fallbacks(&route.config.content_fallbacks),
            targets,
        })
    }

    /// Checks that the caller may still use a target.
    pub fn check_granted(
        &self,
        caller: &Caller,
        asked: &str,
        candidate: &Candidate,
    ) -> Result<(), ApiError> {
        check_granted(caller, asked, candidate)
    }

    /// Refuses models that a tool of the vendor would run inside the call and that the caller may not use.
    pub fn authorize_tools(
        &self,
        caller: &Caller,
        deployment: &Deployment,
        input: &InputBound,
    ) -> Result<(), ApiError> {
        let provider = &deployment.provider.name;
        for SecondModelBound { model, .. } in &input.second_models {
            let owners = (&caller.organization, &caller.team);
            access::check_model_allowed(owners, caller.keys(), model, &[model], (provider, model))
                .map_err(|error| error.with_param("tools"))?;
        }
        Ok(())
    }

    /// The error of a name without a deployment; a mistyped name gets a suggestion among those that the caller may call.
    fn unresolved(&self, caller: &Caller, asked: &str, error: &RouteError) -> ApiError {
        let mut refusal = error.to_api_error(asked);
        if *error != RouteError::Unknown {
            return refusal;
        }
        let callable = self.callable(caller);
        let names: Vec<&str> = callable.iter().map(|(name, _)| name.as_str()).collect();
        if (1..=NAMES_SHOWN_MAX).contains(&names.len()) {
            let shown: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            refusal.message += &format!("; this key may call {}", shown.join(", "));
        }
        if let Some(name) = similar_names::closest(asked, &names) {
            refusal.message += &format!("; did you mean `{name}`?");
        }
        refusal
    }

    /// Listed names that the caller may call, with the owner that model lists state, sorted.
    fn callable(&self, caller: &Caller) -> Vec<(String, String)> {
        let tenants = (&caller.organization, &caller.team);
        let table = self.routes.load();
        let models = table.names().filter(|(name, deployment)| {
            let (provider, model) = (&deployment.provider.name, &deployment.model);
            access::is_model_allowed(tenants, caller.keys(), &[name], (provider, model))
        });
        let mut callable: Vec<(String, String)> = models
            .map(|(name, deployment)| (name.to_owned(), deployment.provider.name.clone()))
            .collect();
        let routes = table
            .route_names()
            .filter(|name| self.plan(caller, name).is_ok());
        let before = callable.len();
        callable.extend(routes.map(|name| (name.to_owned(), ROUTE_OWNER.to_owned())));
        if callable.len() > before {
            // a route hides a model of its name
            callable.sort_by(|one, other| {
                one.0
                    .cmp(&other.0)
                    .then(is_route(other).cmp(&is_route(one)))
            });
            callable.dedup_by(|later, first| later.0 == first.0);
        }
        callable
    }

    /// Lists the models that the key may call, sorted: name and provider. Clients of Anthropic's dialect also get the picker
    /// aliases, where the configuration enables them.
    pub fn models(
        &self,
        credential: Option<&str>,
        dialect: Dialect,
    ) -> Result<Vec<(String, String)>, ApiError> {
        let caller = self.authenticate(credential)?;
        let mut models = self.callable(&caller);
        if self.picker_aliases && dialect == Dialect::Messages {
            let aliases = self.aliases(&models);
            models.extend(aliases);
            models.sort_unstable();
        }
        Ok(models)
    }

    fn aliases(&self, models: &[(String, String)]) -> Vec<(String, String)> {
        let routes = self.routes.load();
        models
            .iter()
            .filter_map(|(name, owner)| Some((dialect::picker_alias(name)?, owner.clone())))
            .filter(|(alias, _)| routes.resolve_alias(alias) != alias)
            .collect()
    }
}

fn is_route((_, owner): &(String, String)) -> bool {
    owner == ROUTE_OWNER
}

/// Returns `true` if the caller may use a target by the target's own names.
pub(super) fn may_use(caller: &Caller, candidate: &Candidate) -> bool {
    is_granted(caller, candidate)
}

fn is_granted(caller: &Caller, candidate: &Candidate) -> bool {
    let deployment = candidate.deployment();
    let names = (deployment.provider.name.as_str(), deployment.model.as_str());
    access::is_model_allowed(
        (&caller.organization, &caller.team),
        caller.keys(),
        &candidate.granted_by[..],
        names,
    )
}

/// Refuses a target that no list allows by its own name or by one that grants it.
fn check_granted(caller: &Caller, asked: &str, candidate: &Candidate) -> Result<(), ApiError> {
    let deployment = candidate.deployment();
    let names = (deployment.provider.name.as_str(), deployment.model.as_str());
    let granted_by = &candidate.granted_by[..];
    access::check_model_allowed(
        (&caller.organization, &caller.team),
        caller.keys(),
        asked,
        granted_by,
        names,
    )
}
