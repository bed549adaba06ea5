//! Bodies of requests, member by member as the handlers take them.

use serde_json::{Value, json};

use super::schema::{any_object, array, closed, described, flag, nullable, text, words};

pub(super) struct Body {
    pub schema: Value,
    /// null where the endpoint takes any object
    pub example: Value,
    pub is_required: bool,
}

pub(super) fn body(schema: Value, example: Value) -> Body {
    Body {
        schema,
        example,
        is_required: true,
    }
}

pub(super) type Members = Vec<(&'static str, Value)>;

fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 64 })
}

fn models() -> Value {
    let list = array(json!({ "type": "string", "minLength": 1, "maxLength": 128 }));
    described(
        nullable(list),
        "names or patterns like `claude-*`; null allows all, an empty list none",
    )
}

fn endpoints() -> Value {
    let all = crate::domain::tenant::Endpoint::ALL.map(|endpoint| endpoint.as_str());
    described(nullable(array(words(&all))), "null allows all")
}

fn dollars() -> Value {
    let text = json!({ "type": "string", "pattern": "^[0-9]{1,9}(\\.[0-9]{1,12})?$" });
    json!({ "anyOf": [text, { "type": "number", "minimum": 0 }] })
}

fn max_cost() -> Value {
    described(
        nullable(dollars()),
        "most that one request may cost; null for no bound",
    )
}

fn period() -> Value {
    words(&["daily", "weekly", "monthly", "total"])
}

fn action() -> Value {
    words(&["block", "warn"])
}

fn rate() -> Value {
    nullable(json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }))
}

/// Budgets and rate limits, in full or flat.
fn limit_members() -> Members {
    let budget = closed(
        &["limit"],
        &[
            ("limit", dollars()),
            ("period", nullable(period())),
            ("action", nullable(action())),
            ("model", nullable(text())),
        ],
    );
    let limit = closed(
        &[],
        &[
            ("rpm", rate()),
            ("tpm", rate()),
            ("max_parallel", rate()),
            ("model", nullable(text())),
        ],
    );
    vec![
        ("budgets", nullable(array(budget))),
        ("budget_limit", nullable(dollars())),
        ("budget_period", nullable(period())),
        ("budget_action", nullable(action())),
        ("limits", nullable(array(limit))),
        ("rpm", rate()),
        ("tpm", rate()),
        ("max_parallel", rate()),
    ]
}

fn label_members() -> Members {
    vec![
        ("tags", nullable(array(name()))),
        ("metadata", nullable(any_object())),
    ]
}

pub(super) fn with(own: Members, shared: impl IntoIterator<Item = Members>) -> Members {
    own.into_iter()
        .chain(shared.into_iter().flatten())
        .collect()
}

fn organization_members() -> Members {
    with(
        vec![("name", name()), ("models", models())],
        [limit_members()],
    )
}

pub(super) fn new_organization() -> Body {
    body(
        closed(&["name"], &organization_members()),
        json!({ "name": "acme", "budget_limit": "500", "budget_period": "monthly" }),
    )
}

pub(super) fn changed_organization() -> Body {
    body(
        closed(&[], &organization_members()),
        json!({ "models": ["gpt-*"] }),
    )
}

fn team_members() -> Members {
    let keys_max = nullable(json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }));
    let own = vec![
        ("name", name()),
        ("models", models()),
        ("allowed_endpoints", endpoints()),
        ("member_key_budget", nullable(dollars())),
        ("member_keys_max", keys_max),
        ("max_cost_usd", max_cost()),
    ];
    with(own, [label_members(), limit_members()])
}

pub(super) fn new_team() -> Body {
    let organization = described(
        nullable(text()),
        "an id or a name; may be left out where only one organization exists",
    );
    body(
        closed(
            &["name"],
            &with(vec![("organization", organization)], [team_members()]),
        ),
        json!({ "name": "support", "models": ["claude-*"], "budgets": [{ "limit": "100", "period": "monthly" }] }),
    )
}

pub(super) fn changed_team() -> Body {
    body(
        closed(&[], &team_members()),
        json!({ "tags": ["emea"], "rpm": 600 }),
    )
}

