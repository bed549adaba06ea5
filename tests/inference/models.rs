//! The model list in the shapes of both dialects.

use serde_json::{Value, json};

use super::fixture::{Chat, Fixture, Messages, assert_refusal};
use crate::harness::client::HttpClient;
use crate::harness::process::Provider;

fn ids(list: &Value) -> Vec<String> {
    let models = list["data"].as_array().expect("a list has `data`").iter();
    models
        .map(|model| model["id"].as_str().expect("a model has an id").to_owned())
        .collect()
}

fn anthropic(caller: &HttpClient) -> HttpClient {
    caller
        .clone()
        .with("anthropic-version", "2023-06-01")
        .with_x_api_key()
}

#[test]
fn b08_model_list_follows_client_dialect() {
    let fixture = Fixture::new();
    let list = fixture.user().get("/v1/models");
    let list = list.assert_status(200).json();
    assert_eq!(
        (&list["object"], ids(&list)),
        (
            &json!("list"),
            vec!["c-small".to_owned(), "m-large".into(), "m-small".into()]
        )
    );
    let first = &list["data"][0];
    assert_eq!(
        (&first["object"], &first["owned_by"]),
        (&json!("model"), &json!("ant"))
    );
    assert!(first["created"].is_u64() && list.get("has_more").is_none());

    let page = anthropic(&fixture.user())
        .get("/v1/models")
        .assert_status(200)
        .json();
    assert_eq!(ids(&page), ids(&list));
    assert_eq!(
        (&page["has_more"], &page["first_id"], &page["last_id"]),
        (&json!(false), &json!("c-small"), &json!("m-small"))
    );
    let first = page["data"][0].as_object().expect("an object");
    let members: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(members.len(), 5, "{members:?}");
    for (name, value) in [
        ("type", "model"),
        ("display_name", "c-small"),
        ("lifecycle", "active"),
    ] {
        assert_eq!(first[name], value);
    }
    assert!(
        first["created_at"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z'))
    );
}

#[test]
fn b08_model_list_pages_cover_all_models() {
    let fixture = Fixture::new();
    let caller = anthropic(&fixture.user());
    let (mut walked, mut after) = (Vec::new(), String::new());
    loop {
        let page = caller
            .get(&format!("/v1/models?limit=1{after}"))
            .assert_status(200)
            .json();
        walked.extend(ids(&page));
        assert_eq!(page["first_id"], page["last_id"]);
        if page["has_more"] == false {
            break;
        }
        after = format!("&after_id={}", page["last_id"].as_str().expect("an id"));
    }
    assert_eq!(walked, ["c-small", "m-large", "m-small"]);
    let back = caller
        .get("/v1/models?before_id=m-small&limit=1")
        .assert_status(200)
        .json();
    assert_eq!(
        (ids(&back), &back["has_more"]),
        (vec!["m-large".to_owned()], &json!(true))
    );
    for query in ["limit=x", "limit=-1", "limit=1.5"] {
        assert_refusal(
            Messages,
            &caller.get(&format!("/v1/models?{query}")),
            400,
            "invalid_request_error",
        );
    }
}

#[test]
fn model_list_shows_only_allowed_models() {
    let fixture = Fixture::new();
    let key = fixture
        .gatekeeper
        .key(&json!({"name": "narrow", "team": fixture.team.id, "models": ["m-s*", "ant/*"]}));
    let caller = fixture.gatekeeper.user(&key);
    assert_eq!(
        ids(&caller.get("/v1/models").assert_status(200).json()),
        ["c-small", "m-small"]
    );
    caller.get("/v1/models/m-small").assert_status(200);
    assert_refusal(
        Chat,
        &caller.get("/v1/models/m-large"),
        404,
        "model_not_found",
    );
    assert_refusal(
        Messages,
        &anthropic(&caller).get("/v1/models/m-large"),
        404,
        "model_not_found",
    );
}

#[test]
fn model_detail_follows_client_dialect() {
    let fixture = Fixture::with_setup(|setup| setup);
    let model = fixture
        .user()
        .get("/v1/models/m-small")
        .assert_status(200)
        .json();
    assert_eq!(
        (&model["id"], &model["object"]),
        (&json!("m-small"), &json!("model"))
    );
    let model = anthropic(&fixture.user())
        .get("/v1/models/c-small")
        .assert_status(200)
        .json();
    assert_eq!(
        (&model["id"], &model["type"]),
        (&json!("c-small"), &json!("model"))
    );
    assert_refusal(
        Chat,
        &fixture.user().get("/v1/models/nobody"),
        404,
        "model_not_found",
    );
    assert_refusal(
        Messages,
        &anthropic(&fixture.user()).get("/v1/models/nobody"),
        404,
        "model_not_found",
    );
}

#[test]
fn model_name_with_slash_is_found_plain_or_escaped() {
    let upstream = crate::harness::upstream::Upstream::start();
    let provider = Provider::openai("more", &upstream).models(&["org/model-1"]);
    let fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&provider));
    for path in ["/v1/models/org/model-1", "/v1/models/org%2Fmodel-1"] {
        assert_eq!(
            fixture.user().get(path).assert_status(200).json()["id"],
            "org/model-1"
        );
    }
}

#[test]
fn model_list_without_key_returns_401() {
    let fixture = Fixture::new();
    let anon = fixture.gatekeeper.anon();
    assert_refusal(Chat, &anon.get("/v1/models"), 401, "authentication_error");
    assert_refusal(
        Chat,
        &anon.get("/v1/models/m-small"),
        401,
        "authentication_error",
    );
    assert_refusal(
        Messages,
        &anon
            .with("anthropic-version", "2023-06-01")
            .get("/v1/models"),
        401,
        "authentication_error",
    );
}

#[test]
fn b09_model_aliases_grant_no_access() {
    let fixture = Fixture::with_setup(|setup| setup.setting("picker_aliases = \"on\""));
    let user = anthropic(&fixture.user());
    let listed = ids(&user.get("/v1/models?limit=1000").assert_status(200).json());
    assert_eq!(
        listed,
        [
            "anthropic/c-small",
            "anthropic/m-large",
            "anthropic/m-small",
            "c-small",
            "m-large",
            "m-small"
        ]
    );
    assert_eq!(
        ids(&fixture.user().get("/v1/models").assert_status(200).json()),
        ["c-small", "m-large", "m-small"]
    );
    user.get("/v1/models/anthropic%2Fm-small")
        .assert_status(200);

    let mut body = Chat.body();
    body["model"] = json!("anthropic/m-small");
    fixture.user().chat(&body).assert_status(200);
    assert_eq!(
        fixture.upstream.requests()[0].json()["model"],
        "m-small",
        "the upstream knows no alias"
    );
    let row = fixture
        .gatekeeper
        .admin()
        .get("/v1/requests")
        .assert_status(200)
        .json();
    assert_eq!(
        row["data"][0]["model_asked"], "m-small",
        "neither do the books"
    );

    // an allow-list for a vendor does not include the aliases of other vendors
    let key = fixture
        .gatekeeper
        .key(&json!({"name": "narrow", "team": fixture.team.id, "models": ["anthropic/*"]}));
    assert_refusal(
        Chat,
        &fixture.gatekeeper.user(&key).chat(&body),
        403,
        "model_not_allowed",
    );
}
