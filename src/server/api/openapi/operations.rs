//! Operations of the document: for each method and path a summary, parameters, body and answers.

use schemars::SchemaGenerator;
use serde_json::Value;

use super::bodies::{self, Body};
use super::declaration_bodies;
use super::parameters::{self as query, PAGE, Parameter};
use super::replies::{self, list, log, of};
use super::routing_replies;
use super::settings_reply;
use crate::server::api::budgets::OwnedBudgetJson;
use crate::server::api::request_json::RequestJson;
use crate::server::api::usage::UsageJson;
use crate::server::api::user_views::UserJson;
use crate::server::api::views::{KeyJson, KeyStatusJson, OrganizationJson, TeamJson};

const JSON: &str = "application/json";

/// Schema of an answer.
pub(super) type ReplySchema = fn(&mut SchemaGenerator) -> Value;

pub(super) enum Reply {
    Empty,
    /// content types, with ` or ` between them, and the schema of JSON
    Content(&'static str, ReplySchema),
}

pub(super) struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    query: Vec<Parameter>,
    headers: Vec<Value>,
    pub body: Option<fn() -> Body>,
    pub replies: Vec<(u16, Reply)>,
}

pub(super) fn operation(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        method,
        path,
        summary,
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        replies: Vec::new(),
    }
}

pub(super) fn get(path: &'static str, summary: &'static str) -> Operation {
    operation("GET", path, summary)
}

fn post(path: &'static str, summary: &'static str) -> Operation {
    operation("POST", path, summary)
}

fn patch(path: &'static str, summary: &'static str) -> Operation {
    operation("PATCH", path, summary).header(query::if_match())
}

fn delete(path: &'static str, summary: &'static str) -> Operation {
    let mut operation = operation("DELETE", path, summary).header(query::if_match());
    operation.replies.push((204, Reply::Empty));
    operation
}

impl Operation {
    /// `get /v1/teams/{id}` is `get_teams_id`.
    pub fn id(&self) -> String {
        let words = self.path.split(['/', '{', '}', '.', '-']);
        let words = words.filter(|word| !word.is_empty() && *word != "v1");
        let words: Vec<&str> = words.collect();
        format!("{}_{}", self.method.to_lowercase(), words.join("_"))
    }

    /// First word of the path.
    pub fn tag(&self) -> &'static str {
        let path = self.path.trim_start_matches("/v1/").trim_start_matches('/');
        path.split('/').next().unwrap_or(path)
    }

    pub fn parameters(&self) -> Vec<Value> {
        let names = self.path.split('/').filter_map(|part| {
            let name = part.strip_prefix('{')?.strip_suffix('}')?;
            Some(query::path_parameter(name))
        });
        let query = self.query.iter().map(Parameter::render);
        names
            .chain(query)
            .chain(self.headers.iter().cloned())
            .collect()
    }

    pub fn query(mut self, parameters: &[Parameter]) -> Operation {
        self.query.extend(parameters);
        self
    }

    fn header(mut self, header: Value) -> Operation {
        self.headers.push(header);
        self
    }

    pub fn body(mut self, body: fn() -> Body) -> Operation {
        self.body = Some(body);
        self
    }

    /// Creates an object, once for each idempotency key.
    fn creates(self, body: fn() -> Body, schema: ReplySchema) -> Operation {
        let operation = self.header(query::idempotency_key()).body(body);
        operation.answers(201, schema)
    }

    pub fn answers(self, status: u16, schema: ReplySchema) -> Operation {
        self.answers_in(status, JSON, schema)
    }

    fn answers_in(mut self, status: u16, kind: &'static str, schema: ReplySchema) -> Operation {
        self.replies.push((status, Reply::Content(kind, schema)));
        self
    }

    fn answers_text(self) -> Operation {
        self.answers_in(200, "text/plain", replies::text)
    }

    fn done(mut self) -> Operation {
        self.replies.push((204, Reply::Empty));
        self
    }
}

pub(super) fn all() -> Vec<Operation> {
    let groups = [
        tenants(),
        users(),
        keys(),
        sign_in(),
        reports(),
        ledger(),
        audit(),
        instance(),
        declarations(),
        models(),
    ];
    groups.into_iter().flatten().collect()
}

