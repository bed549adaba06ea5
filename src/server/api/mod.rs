//! The control plane over HTTP: finds the route, obtains the grant, reads the body, writes the answer as JSON. Decides
//! nothing itself and knows no transport, so that the listener and the local socket share it.

pub(crate) mod accept;
pub(crate) mod clock;
pub(crate) mod csv;
pub(crate) mod ledger;
pub(crate) mod requests;
pub(crate) mod usage;
pub(crate) mod views;

use actix_web::web::Query;
use serde::Serialize;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::Control;
use crate::control::keys::{KeyChange, NewKey, admin_key_change, key_to_verify};
use crate::control::organizations::{NewOrganization, OrganizationChange};
use crate::control::teams::{NewTeam, TeamChange};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::{AdminKeyId, KeyId, OrganizationId, TeamId};
use crate::server::api::accept::ReportFormat;
use crate::server::api::views::{
    AdminKeyJson, KeyJson, KeyStatusJson, List, OrganizationJson, TeamJson,
};
use crate::server::api::{clock, ledger, requests, usage};

/// The largest body of a control-plane call: 64 patterns and 16 budgets fit many times.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// An answer as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiReply {
    pub status: u16,
    pub media: ReportFormat,
    pub text: String,
    /// where the next page of a table begins; in JSON it is a member of the text
    pub next: Option<String>,
}

impl ApiReply {
    pub(super) fn ok(body: &impl Serialize) -> Result<ApiReply, ApiError> {
        ApiReply::of(200, body)
    }

    pub(super) fn csv(text: String, next: Option<String>) -> ApiReply {
        ApiReply {
            status: 200,
            media: ReportFormat::Csv,
            text,
            next,
        }
    }

    pub(super) fn created(body: &impl Serialize) -> Result<ApiReply, ApiError> {
        ApiReply::of(201, body)
    }

    fn of(status: u16, body: &impl Serialize) -> Result<ApiReply, ApiError> {
        let json = serde_json::to_string(body);
        json.map(|text| ApiReply {
            status,
            media: ReportFormat::Json,
            text,
            next: None,
        })
        .map_err(|error| {
            ApiError::new(
                ErrorCode::Internal,
                format!("the answer cannot be written: {error}"),
            )
        })
    }
}

/// Every path of the control plane, with the methods it takes.
pub const ROUTES: [(&str, &[&str]); 16] = [
    ("/v1/organizations", &["GET", "POST"]),
    ("/v1/organizations/{id}", &["PATCH"]),
    ("/v1/teams", &["GET", "POST"]),
    ("/v1/teams/{id}", &["GET", "PATCH"]),
    ("/v1/keys", &["GET", "POST"]),
    ("/v1/keys/verify", &["POST"]),
    ("/v1/keys/{id}", &["GET", "PATCH"]),
    ("/v1/usage", &["GET"]),
    ("/v1/requests", &["GET"]),
    ("/v1/requests/{id}", &["GET"]),
    ("/v1/ledger/orphans", &["GET"]),
    ("/v1/ledger/corrections", &["POST"]),
    ("/v1/ledger/verify", &["GET"]),
    ("/v1/reasoning-memory", &["DELETE"]),
    ("/v1/clock", &["GET"]),
    ("/v1/clock/accept", &["POST"]),
];

