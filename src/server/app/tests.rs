//! Tests of the router: path and method select the handler; authentication comes before everything else.

use actix_web::body::to_bytes;
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::ServiceConfig;
use actix_web::{App, web};

use super::{model_call, routes};
use crate::control::test_control::TestControl;
use crate::dialect::{Dialect, Operation};
use crate::domain::header_list::HeaderList;
use crate::gateway::{Body, Reply};
use crate::server::extract;
use crate::server::respond;
use crate::server::surface::Surface;
use crate::server::test_worker::worker;

/// Method, path, status, part of the body.
const CASES: [(Method, &str, u16, &str); 16] = [
    (Method::GET, "/v1/teams", 200, "\"data\":[]"),
    (
        Method::GET,
        "/v1/teams/team_99",
        404,
        "unknown team `team_99`",
    ),
    (
        Method::GET,
        "/v1/keys/verify",
        405,
        "/v1/keys/verify does not take GET; it takes POST",
    ),
    (Method::GET, "/v1/keys/key_99", 404, "unknown key `key_99`"),
    (
        Method::PUT,
        "/v1/teams/team_3",
        405,
        "/v1/teams/{id} does not take PUT; it takes GET, PATCH, DELETE",
    ),
    (
        Method::DELETE,
        "/v1/teams/team_3",
        404,
        "unknown team `team_3`",
    ),
    (
        Method::PATCH,
        "/v1/teams/team_3",
        400,
        "the body must be a JSON object",
    ),
    (Method::HEAD, "/v1/clock", 405, ""),
    (Method::DELETE, "/v1/reasoning-memory", 200, "\"entries\":0"),
    (
        Method::GET,
        "/v1/teams/",
        501,
        "is not served by this gateway",
    ),
    (
        Method::GET,
        "/v1/teams/a/b",
        501,
        "is not served by this gateway",
    ),
    (
        Method::GET,
        "/v1/user",
        501,
        "is not served by this gateway",
    ),
    (Method::GET, "/teams", 404, "unknown path /teams"),
    (Method::GET, "/healthz", 200, "ok"),
    (Method::GET, "/", 200, "OpenAI base URL"),
    (Method::HEAD, "/", 200, ""),
];

fn everything(app: &mut ServiceConfig) {
    routes(app, Surface::Everything);
}

#[actix_web::test]
async fn path_and_method_select_the_handler() {
    let instance = TestControl::open().await;
    let app = App::new().app_data(worker(&instance)).configure(everything);
    let app = init_service(app).await;
    for (method, path, status, expected) in CASES {
        let request = TestRequest::with_uri(path)
            .method(method.clone())
            .insert_header(("x-api-key", instance.admin.expose()))
            .to_request();
        let response = call_service(&app, request).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        let body = read_body(response).await;
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(expected), "{method} {path}: {body}");
    }
}

/// Method, path, status, content of `Allow`.
const WRONG_METHODS: [(Method, &str, &str); 9] = [
    (Method::POST, "/", "GET, HEAD"),
    (Method::GET, "/v1/chat/completions", "POST"),
    (Method::DELETE, "/messages", "POST"),
    (Method::PUT, "/v1/v1/responses", "POST"),
    (Method::GET, "/v1/embeddings", "POST"),
    (Method::POST, "/v1/models", "GET"),
    (Method::DELETE, "/models/up/m-small", "GET"),
    (Method::PUT, "/v1/teams", "GET, POST"),
    (Method::PUT, "/v1/keys/key_3", "GET, PATCH, DELETE"),
];

#[actix_web::test]
async fn wrong_method_is_405_with_the_allowed_methods() {
    let instance = TestControl::open().await;
    let app = App::new().app_data(worker(&instance)).configure(everything);
    let app = init_service(app).await;
    for (method, path, allowed) in WRONG_METHODS {
        let request = TestRequest::with_uri(path)
            .method(method.clone())
            .insert_header(("x-api-key", instance.admin.expose()))
            .to_request();
        let response = call_service(&app, request).await;
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        assert_eq!(
            (response.status().as_u16(), header("allow")),
            (405, Some(allowed)),
            "{method} {path}"
        );
        assert_eq!(header("x-should-retry"), Some("false"), "{method} {path}");
    }
}