fn tenants() -> Vec<Operation> {
    let organization: ReplySchema = of::<OrganizationJson>;
    let team: ReplySchema = of::<TeamJson>;
    vec![
        get("/v1/organizations", "List organizations")
            .query(&PAGE)
            .answers(200, list::<OrganizationJson>),
        post("/v1/organizations", "Create an organization")
            .creates(bodies::new_organization, organization),
        get("/v1/organizations/{id}", "Get an organization").answers(200, organization),
        patch("/v1/organizations/{id}", "Change an organization")
            .body(bodies::changed_organization)
            .answers(200, organization),
        delete("/v1/organizations/{id}", "Delete an organization").query(&[query::CASCADE]),
        get("/v1/teams", "List teams")
            .query(&PAGE)
            .query(&[query::ORGANIZATION])
            .answers(200, list::<TeamJson>),
        post("/v1/teams", "Create a team").creates(bodies::new_team, team),
        get("/v1/teams/{id}", "Get a team").answers(200, team),
        patch("/v1/teams/{id}", "Change a team")
            .body(bodies::changed_team)
            .answers(200, team),
        delete("/v1/teams/{id}", "Delete a team").query(&[query::CASCADE]),
        get(
            "/v1/state",
            "Organizations, teams, keys and limits as one document",
        )
        .answers(200, replies::state),
        post("/v1/state", "Apply a document, or show the plan")
            .body(bodies::state)
            .answers(200, replies::plan),
    ]
}

fn users() -> Vec<Operation> {
    let user: ReplySchema = of::<UserJson>;
    vec![
        get("/v1/users", "List users")
            .query(&PAGE)
            .query(&[query::EMAIL, query::TEAM])
            .answers(200, list::<UserJson>),
        post("/v1/users", "Create a user").creates(bodies::new_user, user),
        get("/v1/users/{id}", "Get a user").answers(200, user),
        patch("/v1/users/{id}", "Change a user")
            .body(bodies::changed_user)
            .answers(200, user),
        delete("/v1/users/{id}", "Delete a user").query(&[query::CASCADE]),
        post(
            "/v1/users/{id}/invitation",
            "Create a link to set a password",
        )
        .answers(201, replies::link),
        get("/v1/teams/{id}/members", "List users with a role in a team")
            .query(&PAGE)
            .answers(200, list::<UserJson>),
        post("/v1/teams/{id}/members", "Give a user a role in a team")
            .body(bodies::member)
            .answers(200, user),
        delete(
            "/v1/teams/{id}/members/{member}",
            "Take a user's role in a team",
        ),
    ]
}

fn keys() -> Vec<Operation> {
    vec![
        get("/v1/keys", "List keys")
            .query(&PAGE)
            .query(&[query::TEAM, query::USER, query::PARENT, query::NAME])
            .query(&[query::TAG, query::DISABLED, query::ADMIN])
            .answers(200, replies::keys),
        post("/v1/keys", "Create a key; its secret is shown once")
            .creates(bodies::new_key, replies::key),
        get("/v1/keys/{id}", "Get a key").answers(200, replies::key),
        patch("/v1/keys/{id}", "Change a key")
            .body(bodies::changed_key)
            .answers(200, replies::key),
        delete("/v1/keys/{id}", "Delete a key").query(&[query::CASCADE, query::NOW]),
        post("/v1/keys/{id}/rotate", "Give a key a new secret")
            .body(bodies::rotation)
            .answers(200, of::<KeyJson>),
        get(
            "/v1/keys/{id}/resolve",
            "What a model name leads to for a key",
        )
        .query(&[query::RESOLVED_NAME])
        .answers(200, replies::resolution),
        post("/v1/keys/verify", "Status of the key with a secret")
            .body(bodies::secret_of_key)
            .answers(200, of::<KeyStatusJson>),
        post("/v1/keys/import", "Take over a key of another gateway")
            .body(bodies::imported_key)
            .answers(201, of::<KeyJson>),
        get("/v1/me", "Status of the key of the call").answers(200, replies::me),
        get("/v1/me/requests", "Requests of the key of the call")
            .query(&request_filters())
            .answers(200, log::<RequestJson>),
    ]
}

