//! Access checks of the data plane: the caller behind a credential, and the deployment behind a model name that this caller
//! may use. Reads the directory as it is at the moment of the call; never asks the store.

use std::sync::Arc;

use crate::auth;
use crate::auth::directory::{Caller, Directory, DirectoryCell};
use crate::dialect::{self, Dialect, Operation, Request};
use crate::domain::api_error::ApiError;
use crate::domain::input_bound::{InputBound, SecondModelBound};
use crate::domain::tenant::Endpoint;
use crate::domain::time::Time;
use crate::gateway::call::Call;
use crate::policy::{access, similar_names};
use crate::route::{Deployment, RouteError, RouteTable};

/// A key that may call at most this many models is told their names where a name is unknown.
const NAMES_SHOWN_MAX: usize = 10;

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
    pub routes: Arc<RouteTable>,
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
        let directory: Arc<Directory> = self.directory.load_full();
        directory
            .key(caller.key.id)
            .is_some_and(|now| Arc::ptr_eq(now, caller))
    }

    /// Replaces a picker's alias by the model's own name, the only one that allow-lists, budgets and books know.
    pub fn resolve_alias(&self, request: &mut Request) {
        if !self.picker_aliases {
            return;
        }
        let name = self.routes.resolve_alias(&request.model);
        if name != request.model {
            request.resolve_alias(name.to_owned());
        }
    }

    /// Returns the deployment behind a model name, if the caller may use it.
    pub fn authorize(&self, caller: &Caller, asked: &str) -> Result<Arc<Deployment>, ApiError> {
        let deployment = self
            .routes
            .resolve(asked)
            .map_err(|error| self.unresolved(caller, asked, &error))?;
        let provider = &deployment.provider.name;
        access::check_model_allowed(
            (&caller.organization, &caller.team),
            caller.keys(),
            asked,
            provider,
            &deployment.model,
        )?;
        Ok(deployment)
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
            access::check_model_allowed(owners, caller.keys(), model, provider, model)
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
        let names: Vec<&str> = self.callable(caller).map(|(name, _)| name).collect();
        if (1..=NAMES_SHOWN_MAX).contains(&names.len()) {
            let shown: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            refusal.message += &format!("; this key may call {}", shown.join(", "));
        }
        if let Some(name) = similar_names::closest(asked, &names) {
            refusal.message += &format!("; did you mean `{name}`?");
        }
        refusal
    }

    /// Listed names that the caller may call, sorted.
    fn callable(&self, caller: &Caller) -> impl Iterator<Item = (&str, &Arc<Deployment>)> {
        self.routes.names().filter(move |(name, deployment)| {
            access::is_model_allowed(
                (&caller.organization, &caller.team),
                caller.keys(),
                name,
                &deployment.provider.name,
                &deployment.model,
            )
        })
    }

    /// Lists the models that the key may call, sorted: name and provider. Clients of Anthropic's dialect also get the picker
    /// aliases, where the configuration enables them.
    pub fn models(
        &self,
        credential: Option<&str>,
        dialect: Dialect,
    ) -> Result<Vec<(String, String)>, ApiError> {
        let caller = self.authenticate(credential)?;
        let mut models: Vec<(String, String)> = self
            .callable(&caller)
            .map(|(name, deployment)| (name.to_owned(), deployment.provider.name.clone()))
            .collect();
        if self.picker_aliases && dialect == Dialect::Messages {
            let aliases = self.aliases(&models);
            models.extend(aliases);
            models.sort_unstable();
        }
        Ok(models)
    }

    fn aliases(&self, models: &[(String, String)]) -> Vec<(String, String)> {
        models
            .iter()
            .filter_map(|(name, owner)| Some((dialect::picker_alias(name)?, owner.clone())))
            .filter(|(alias, _)| self.routes.resolve_alias(alias) != alias)
            .collect()
    }
}