#[actix_web::test]
async fn control_plane_authenticates_before_method_and_body() {
    let instance = TestControl::open().await;
    let app = App::new().app_data(worker(&instance)).configure(everything);
    let app = init_service(app).await;
    let too_long = web::Bytes::from(vec![b' '; 256 * 1024 + 1]);
    for (method, path) in [
        (Method::GET, "/v1/teams"),
        (Method::DELETE, "/v1/teams"),
        (Method::POST, "/v1/teams"),
    ] {
        let request = |key: &str| {
            TestRequest::with_uri(path)
                .method(method.clone())
                .insert_header(("x-api-key", key.to_owned()))
                .set_payload(too_long.clone())
                .to_request()
        };
        let response = call_service(&app, request("sk-gk-unknown")).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method}");
        let response = call_service(&app, request(instance.admin.expose())).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{method}");
    }
}

#[actix_web::test]
async fn reply_that_http_cannot_carry_is_an_error_of_the_table() {
    let instance = TestControl::open().await;
    let worker = worker(&instance);
    let invalid_head = |status, name: &str, value: &str| {
        let mut headers = HeaderList::default();
        headers.push(name.to_owned(), value);
        Reply {
            status,
            headers,
            body: Body::Whole(web::Bytes::from_static(b"paid")),
        }
    };
    for (dialect, kind) in [
        (Dialect::Chat, "\"code\":\"internal_error\""),
        (Dialect::Messages, "\"type\":\"api_error\""),
    ] {
        for reply in [
            invalid_head(200, "x-gatekeeper-model", "a\nb"),
            invalid_head(200, "x model", "a"),
            invalid_head(42, "x-gatekeeper-model", "a"),
        ] {
            let response = respond::reply(&worker, dialect, reply);
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let body = to_bytes(response.into_body()).await.expect("a body");
            let body = String::from_utf8_lossy(&body);
            assert!(body.contains(kind), "{body}");
        }
    }
}

#[actix_web::test]
async fn client_address_behind_trusted_proxy_is_the_last_one_that_is_no_proxy() {
    let instance = TestControl::open().await;
    for (peer, forwarded, expected) in [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        (
            "10.0.0.1",
            "203.0.113.9, 198.51.100.7, 10.0.0.2",
            "198.51.100.7",
        ),
        ("10.0.0.1", "nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
    ] {
        let peer = format!("{peer}:1000").parse().expect("an address");
        let request = TestRequest::default()
            .app_data(worker(&instance))
            .peer_addr(peer)
            .insert_header(("x-forwarded-for", forwarded))
            .to_http_request();
        let address = extract::client_address(&request).expect("a peer");
        assert_eq!(address.to_string(), expected, "{forwarded}");
    }
}

#[actix_web::test]
async fn control_plane_with_its_own_listener_is_absent_from_the_main_one() {
    let instance = TestControl::open().await;
    for (surface, present, absent) in [
        (Surface::Models, "/v1/models", "/v1/teams"),
        (Surface::Administration, "/v1/teams", "/v1/models"),
    ] {
        let app = App::new()
            .app_data(worker(&instance))
            .configure(move |app| routes(app, surface));
        let app = init_service(app).await;
        for (path, served) in [(present, true), (absent, false), ("/healthz", true)] {
            let request = TestRequest::with_uri(path)
                .insert_header(("x-api-key", instance.admin.expose()))
                .to_request();
            let status = call_service(&app, request).await.status().as_u16();
            // an administrative key may list no models: 403, but the URL is there
            assert_eq!(status != 501, served, "{surface:?} {path}: {status}");
        }
    }
}

#[test]
fn model_call_has_the_usual_spelling_of_its_url() {
    let call = |method: Method, path: &str| model_call(Surface::Everything, &method, path);
    for prefix in ["", "/v1", "/v1/v1"] {
        let path = format!("{prefix}/messages/count_tokens");
        let counted = Some((Dialect::Messages, Operation::TokenCount));
        assert_eq!(call(Method::POST, &path), counted, "{path}");
        assert_eq!(call(Method::GET, &path), None, "{path}");
        assert_eq!(
            model_call(Surface::Administration, &Method::POST, &path),
            None,
            "{path}"
        );
    }
    for path in ["/v1/messages/", "/v1/%6Dessages", "/v2/messages", "/v1", ""] {
        assert_eq!(call(Method::POST, path), None, "{path}");
    }
}