fn sign_in() -> Vec<Operation> {
    vec![
        get("/v1/sign-in", "Ways to sign in").answers(200, replies::ways),
        post("/v1/sign-in", "Start a session")
            .body(bodies::sign_in)
            .answers(200, replies::session),
        post("/v1/sign-in/link", "Set a password with a one-time link")
            .body(bodies::link)
            .answers(200, replies::session),
        get("/v1/session", "Actor of the call with its roles").answers(200, replies::actor),
        operation("DELETE", "/v1/session", "Sign out").done(),
        post("/v1/session/password", "Change the own password")
            .body(bodies::password)
            .done(),
        get("/v1/sessions", "Own sessions; all of them for an owner")
            .answers(200, replies::sessions),
        operation("DELETE", "/v1/sessions/{id}", "End a session").done(),
        post(
            "/v1/setup",
            "Create a link for an owner, on the gateway's machine",
        )
        .body(bodies::setup)
        .answers(201, replies::link),
    ]
}

/// Filters that do not name a tenant.
fn request_filters() -> Vec<Parameter> {
    vec![
        query::MODEL,
        query::PROVIDER,
        query::STATUS,
        query::FLAG,
        query::TAG,
        query::END_USER,
        query::START,
        query::END,
        query::BEFORE,
        query::FOLLOW,
        query::WAIT,
        query::LOG_LIMIT,
    ]
}

fn reports() -> Vec<Operation> {
    const REPORT: &str = "application/json or text/csv";
    let filters = [query::MONTH, query::START, query::END, query::GROUP_BY];
    vec![
        get("/v1/usage", "Usage and cost by time and group")
            .query(&filters)
            .query(&[query::FORMAT])
            .answers_in(200, REPORT, of::<UsageJson>),
        get("/v1/requests", "Request log")
            .query(&[query::KEY_OR_NAME, query::TEAM, query::FORMAT])
            .query(&request_filters())
            .answers_in(200, REPORT, log::<RequestJson>),
        get("/v1/requests/{id}", "Attempts and budgets of a request")
            .answers(200, replies::request),
        get("/v1/budgets", "Budgets with what is spent, held and left")
            .query(&PAGE)
            .query(&[query::TEAM, query::KEY, query::BUDGET_ACTION])
            .answers(200, list::<OwnedBudgetJson>),
    ]
}

fn ledger() -> Vec<Operation> {
    vec![
        get("/v1/ledger/orphans", "Requests that a crash interrupted")
            .query(&[query::TEAM, query::AFTER_REQUEST])
            .answers(200, replies::orphans),
        post(
            "/v1/ledger/corrections",
            "Correct one request, or all orphans",
        )
        .body(bodies::correction)
        .answers(200, replies::corrections)
        .answers(201, replies::corrections),
        get("/v1/ledger/verify", "Compare the books with themselves")
            .answers(200, replies::ledger_verification),
        operation("DELETE", "/v1/reasoning-memory", "Delete stored reasoning")
            .answers(200, replies::purge),
        get("/v1/cache", "Size of the cache of answers").answers(200, replies::cache),
        get(
            "/v1/cache/difference",
            "Words in which the questions of two entries differ",
        )
        .query(&[query::ENTRY, query::OTHER_ENTRY])
        .answers(200, replies::cache_difference),
        operation("DELETE", "/v1/cache", "Delete answers from the cache")
            .query(&[query::ENTRY, query::ASKED_MODEL, query::TEAM, query::KEY])
            .query(&[query::ORGANIZATION, query::ALL])
            .answers(200, replies::purge),
    ]
}

fn audit() -> Vec<Operation> {
    let filters = [query::ACTOR, query::ACTION, query::SUBJECT, query::TEXT];
    vec![
        get("/v1/audit", "Audit log")
            .query(&filters)
            .query(&[query::START, query::END, query::BEFORE, query::FOLLOW])
            .query(&[query::WAIT, query::LOG_LIMIT])
            .answers(200, replies::audit),
        get("/v1/audit/checkpoint", "Signed checkpoint").answers_text(),
        get("/v1/audit/public-keys", "Keys that sign checkpoints").answers_text(),
        get("/v1/audit/proofs/{id}", "Inclusion proof of an event").answers_text(),
        get("/v1/audit/export", "Page of an export")
            .query(&[query::AFTER_EVENT, query::TO, query::SINCE])
            .answers(200, replies::audit_export),
        get("/v1/audit/verify", "Newest verification").answers(200, replies::audit_verification),
        post("/v1/audit/verify", "Verify the audit log")
            .body(bodies::verification)
            .answers(202, replies::audit_verification),
    ]
}