/// Answers one call of an actor whose key or socket was checked already.
pub async fn handle(
    control: &Control,
    actor: &Actor,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
    wanted: ReportFormat,
) -> Result<ApiReply, ApiError> {
    if body.len() > BODY_BYTES_MAX {
        let message = format!(
            "the body has {} bytes; this call takes at most {BODY_BYTES_MAX}",
            body.len()
        );
        return Err(ApiError::new(ErrorCode::RequestTooLarge, message));
    }
    let (route, id) = route(path)?;
    match (method, route) {
        ("GET", "/v1/organizations") => list_organizations(control, actor).await,
        ("POST", "/v1/organizations") => create_organization(control, actor, body).await,
        ("PATCH", "/v1/organizations/{id}") => change_organization(control, actor, id, body).await,
        ("GET", "/v1/teams") => list_teams(control, actor).await,
        ("POST", "/v1/teams") => create_team(control, actor, body).await,
        ("GET", "/v1/teams/{id}") => show_team(control, actor, id).await,
        ("PATCH", "/v1/teams/{id}") => change_team(control, actor, id, body).await,
        ("GET", "/v1/keys") => list_keys(control, actor, query).await,
        ("POST", "/v1/keys") => create_key(control, actor, body).await,
        ("POST", "/v1/keys/verify") => verify_key(control, actor, body).await,
        ("GET", "/v1/keys/{id}") => show_key(control, actor, id).await,
        ("PATCH", "/v1/keys/{id}") => change_key(control, actor, id, body).await,
        ("GET", "/v1/usage") => usage::usage(control, actor, query, wanted).await,
        ("GET", "/v1/requests") => requests::requests(control, actor, query, wanted).await,
        ("GET", "/v1/requests/{id}") => requests::request(control, actor, id).await,
        ("GET", "/v1/ledger/orphans") => ledger::orphans(control, actor, query).await,
        ("POST", "/v1/ledger/corrections") => ledger::correct(control, actor, body).await,
        ("GET", "/v1/ledger/verify") => ledger::verify(control, actor).await,
        ("DELETE", "/v1/reasoning-memory") => purge_memory(control, actor).await,
        ("GET", "/v1/clock") => clock::show(control, actor).await,
        ("POST", "/v1/clock/accept") => clock::accept(control, actor).await,
        _ => Err(method_not_allowed(method, route)),
    }
}

async fn purge_memory(control: &Control, actor: &Actor) -> Result<ApiReply, ApiError> {
    let entries = control
        .purge_memory(&Grant::for_actor(actor, may::PurgeMemory)?)
        .await?;
    ApiReply::ok(&serde_json::json!({ "object": "purge", "entries": entries }))
}

/// The route that a path is on, and the id in it.
fn route(path: &str) -> Result<(&'static str, &str), ApiError> {
    for (pattern, _) in ROUTES {
        if pattern == path {
            return Ok((pattern, ""));
        }
        let id = pattern
            .strip_suffix("{id}")
            .and_then(|start| path.strip_prefix(start));
        if let Some(id) = id.filter(|id| !id.is_empty() && !id.contains('/')) {
            return Ok((pattern, id));
        }
    }
    Err(ApiError::new(
        ErrorCode::NotFound,
        "there is no such path here; see the list of paths in the documentation",
    ))
}

fn method_not_allowed(method: &str, route: &str) -> ApiError {
    let methods = ROUTES
        .iter()
        .find(|(pattern, _)| *pattern == route)
        .map_or(&[][..], |(_, methods)| methods);
    let method: String = method.chars().take(16).collect();
    ApiError::new(
        ErrorCode::NotFound,
        format!(
            "{route} does not take {method}; it takes {}",
            methods.join(", ")
        ),
    )
}

/// An id of another kind, or none at all, is as unknown as one that was never given.
fn id<T>(parsed: Option<T>, kind: &str) -> Result<T, ApiError> {
    parsed.ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotFound,
            format!("there is no {kind} with this id; list them to see which there are"),
        )
    })
}

/// One that is given twice is refused: whichever was taken, the other would be ignored.
pub(super) fn parameters(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    let parameters = Query::<Vec<(String, String)>>::from_query(query)
        .map(Query::into_inner)
        .map_err(|_| {
            ApiError::invalid("the query string cannot be read; write it like `?limit=10`")
        })?;
    for (at, (name, _)) in parameters.iter().enumerate() {
        if parameters
            .iter()
            .take(at)
            .any(|(earlier, _)| earlier == name)
        {
            let name: String = name.chars().take(64).collect();
            return Err(ApiError::invalid(format!(
                "`{name}` is given more than once; give it once"
            ))
            .with_param(name));
        }
    }
    Ok(parameters)
}