fn membership() -> Value {
    closed(
        &["role"],
        &[
            ("role", text()),
            ("organization", nullable(text())),
            ("team", nullable(text())),
        ],
    )
}

pub(super) fn new_user() -> Body {
    let members = [
        ("email", json!({ "type": "string", "maxLength": 254 })),
        ("name", nullable(name())),
        ("memberships", nullable(array(membership()))),
    ];
    body(
        closed(&["email"], &members),
        json!({ "email": "ada@example.org", "memberships": [] }),
    )
}

pub(super) fn changed_user() -> Body {
    let members = [
        ("name", name()),
        ("disabled", nullable(flag())),
        ("memberships", nullable(array(membership()))),
    ];
    body(closed(&[], &members), json!({ "disabled": false }))
}

pub(super) fn member() -> Body {
    let members = [("user", text()), ("role", text())];
    body(
        closed(&["user", "role"], &members),
        json!({ "user": "ada@example.org", "role": "member" }),
    )
}

fn key_members() -> Members {
    let expires = "a time from now like 7d, 12h or 30m, or an instant; null for never";
    let own = vec![
        ("name", name()),
        ("models", models()),
        ("allowed_endpoints", endpoints()),
        ("expires", described(nullable(text()), expires)),
        ("max_cost_usd", max_cost()),
    ];
    with(own, [label_members(), limit_members()])
}

fn virtual_key() -> Value {
    let own = vec![
        ("admin", nullable(json!({ "const": false }))),
        ("team", nullable(text())),
        (
            "parent",
            described(nullable(text()), "id of the parent key"),
        ),
        (
            "user",
            described(nullable(text()), "owner of a personal key"),
        ),
    ];
    closed(&["name"], &with(own, [key_members()]))
}

fn administrative_key() -> Value {
    closed(
        &["admin", "name"],
        &[
            ("admin", json!({ "const": true })),
            ("name", name()),
            ("user", nullable(text())),
            ("role", nullable(text())),
            ("organization", nullable(text())),
            ("team", nullable(text())),
            ("expires", nullable(text())),
        ],
    )
}

pub(super) fn new_key() -> Body {
    body(
        json!({ "anyOf": [virtual_key(), administrative_key()] }),
        json!({ "name": "ci", "team": "support", "models": ["gpt-5*"], "expires": "30d", "budget_limit": "10" }),
    )
}

pub(super) fn changed_key() -> Body {
    let own = vec![
        ("disabled", flag()),
        (
            "now",
            described(nullable(flag()), "ends running requests of a disabled key"),
        ),
    ];
    body(
        closed(&[], &with(own, [key_members()])),
        json!({ "disabled": false }),
    )
}

pub(super) fn imported_key() -> Body {
    let digits = json!({ "type": "string", "pattern": "^[0-9a-fA-F]{64}$" });
    let hint = json!({ "type": "string", "maxLength": 4, "pattern": "^[!-~]*$" });
    let spent = "spent in the present window of each budget over all models";
    let own = vec![
        ("sha256", described(digits, "SHA-256 of the secret")),
        (
            "hint",
            described(nullable(hint), "last characters of the secret"),
        ),
        ("team", text()),
        ("disabled", nullable(flag())),
        ("spent_usd", described(nullable(dollars()), spent)),
    ];
    body(
        closed(&["sha256", "team", "name"], &with(own, [key_members()])),
        json!({ "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "hint": "Ab3x",
            "team": "support", "name": "chatbot", "budget_limit": "50", "budget_period": "monthly", "spent_usd": "12.5" }),
    )
}

pub(super) fn drill() -> Body {
    let live = "targets that do not fail are really called; needs max_cost_usd";
    let members = [
        ("live", described(nullable(flag()), live)),
        (
            "max_cost_usd",
            described(nullable(dollars()), "bound of all calls together"),
        ),
    ];
    Body {
        is_required: false,
        ..body(closed(&[], &members), json!({ "live": false }))
    }
}

pub(super) fn rotation() -> Body {
    let grace = "time for which the present secret keeps working, at most 90d";
    Body {
        is_required: false,
        ..body(
            closed(&[], &[("grace", described(nullable(text()), grace))]),
            json!({ "grace": "24h" }),
        )
    }
}

