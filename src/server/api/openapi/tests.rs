//! Document and handlers agree: every endpoint is documented, and every body has the members that its handler takes.

use super::*;
use crate::control::test_control::TestControl;
use crate::server::api::openapi::bodies::{self, Body};
use crate::server::api::test_calls::{answer, created, with_body, with_id_and_body};
use crate::server::api::{keys, organizations, teams, users};
use crate::server::app::endpoints;

/// Paths that only serve people or SDKs with another base URL.
fn is_alias(path: &str) -> bool {
    path == "/"
        || path.starts_with("/ui")
        || path.starts_with("/health/")
        || path.starts_with("/v1/v1/")
        || !(path.starts_with("/v1/")
            || ["/healthz", "/readyz", "/metrics", "/openapi.json"].contains(&path))
}

#[test]
fn every_endpoint_is_an_operation_and_every_operation_an_endpoint() {
    let (rows, operations) = (endpoints(), all_operations());
    for row in rows.iter().filter(|row| !is_alias(&row.path)) {
        let documented = operations.iter().filter(|operation| is_of(row, operation));
        assert_eq!(documented.count(), 1, "{} {}", row.method, row.path);
    }
    for operation in &operations {
        let known = rows.iter().any(|row| is_of(row, operation));
        assert!(known, "{} {}", operation.method, operation.path);
        assert!(!operation.replies.is_empty(), "{}", operation.path);
    }
}

#[test]
fn document_defines_what_it_refers_to_and_names_every_error() {
    let document = document(&endpoints());
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap_or_default();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    let codes = &document["components"]["schemas"]["Error"]["x-codes"];
    assert_eq!(codes.as_array().map(Vec::len), Some(ErrorCode::ALL.len()));
    let mut ids: Vec<&str> = text.split("\"operationId\":\"").skip(1).collect();
    ids.iter_mut()
        .for_each(|id| *id = id.split('"').next().unwrap_or_default());
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
}

/// Members of a body, sorted.
fn documented(body: &Body) -> Vec<String> {
    let schema = match body.schema.get("anyOf") {
        Some(shapes) => &shapes[0],
        None => &body.schema,
    };
    let members = schema["properties"].as_object().expect("members");
    let mut names: Vec<String> = members.keys().cloned().collect();
    names.sort();
    names
}

/// Members that a handler says it takes, sorted.
fn taken(error: &Value) -> Vec<String> {
    let message = error[2].as_str().expect("a message");
    let (_, names) = message.split_once("this call takes ").expect(message);
    let mut names: Vec<String> = names.split(", ").map(str::to_owned).collect();
    names.sort();
    names
}

/// The example with a member that no body has.
fn with_unknown_member(body: &Body) -> String {
    let mut example = body.example.clone();
    example["zzz"] = json!(1);
    example.to_string()
}

#[tokio::test]
async fn documented_members_of_a_body_are_those_that_its_handler_takes() {
    let instance = TestControl::open().await;
    macro_rules! creates {
        ($body:expr, $handler:path) => {{
            let body = $body;
            let call = with_body(&instance, &with_unknown_member(&body));
            let (status, error) = answer($handler(call)).await;
            assert_eq!(status, 400, "{error}");
            assert_eq!(taken(&error), documented(&body), stringify!($handler));
            created($handler(with_body(&instance, &body.example.to_string()))).await
        }};
    }
    macro_rules! changes {
        ($body:expr, $handler:path, $object:expr) => {{
            let body = $body;
            let (id, text) = (&$object["id"], with_unknown_member(&body));
            let (_, error) = answer($handler(with_id_and_body(&instance, id, &text))).await;
            assert_eq!(taken(&error), documented(&body), stringify!($handler));
            let text = body.example.to_string();
            let (status, answer) = answer($handler(with_id_and_body(&instance, id, &text))).await;
            assert_eq!(status, 200, "{answer}");
        }};
    }
    let team = creates!(bodies::new_team(), teams::create);
    changes!(bodies::changed_team(), teams::change, team);
    let key = creates!(bodies::new_key(), keys::create);
    changes!(bodies::changed_key(), keys::change, key);
    changes!(bodies::rotation(), keys::rotate, key);
    let user = creates!(bodies::new_user(), users::create);
    changes!(bodies::changed_user(), users::change, user);
    let organization = creates!(bodies::new_organization(), organizations::create);
    changes!(
        bodies::changed_organization(),
        organizations::change,
        organization
    );
}