async fn list_organizations(control: &Control, actor: &Actor) -> Result<ApiReply, ApiError> {
    let organizations = control
        .organizations(&Grant::for_actor(actor, may::ReadTenants)?)
        .await?;
    ApiReply::ok(&List::of(organizations.iter().map(OrganizationJson::of)))
}

async fn create_organization(
    control: &Control,
    actor: &Actor,
    body: &[u8],
) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ChangeOrganizations)?;
    let created = control
        .create_organization(&grant, NewOrganization::from_json(body)?)
        .await?;
    ApiReply::created(&OrganizationJson::of(&created))
}

async fn change_organization(
    control: &Control,
    actor: &Actor,
    text: &str,
    body: &[u8],
) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ChangeOrganizations)?;
    let id = id(OrganizationId::parse(text), "organization")?;
    let changed = control
        .change_organization(&grant, id, OrganizationChange::from_json(body)?)
        .await?;
    ApiReply::ok(&OrganizationJson::of(&changed))
}

async fn list_teams(control: &Control, actor: &Actor) -> Result<ApiReply, ApiError> {
    let teams = control
        .teams(&Grant::for_actor(actor, may::ReadTenants)?)
        .await?;
    ApiReply::ok(&List::of(teams.iter().map(TeamJson::of)))
}

async fn show_team(control: &Control, actor: &Actor, text: &str) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ReadTenants)?;
    let team = control
        .team(&grant, id(TeamId::parse(text), "team")?)
        .await?;
    ApiReply::ok(&TeamJson::of(&team))
}

async fn create_team(control: &Control, actor: &Actor, body: &[u8]) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ChangeTeams)?;
    let created = control
        .create_team(&grant, NewTeam::from_json(body)?)
        .await?;
    ApiReply::created(&TeamJson::of(&created))
}

async fn change_team(
    control: &Control,
    actor: &Actor,
    text: &str,
    body: &[u8],
) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ChangeTeams)?;
    let id = id(TeamId::parse(text), "team")?;
    let changed = control
        .change_team(&grant, id, TeamChange::from_json(body)?)
        .await?;
    ApiReply::ok(&TeamJson::of(&changed))
}

/// `?admin=true` lists the administrative keys instead.
async fn list_keys(control: &Control, actor: &Actor, query: &str) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ReadTenants)?;
    let parameters = parameters(query)?;
    match parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] | [("admin", "false")] => ApiReply::ok(&List::of(
            control.keys(&grant).await?.iter().map(KeyJson::of),
        )),
        [("admin", "true")] => ApiReply::ok(&List::of(
            control
                .admin_keys(&grant)
                .await?
                .iter()
                .map(AdminKeyJson::of),
        )),
        _ => Err(
            ApiError::invalid("the list of keys takes `admin=true` or nothing").with_param("admin"),
        ),
    }
}

async fn show_key(control: &Control, actor: &Actor, text: &str) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ReadTenants)?;
    if let Some(id) = AdminKeyId::parse(text) {
        let admins = control.admin_keys(&grant).await?;
        return ApiReply::ok(&AdminKeyJson::of(self::id(
            admins.iter().find(|admin| admin.id == id),
            "key",
        )?));
    }
    let key = control.key(&grant, id(KeyId::parse(text), "key")?).await?;
    ApiReply::ok(&KeyJson::of(&key))
}