fn instance() -> Vec<Operation> {
    vec![
        get("/v1/providers", "List providers").answers(200, replies::providers),
        post(
            "/v1/providers",
            "Create a provider; its credential is stored sealed",
        )
        .creates(declaration_bodies::new_provider, replies::provider),
        get("/v1/providers/{id}", "Get a provider").answers(200, replies::provider),
        patch("/v1/providers/{id}", "Change a provider")
            .body(declaration_bodies::changed_provider)
            .answers(200, replies::provider),
        delete("/v1/providers/{id}", "Delete a provider"),
        post("/v1/providers/{id}/test", "Call a provider without a model")
            .answers(200, replies::provider_test),
        get("/v1/prices", "Models that resolve here, with their rates")
            .query(&PAGE)
            .query(&[query::PROVIDER, query::MODEL])
            .answers(200, replies::prices),
        get(
            "/v1/routes/{id}/health",
            "Health of the deployments of a route",
        )
        .answers(200, routing_replies::route_health),
        post(
            "/v1/routes/{id}/drill",
            "Requests through a route whose targets fail by a script",
        )
        .body(bodies::drill)
        .answers(200, replies::drill),
        get("/v1/prices/sheet", "Price sheet in force").answers(200, replies::price_sheet),
        get("/v1/prices/sheet/text", "Price sheet in force, as a file").answers_text(),
        post(
            "/v1/prices/sheet",
            "Apply a price sheet, or show the difference",
        )
        .body(bodies::price_sheet)
        .answers(200, replies::price_sheet_change),
        operation(
            "DELETE",
            "/v1/prices/sheet",
            "Go back to the embedded price sheet",
        )
        .answers(200, replies::price_sheet),
        post(
            "/v1/alerts/test",
            "Send a test message to the webhook of alerts",
        )
        .answers(200, replies::alert_test),
        post("/v1/backup", "Hot backup of the books").answers_in(
            200,
            "application/octet-stream",
            replies::text,
        ),
        post("/v1/restore/accept", "Accept restored books").answers(200, replies::restore),
        get(
            "/v1/instance",
            "Release, identity, certificate and last backup",
        )
        .answers(200, replies::instance),
        get("/v1/clock", "Adopted time and wall clock").answers(200, replies::clock),
        post("/v1/clock/accept", "Adopt the wall clock").answers(200, replies::clock_adoption),
        get("/metrics", "Metrics for Prometheus").answers_text(),
        get("/healthz", "Liveness").answers(200, replies::health),
        get("/readyz", "Readiness")
            .answers(200, replies::health)
            .answers(503, replies::health),
        get("/openapi.json", "This document").answers(200, replies::any),
    ]
}

fn declarations() -> Vec<Operation> {
    vec![
        get(
            "/v1/settings",
            "Settings of the configuration file and of the books",
        )
        .answers(200, settings_reply::settings),
        operation(
            "PATCH",
            "/v1/settings",
            "Change settings that the file does not set",
        )
        .body(declaration_bodies::settings)
        .answers(200, settings_reply::settings),
        get("/v1/routes", "List routes").answers(200, routing_replies::routes),
        post("/v1/routes", "Create a route")
            .creates(declaration_bodies::new_route, routing_replies::route),
        get("/v1/routes/{id}", "Get a route").answers(200, routing_replies::route),
        patch("/v1/routes/{id}", "Change a route")
            .body(declaration_bodies::changed_route)
            .answers(200, routing_replies::route),
        delete("/v1/routes/{id}", "Delete a route"),
        get("/v1/aliases", "List aliases").answers(200, routing_replies::aliases),
        post("/v1/aliases", "Create an alias")
            .creates(declaration_bodies::new_alias, routing_replies::alias),
        get("/v1/aliases/{id}", "Get an alias").answers(200, routing_replies::alias),
        patch("/v1/aliases/{id}", "Change an alias")
            .body(declaration_bodies::changed_alias)
            .answers(200, routing_replies::alias),
        delete("/v1/aliases/{id}", "Delete an alias"),
    ]
}

fn models() -> Vec<Operation> {
    let call = |path, summary| {
        let call = post(path, summary).body(bodies::model_call);
        call.answers_in(200, "application/json or text/event-stream", replies::any)
    };
    vec![
        call("/v1/chat/completions", "OpenAI chat completion"),
        call("/v1/responses", "OpenAI response"),
        call("/v1/messages", "Anthropic message"),
        call("/v1/messages/count_tokens", "Anthropic token count"),
        call("/v1/embeddings", "OpenAI embeddings"),
        get("/v1/models", "Models that the key may call").answers(200, replies::any),
        get("/v1/models/{id}", "A model that the key may call").answers(200, replies::any),
    ]
}