pub(super) fn secret_of_key() -> Body {
    body(
        closed(&["key"], &[("key", text())]),
        json!({ "key": "sk-gk-ci-…" }),
    )
}

pub(super) fn price_sheet() -> Body {
    let sheet = described(
        text(),
        "text of the file, as `GET /v1/prices/sheet/text` gives it",
    );
    let members = [("sheet", sheet), ("dry_run", nullable(flag()))];
    let example = r#"{"as_of":"our contract, 2027-01","models":[]}"#;
    body(
        closed(&["sheet"], &members),
        json!({ "sheet": example, "dry_run": true }),
    )
}

/// Each object of the document has the members of its creation and the list of the objects below it.
pub(super) fn state() -> Body {
    let key = [
        (
            "parent",
            described(nullable(text()), "name of the parent key"),
        ),
        (
            "user",
            described(nullable(text()), "e-mail address of the owner"),
        ),
        ("expires_at", nullable(text())),
        ("disabled", nullable(flag())),
        ("capture_keep_days", capture_days()),
    ];
    let mut keys = with(key.into(), [key_members()]);
    keys.retain(|(name, _)| *name != "expires");
    let teams = vec![
        ("keys", nullable(array(closed(&["name"], &keys)))),
        ("capture_keep_days", capture_days()),
        ("capture_readers", capture_readers()),
    ];
    let teams = closed(&["name"], &with(teams, [team_members()]));
    let organizations = vec![("teams", nullable(array(teams)))];
    let organizations = closed(&["name"], &with(organizations, [organization_members()]));
    let members = [
        ("dry_run", nullable(flag())),
        ("organizations", nullable(array(organizations))),
    ];
    body(
        closed(&[], &members),
        json!({ "dry_run": true, "organizations": [{ "name": "default", "teams": [{ "name": "support", "rpm": 600 }] }] }),
    )
}

pub(super) fn capture_days() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 365 })
}

pub(super) fn capture_readers() -> Value {
    described(
        array(text()),
        "roles like `team:admin` that may read, of a team; set by owners",
    )
}

pub(super) fn correction() -> Body {
    let single = closed(
        &["request", "amount", "reason"],
        &[
            ("orphans", json!({ "type": "null" })),
            ("request", text()),
            ("amount", dollars()),
            ("reason", text()),
            (
                "attempt",
                nullable(json!({ "type": "integer", "minimum": 0, "maximum": 255 })),
            ),
        ],
    );
    let orphans = closed(
        &["orphans"],
        &[
            ("orphans", json!({ "const": "estimated" })),
            ("team", nullable(text())),
        ],
    );
    body(
        json!({ "anyOf": [single, orphans] }),
        json!({ "orphans": "estimated" }),
    )
}

pub(super) fn verification() -> Body {
    let kept = described(
        nullable(array(text())),
        "checkpoints that were kept elsewhere",
    );
    Body {
        is_required: false,
        ..body(
            closed(&[], &[("checkpoints", kept)]),
            json!({ "checkpoints": [] }),
        )
    }
}

pub(super) fn sign_in() -> Body {
    let members = [("email", text()), ("password", text())];
    body(
        closed(&["email", "password"], &members),
        json!({ "email": "ada@example.org", "password": "…" }),
    )
}

pub(super) fn link() -> Body {
    let members = [
        ("token", text()),
        ("password", text()),
        ("email", nullable(text())),
        ("name", nullable(text())),
    ];
    body(
        closed(&["token", "password"], &members),
        json!({ "token": "…", "password": "…" }),
    )
}

pub(super) fn password() -> Body {
    let members = [("password", text()), ("new_password", text())];
    body(
        closed(&["password", "new_password"], &members),
        json!({ "password": "…", "new_password": "…" }),
    )
}

pub(super) fn setup() -> Body {
    let email = described(nullable(text()), "account that gets another password");
    body(closed(&[], &[("email", email)]), json!({}))
}

/// A request to a model; its members are the vendors'.
pub(super) fn model_call() -> Body {
    let members =
        json!({ "type": "object", "required": ["model"], "properties": { "model": text() } });
    body(members, Value::Null)
}