async fn create_key(control: &Control, actor: &Actor, body: &[u8]) -> Result<ApiReply, ApiError> {
    match NewKey::from_json(body, control.now_ms())? {
        NewKey::Virtual(new) => {
            let (key, secret) = control
                .create_key(&Grant::for_actor(actor, may::ChangeKeys)?, new)
                .await?;
            ApiReply::created(&KeyJson::of(&key).showing(&secret))
        }
        NewKey::Administrative(name) => {
            let (admin, secret) = control
                .create_admin_key(&Grant::for_actor(actor, may::ChangeAdminKeys)?, name)
                .await?;
            ApiReply::created(&AdminKeyJson::of(&admin).showing(&secret))
        }
    }
}

async fn change_key(
    control: &Control,
    actor: &Actor,
    text: &str,
    body: &[u8],
) -> Result<ApiReply, ApiError> {
    if let Some(id) = AdminKeyId::parse(text) {
        let grant = Grant::for_actor(actor, may::ChangeAdminKeys)?;
        let admin = control
            .disable_admin_key(&grant, id, admin_key_change(body)?)
            .await?;
        return ApiReply::ok(&AdminKeyJson::of(&admin));
    }
    let grant = Grant::for_actor(actor, may::ChangeKeys)?;
    let id = id(KeyId::parse(text), "key")?;
    let changed = control
        .change_key(&grant, id, KeyChange::from_json(body, control.now_ms())?)
        .await?;
    ApiReply::ok(&KeyJson::of(&changed))
}

