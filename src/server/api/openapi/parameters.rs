//! Parameters of paths, queries and headers.

use serde_json::{Value, json};

use super::schema::{flag, text, words};

/// Parameter of a query.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub description: &'static str,
    pub schema: fn() -> Value,
}

const fn parameter(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        description,
        schema: text,
    }
}

impl Parameter {
    pub fn render(&self) -> Value {
        json!({ "name": self.name, "in": "query", "description": self.description, "schema": (self.schema)() })
    }
}

const fn of(name: &'static str, description: &'static str, schema: fn() -> Value) -> Parameter {
    Parameter {
        name,
        description,
        schema,
    }
}

fn page_limit() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 1_000, "default": 100 })
}

fn log_limit() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 500 })
}

fn wait() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 30 })
}

pub(super) const PAGE: [Parameter; 2] = [
    parameter("after", "`next` of the page before"),
    of("limit", "objects of the page at most", page_limit),
];
pub(super) const ORGANIZATION: Parameter = parameter("organization", "an id or a name");
pub(super) const TEAM: Parameter = parameter("team", "an id or a name");
pub(super) const USER: Parameter = parameter("user", "an id or an e-mail address");
pub(super) const EMAIL: Parameter = parameter("email", "an e-mail address");
pub(super) const KEY: Parameter = parameter("key", "the id of a key");
pub(super) const KEY_OR_NAME: Parameter = parameter("key", "the id or the name of a key");
pub(super) const PURGED_KEY: Parameter = parameter("key", "captured calls of the key with this id");
pub(super) const PURGED_TEAM: Parameter =
    parameter("team", "captured calls of the team with this id");
pub(super) const PURGED_ALL: Parameter = of("all", "all captured calls", flag);
pub(super) const PARENT: Parameter = parameter("parent", "the id of a key");
pub(super) const NAME: Parameter = parameter("name", "a name");
pub(super) const TAG: Parameter = parameter("tag", "a tag");
pub(super) const DISABLED: Parameter = of("disabled", "keys in this state only", flag);
pub(super) const ADMIN: Parameter = of("admin", "administrative keys instead", flag);
pub(super) const CASCADE: Parameter = of("cascade", "deletes what depends on the object too", flag);
pub(super) const NOW: Parameter = of("now", "ends running requests of the key too", flag);
pub(super) const BUDGET_ACTION: Parameter = of("action", "budgets with this action only", || {
    words(&["block", "warn"])
});
pub(super) const PROVIDER: Parameter = parameter("provider", "the name of a provider");
pub(super) const MODEL: Parameter = parameter("model", "a name, or a part or pattern of it");
pub(super) const ENTRY: Parameter = parameter("entry", "the id of a cache entry");
pub(super) const OTHER_ENTRY: Parameter = parameter("other", "the id of a cache entry");
pub(super) const ASKED_MODEL: Parameter = parameter("model", "a name that clients ask for");
pub(super) const ALL: Parameter = of("all", "everything", flag);
pub(super) const RESOLVED_NAME: Parameter =
    parameter("model", "the name of a route, an alias or a model");
pub(super) const START: Parameter = parameter("start", "a date, or an instant in RFC 3339");
pub(super) const END: Parameter =
    parameter("end", "a date, or an instant in RFC 3339; not included");
pub(super) const MONTH: Parameter = parameter("month", "a month like 2026-10, or `last`");
pub(super) const GROUP_BY: Parameter = parameter(
    "group_by",
    "up to four of provider, model, team, organization, key and status, and one of hour, day and month, with commas; or tag or \
     user, with team, key, day and month",
);
pub(super) const FORMAT: Parameter =
    of("format", "format of the report", || words(&["json", "csv"]));
pub(super) const STATUS: Parameter = parameter("status", "a status or a class of them");
pub(super) const FLAG: Parameter = parameter("flag", "a flag of a record, such as orphaned");
pub(super) const END_USER: Parameter = parameter("user", "an end user, as the client named it");
pub(super) const BEFORE: Parameter = parameter("before", "`next` of the page before, to go back");
pub(super) const FOLLOW: Parameter = parameter("after", "`follow` of an earlier answer, to go on");
pub(super) const WAIT: Parameter = of("wait", "seconds to wait for news after `after`", wait);
pub(super) const LOG_LIMIT: Parameter = of("limit", "rows at most", log_limit);
pub(super) const ACTOR: Parameter = parameter("actor", "pattern of an actor, such as `admin:*`");
pub(super) const ACTION: Parameter = parameter("action", "pattern of an action, such as `key.*`");
pub(super) const SUBJECT: Parameter = parameter("subject", "pattern of a subject");
pub(super) const TEXT: Parameter = parameter("text", "a part of the event");
pub(super) const AFTER_EVENT: Parameter = parameter("after", "`next` of the page before");
pub(super) const TO: Parameter = parameter("to", "`to` of the first page");
pub(super) const SINCE: Parameter = parameter("since", "a date, or an instant in RFC 3339");
pub(super) const AFTER_REQUEST: Parameter = parameter("after", "the id of a request");

/// Header of a call that creates an object.
pub(super) fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A repetition within 24 hours returns the object of the first call.",
        "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
    })
}

/// Header of a change or a deletion.
pub(super) fn if_match() -> Value {
    json!({
        "name": "If-Match",
        "in": "header",
        "description": "`ETag` of the object as it was read; 412 if it has changed since.",
        "schema": { "type": "string", "pattern": "^[!-~]{1,64}$" },
    })
}

pub(super) fn path_parameter(name: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
}
