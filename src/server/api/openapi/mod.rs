//! OpenAPI 3.1 document of the server, made from the table of endpoints, the types that handlers render, and the bodies that they
//! read. Every endpoint but the dashboard's files and the aliases of SDKs is in it; a test compares the two tables.

mod bodies;
mod captures;
mod declaration_bodies;
mod operations;
mod parameters;
mod replies;
mod routing_replies;
mod schema;
mod settings_reply;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::domain::api_error::ErrorCode;
use crate::server::endpoint_row::{EndpointAccess, EndpointRow};
use operations::{Operation, Reply};
use schema::{constant, nullable, object, text, words};

const DESCRIPTION: &str = "Control plane and model endpoints of this gateway. A virtual key (`sk-gk-…`) calls models and may ask about \
                           itself; an administrative key administers. Objects outside the scope of a role are unknown (404).";
const DEFINITIONS: &str = "/components/schemas";

/// Operations of every resource.
fn all_operations() -> Vec<Operation> {
    let mut operations = operations::all();
    operations.extend(captures::operations());
    operations
}

/// Document of these endpoints.
pub(in crate::server) fn document(endpoints: &[EndpointRow]) -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = DEFINITIONS.into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in all_operations() {
        let row = endpoints.iter().find(|row| is_of(row, &operation));
        let Some(row) = row else { continue };
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.to_lowercase()] = render(&operation, row, &mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gatekeeper",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn is_of(row: &EndpointRow, operation: &Operation) -> bool {
    row.method == operation.method && row.path.replace("{id:.+}", "{id}") == operation.path
}

fn render(operation: &Operation, row: &EndpointRow, generator: &mut SchemaGenerator) -> Value {
    let mut rendered = json!({
        "operationId": operation.id(),
        "summary": operation.summary,
        "description": format!("Access: {}.", row.access.as_str()),
        "tags": [operation.tag()],
        "responses": responses(operation, row.access, generator),
    });
    let parameters = operation.parameters();
    if !parameters.is_empty() {
        rendered["parameters"] = parameters.into();
    }
    if let Some(body) = operation.body {
        let body = body();
        let mut content = json!({ "schema": body.schema });
        if !body.example.is_null() {
            content["example"] = body.example;
        }
        let content = json!({ "application/json": content });
        rendered["requestBody"] = json!({ "required": body.is_required, "content": content });
    }
    if matches!(row.access, EndpointAccess::Public | EndpointAccess::SignIn) {
        rendered["security"] = json!([]);
    }
    rendered
}

fn responses(
    operation: &Operation,
    access: EndpointAccess,
    generator: &mut SchemaGenerator,
) -> Value {
    let mut responses = Map::new();
    for status in error_statuses(access) {
        let content = json!({ "application/json": { "schema": schema::reference("Error") } });
        let codes = codes_of(*status).map(|code| format!("`{}`", code.as_str()));
        let codes = codes.collect::<Vec<_>>().join(", ");
        let response = json!({ "description": codes, "content": content });
        responses.insert(status.to_string(), response);
    }
    for (status, reply) in &operation.replies {
        let response = match reply {
            Reply::Empty => json!({ "description": "Done." }),
            Reply::Content(kind, schema) => {
                let mut content = Map::new();
                for kind in kind.split(" or ") {
                    let schema = match kind {
                        "application/json" => schema(generator),
                        _ => text(),
                    };
                    content.insert(kind.to_owned(), json!({ "schema": schema }));
                }
                json!({ "description": "Answer.", "content": content })
            }
        };
        responses.insert(status.to_string(), response);
    }
    responses.into()
}

/// Statuses of errors besides those that every server may give.
fn error_statuses(access: EndpointAccess) -> &'static [u16] {
    match access {
        EndpointAccess::Public => &[405, 503],
        EndpointAccess::SignIn => &[400, 401, 403, 404, 405, 409, 413, 429, 503],
        EndpointAccess::VirtualKey => &[
            400, 401, 402, 403, 404, 405, 409, 413, 429, 500, 501, 502, 503, 504,
        ],
        EndpointAccess::AnyKey | EndpointAccess::AnyRole | EndpointAccess::Action(_) => {
            &[400, 401, 403, 404, 405, 409, 412, 413, 429, 500, 503]
        }
    }
}

fn codes_of(status: u16) -> impl Iterator<Item = ErrorCode> {
    let codes = ErrorCode::ALL.into_iter();
    codes.filter(move |code| code.status() == status)
}

/// Errors have OpenAI's shape, at Anthropic's endpoints Anthropic's.
fn error_schema() -> Value {
    let codes: Vec<&str> = ErrorCode::ALL.map(ErrorCode::as_str).to_vec();
    let openai = object(&[
        ("message", text()),
        ("type", text()),
        ("param", nullable(text())),
        ("code", nullable(text())),
    ]);
    let anthropic = object(&[("type", text()), ("message", text())]);
    let mut shapes = [
        object(&[("error", openai)]),
        object(&[
            ("type", constant("error")),
            ("error", anthropic),
            ("request_id", nullable(text())),
        ]),
    ];
    // the gateway's own words; a model endpoint also passes on those of a vendor
    shapes[0]["properties"]["error"]["properties"]["code"]["examples"] = json!(codes);
    json!({
        "description": "An error: what is wrong, with which member or parameter (`param`), and the remedy.",
        "anyOf": shapes,
        "x-codes": words(&codes)["enum"],
        "examples": [{ "error": { "message": "unknown team id; list them to see which exist", "type": "not_found", "param": Value::Null, "code": "not_found" } }],
    })
}

#[cfg(test)]
mod tests;