async fn verify_key(control: &Control, actor: &Actor, body: &[u8]) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ReadTenants)?;
    let verdict = control
        .verify(&grant, key_to_verify(body)?.expose())
        .await?;
    ApiReply::ok(&KeyStatusJson::of(&verdict))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::control::test_control::TestControl;
    use crate::policy::access;

    /// Asks as the owner; status and body, a refusal's status with its word and parameter.
    async fn ask(house: &TestControl, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match handle(
            &house.control,
            &Actor::Local { uid: 0 },
            method,
            path,
            query,
            body.as_bytes(),
            ReportFormat::Json,
        )
        .await
        {
            Ok(reply) => (
                reply.status,
                serde_json::from_str(&reply.text).expect("JSON"),
            ),
            Err(problem) => (
                problem.code.status(),
                serde_json::json!([problem.code.as_str(), problem.param, problem.message]),
            ),
        }
    }

    async fn made(house: &TestControl, path: &str, body: &str) -> Value {
        let (status, made) = ask(house, "POST", path, body).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    fn text(value: &Value) -> &str {
        value.as_str().expect("a text")
    }

    #[tokio::test]
    async fn a_team_and_its_key_work_as_soon_as_they_are_answered() {
        let house = TestControl::open().await;
        let team =
            made(&house, "/v1/teams", r#"{"name":"eng","models":["gpt-5*"],"budgets":[{"limit":"12.50","period":"monthly"}]}"#)
                .await;
        assert_eq!(team["budgets"][0]["remaining"], "12.5");
        assert_eq!(team["budgets"][0]["resets_at"], "2026-12-01T00:00:00Z");
        let key = made(
            &house,
            "/v1/keys",
            r#"{"name":"CI","team":"eng","budget_limit":10,"expires":"7d"}"#,
        )
        .await;
        assert_eq!(
            (&key["team"], &key["expires_at"]),
            (&team["id"], &"2026-11-30T10:00:00Z".into())
        );
        assert!(
            text(&key["key"]).starts_with("sk-gk-ci-")
                && text(&key["key"]).ends_with(text(&key["hint"]))
        );

        let caller = house.caller(text(&key["key"])).expect("a live key");
        let budgets: Vec<String> = caller.budgets.iter().map(ToString::to_string).collect();
        assert_eq!(
            budgets,
            [
                text(&key["budgets"][0]["id"]),
                text(&team["budgets"][0]["id"])
            ]
        );
        assert!(house.ledger.budget_status(caller.budgets[0]).is_some());
        assert!(access::is_model_allowed(
            &caller.team,
            caller.keys(),
            "gpt-5.1",
            "openai",
            "gpt-5.1"
        ));

        let (_, shown) = ask(&house, "GET", &format!("/v1/keys/{}", text(&key["id"])), "").await;
        assert_eq!(
            (shown["name"].clone(), shown.get("key")),
            ("CI".into(), None)
        );
        let (_, list) = ask(&house, "GET", "/v1/keys", "").await;
        assert_eq!(
            (&list["data"][0]["id"], &list["next"]),
            (&key["id"], &Value::Null)
        );
    }

    #[tokio::test]
    async fn a_disabled_key_is_dead_on_the_next_request() {
        let house = TestControl::open().await;
        made(&house, "/v1/teams", r#"{"name":"eng"}"#).await;
        let key = made(&house, "/v1/keys", r#"{"name":"ci","team":"eng"}"#).await;
        let path = format!("/v1/keys/{}", text(&key["id"]));
        let (status, changed) = ask(&house, "PATCH", &path, r#"{"disabled":true}"#).await;
        assert_eq!((status, &changed["disabled"]), (200, &true.into()));
        assert_eq!(
            house.caller(text(&key["key"])).expect_err("dead").code,
            ErrorCode::Authentication
        );
        ask(
            &house,
            "PATCH",
            &path,
            r#"{"disabled":false,"expires":"30m"}"#,
        )
        .await;
        assert!(house.caller(text(&key["key"])).is_ok());
        house.clock.advance_ms(30 * 60_000);
        assert_eq!(
            house.caller(text(&key["key"])).expect_err("dead").code,
            ErrorCode::KeyExpired
        );
        let (_, changed) = ask(&house, "PATCH", &path, r#"{"expires":null}"#).await;
        assert_eq!(changed["expires_at"], Value::Null);
        assert!(house.caller(text(&key["key"])).is_ok());
    }

    #[tokio::test]
    async fn a_changed_budget_keeps_its_identity_and_a_dropped_one_is_forgotten() {
        let house = TestControl::open().await;
        let team = made(
            &house,
            "/v1/teams",
            r#"{"name":"eng","budgets":[{"limit":10,"period":"monthly"},{"limit":1,"period":"daily"}]}"#,
        )
        .await;
        let path = format!("/v1/teams/{}", text(&team["id"]));
        let body = r#"{"budgets":[{"limit":"20","period":"monthly","action":"warn"},{"limit":5,"period":"weekly"}]}"#;
        let (_, changed) = ask(&house, "PATCH", &path, body).await;
        let (before, now) = (&team["budgets"], &changed["budgets"]);
        assert_eq!(
            (&now[0]["id"], &now[0]["limit"], &now[0]["action"]),
            (&before[0]["id"], &"20".into(), &"warn".into())
        );
        assert_ne!(now[1]["id"], before[1]["id"]);
        let gone = crate::domain::id::BudgetId::parse(text(&before[1]["id"])).expect("an id");
        assert!(house.ledger.budget_status(gone).is_none());
        assert_eq!(
            ask(&house, "GET", &path, "").await.1["budgets"],
            changed["budgets"]
        );
    }

    #[tokio::test]
    async fn a_rate_limit_is_known_to_the_ledger_and_changed_by_halves() {
        let house = TestControl::open().await;
        let body = r#"{"name":"eng","limits":[{"rpm":60,"tpm":1000},{"max_parallel":2,"model":"gpt-5*"}]}"#;
        let team = made(&house, "/v1/teams", body).await;
        assert_eq!(
            (&team["rpm"], &team["limits"][0]["remaining_tokens"]),
            (&60.into(), &1_000.into())
        );
        let key = made(&house, "/v1/keys", r#"{"name":"ci","team":"eng","rpm":6}"#).await;
        let caller = house.caller(text(&key["key"])).expect("a live key");
        let ids: Vec<String> = caller.limits.iter().map(ToString::to_string).collect();
        assert_eq!(
            ids,
            [
                &key["limits"][0]["id"],
                &team["limits"][0]["id"],
                &team["limits"][1]["id"]
            ]
            .map(text)
        );

        let path = format!("/v1/teams/{}", text(&team["id"]));
        let (_, changed) = ask(&house, "PATCH", &path, r#"{"rpm":30,"max_parallel":4}"#).await;
        assert_eq!(
            (
                &changed["rpm"],
                &changed["tpm"],
                &changed["max_parallel"],
                &changed["limits"][0]["id"]
            ),
            (
                &30.into(),
                &1_000.into(),
                &4.into(),
                &team["limits"][0]["id"]
            )
        );
        let (_, emptied) = ask(&house, "PATCH", &path, r#"{"limits":[]}"#).await;
        assert_eq!(
            (&emptied["limits"], &emptied["rpm"]),
            (&serde_json::json!([]), &Value::Null)
        );
        assert!(house.ledger.limit_status(caller.limits[1]).is_none());
        let events = house.audit();
        let detail = &events[events.len() - 2]["detail"]["limits"];
        assert_eq!(
            (&detail["from"][0]["rpm"], &detail["to"][0]["rpm"]),
            (&60.into(), &30.into())
        );
        let organizations = ask(&house, "GET", "/v1/organizations", "").await.1;
        let path = format!(
            "/v1/organizations/{}",
            text(&organizations["data"][0]["id"])
        );
        assert_eq!(
            ask(&house, "PATCH", &path, r#"{"tpm":9}"#).await.1["limits"][0]["tpm"],
            9
        );
        assert_eq!(ask(&house, "PATCH", &path, "{}").await.0, 400);
    }

    #[tokio::test]
    async fn every_change_leaves_one_audit_event_and_a_refused_one_none() {
        let house = TestControl::open().await;
        made(
            &house,
            "/v1/organizations",
            r#"{"name":"acme","budget_limit":"100","budget_period":"monthly"}"#,
        )
        .await;
        made(
            &house,
            "/v1/teams",
            r#"{"name":"eng","organization":"acme"}"#,
        )
        .await;
        let key = made(&house, "/v1/keys", r#"{"name":"ci","team":"eng"}"#).await;
        ask(
            &house,
            "PATCH",
            &format!("/v1/keys/{}", text(&key["id"])),
            r#"{"disabled":true}"#,
        )
        .await;
        assert_eq!(
            ask(
                &house,
                "POST",
                "/v1/teams",
                r#"{"name":"eng","organization":"acme"}"#
            )
            .await
            .0,
            409
        );
        assert_eq!(
            ask(
                &house,
                "POST",
                "/v1/keys",
                r#"{"name":"x","team":"team_99"}"#
            )
            .await
            .0,
            404
        );
        let events = house.audit();
        let actions: Vec<&str> = events.iter().map(|event| text(&event["action"])).collect();
        assert_eq!(
            actions,
            [
                "instance.set_up",
                "organization.create",
                "team.create",
                "key.create",
                "key.change"
            ]
        );
        assert_eq!(
            (&events[3]["actor"], &events[3]["subject"]),
            (&"local:uid=0".into(), &key["id"])
        );
        assert_eq!(
            events[4]["detail"]["disabled"],
            serde_json::json!({ "from": false, "to": true })
        );
        let secret = text(&key["key"]);
        assert!(
            !events
                .iter()
                .any(|event| event.to_string().contains(&secret[secret.len() - 34..]))
        );
    }

    #[tokio::test]
    async fn bad_requests_name_what_is_wrong() {
        let house = TestControl::open().await;
        made(&house, "/v1/teams", r#"{"name":"eng"}"#).await;
        for (path, body, status, param) in [
            ("/v1/teams", r#"{"models":[]}"#, 400, Some("name")),
            ("/v1/teams", r#"{"name":"a\nb"}"#, 400, Some("name")),
            ("/v1/teams", r#"{"name":"eng"}"#, 409, Some("name")),
            (
                "/v1/teams",
                r#"{"name":"x","organization":"nobody"}"#,
                404,
                Some("organization"),
            ),
            (
                "/v1/teams",
                r#"{"name":"x","budgets":[{"limit":"ten"}]}"#,
                400,
                Some("budgets[0].limit"),
            ),
            ("/v1/keys", r#"{"name":"x"}"#, 400, Some("team")),
            (
                "/v1/keys",
                r#"{"name":"x","team":"nobody"}"#,
                404,
                Some("team"),
            ),
            (
                "/v1/keys",
                r#"{"name":"x","team":"eng","rpm":0}"#,
                400,
                Some("rpm"),
            ),
            (
                "/v1/keys",
                r#"{"name":"x","team":"eng","metadata":{}}"#,
                400,
                Some("metadata"),
            ),
            (
                "/v1/keys",
                r#"{"name":"x","team":"eng","expires":"yesterday"}"#,
                400,
                Some("expires"),
            ),
            (
                "/v1/keys",
                r#"{"name":"x","team":"eng","models":["a b"]}"#,
                400,
                Some("models"),
            ),
            (
                "/v1/keys",
                r#"{"name":"x","admin":true,"team":"eng"}"#,
                400,
                Some("team"),
            ),
            ("/v1/keys/verify", r#"{}"#, 400, Some("key")),
            ("/v1/keys", "[]", 400, None),
        ] {
            let (answered, problem) = ask(&house, "POST", path, body).await;
            assert_eq!(
                (answered, problem[1].as_str()),
                (status, param),
                "{body}: {problem}"
            );
        }
        for (method, path) in [
            ("GET", "/v1/teams/team_99"),
            ("GET", "/v1/teams/x"),
            ("PATCH", "/v1/keys/team_2"),
            ("DELETE", "/v1/keys/key_1"),
            ("GET", "/v1/users"),
        ] {
            assert_eq!(
                ask(&house, method, path, r#"{"disabled":true}"#).await.0,
                404,
                "{method} {path}"
            );
        }
        assert_eq!(ask(&house, "PATCH", "/v1/teams/team_3", "{}").await.0, 400);
        assert_eq!(
            ask(&house, "POST", "/v1/teams", &" ".repeat(BODY_BYTES_MAX + 1))
                .await
                .0,
            413
        );
    }

    #[tokio::test]
    async fn verify_says_what_a_call_would_meet() {
        let mut house = TestControl::open().await;
        let names = |visit: &mut dyn FnMut(&str, &str, &str)| {
            visit("gpt-5.1", "openai", "gpt-5.1");
            visit("claude-haiku-4-5", "anthropic", "claude-haiku-4-5");
        };
        house.control = house
            .control
            .clone()
            .with_catalogue(std::sync::Arc::new(names));
        made(
            &house,
            "/v1/teams",
            r#"{"name":"eng","models":["anthropic/*"]}"#,
        )
        .await;
        let key = made(
            &house,
            "/v1/keys",
            r#"{"name":"ci","team":"eng","budget_limit":3}"#,
        )
        .await;
        let verify = async |text: &str| {
            ask(
                &house,
                "POST",
                "/v1/keys/verify",
                &serde_json::json!({ "key": text }).to_string(),
            )
            .await
            .1
        };
        let verdict = verify(text(&key["key"])).await;
        assert_eq!(
            (&verdict["valid"], &verdict["kind"], &verdict["team_name"]),
            (&true.into(), &"virtual".into(), &"eng".into())
        );
        assert_eq!(
            (&verdict["models"], &verdict["key"]["budgets"][0]["limit"]),
            (&serde_json::json!(["claude-haiku-4-5"]), &"3".into())
        );
        assert_eq!(verify(house.admin.expose()).await["kind"], "administrative");
        let verdict = verify("sk-gk-nonsense").await;
        assert_eq!(
            (&verdict["valid"], &verdict["code"]),
            (&false.into(), &"authentication_error".into())
        );
    }

    #[tokio::test]
    async fn administrative_keys_are_made_listed_and_disabled() {
        let house = TestControl::open().await;
        let admin = made(&house, "/v1/keys", r#"{"name":"ops","admin":true}"#).await;
        let actor =
            || crate::auth::authenticate_admin(&house.control.directory(), admin["key"].as_str());
        assert!(actor().is_ok());
        assert_eq!(
            house
                .caller(text(&admin["key"]))
                .expect_err("no caller")
                .code,
            ErrorCode::PermissionDenied
        );
        let (_, list) = ask(&house, "GET", "/v1/keys?admin=true", "").await;
        assert_eq!(list["data"].as_array().expect("a list").len(), 2);
        let (status, _) = ask(
            &house,
            "PATCH",
            &format!("/v1/keys/{}", text(&admin["id"])),
            r#"{"disabled":true}"#,
        )
        .await;
        assert_eq!(
            (status, actor().expect_err("disabled").code),
            (200, ErrorCode::Authentication)
        );
    }

    #[tokio::test]
    async fn of_many_changes_at_once_the_ledger_ends_with_the_stored_one() {
        let house = TestControl::open().await;
        let team = made(&house, "/v1/teams", r#"{"name":"eng","budget_limit":1}"#).await;
        let path = format!("/v1/teams/{}", text(&team["id"]));
        let bodies: Vec<String> = (2..40)
            .map(|limit| format!(r#"{{"budget_limit":{limit}}}"#))
            .collect();
        futures_util::future::join_all(bodies.iter().map(|body| ask(&house, "PATCH", &path, body)))
            .await;
        let stored = house.store.tenants().expect("tenants").budgets;
        let standing = house
            .ledger
            .budget_status(stored[0].id)
            .expect("known to the ledger");
        assert_eq!((stored.len(), stored[0].limit), (1, standing.limit));
    }

    #[tokio::test]
    async fn a_change_is_carried_to_its_end_though_its_caller_hangs_up() {
        let house = TestControl::open().await;
        made(&house, "/v1/teams", r#"{"name":"eng"}"#).await;
        let key = made(&house, "/v1/keys", r#"{"name":"ci","team":"eng"}"#).await;
        let path = format!("/v1/keys/{}", text(&key["id"]));
        let hung_up = futures_util::FutureExt::now_or_never(ask(
            &house,
            "PATCH",
            &path,
            r#"{"disabled":true}"#,
        ));
        assert!(hung_up.is_none());
        // whatever is asked next stands behind it in the writer's queue and in the directory's
        made(&house, "/v1/teams", r#"{"name":"next"}"#).await;
        assert!(house.caller(text(&key["key"])).is_err());
    }

    #[tokio::test]
    async fn an_instance_is_set_up_once() {
        let house = TestControl::open().await;
        let again = house
            .control
            .bootstrap(&crate::control::test_control::grant(may::SetUp))
            .await;
        assert_eq!(again.expect_err("refused").code, ErrorCode::Conflict);
    }

    #[test]
    fn a_path_finds_its_route_and_its_id() {
        for (path, expected) in [
            ("/v1/teams", Some(("/v1/teams", ""))),
            ("/v1/teams/team_3", Some(("/v1/teams/{id}", "team_3"))),
            ("/v1/keys/verify", Some(("/v1/keys/verify", ""))),
            ("/v1/keys/key_1", Some(("/v1/keys/{id}", "key_1"))),
            ("/v1/teams/", None),
            ("/v1/teams/a/b", None),
            ("/v1/users", None),
        ] {
            assert_eq!(route(path).ok(), expected, "{path}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let problem = method_not_allowed("DELETE", "/v1/teams/{id}");
        assert!(problem.message.contains("GET, PATCH"), "{problem}");
    }
}
