//! Azure: header, paths, deployment as model, and prices by configuration.

use serde_json::{Value, json};

use super::{fixture, plain, request_body};
use crate::harness::golden;
use crate::harness::process::UPSTREAM_KEY;
use crate::harness::script::Script;

#[test]
fn p08_azure_uses_api_key_header_and_deployment_as_model() {
    let fixture = plain("azure");
    fixture
        .user()
        .post_bytes("/v1/chat/completions", request_body("").as_bytes())
        .assert_status(200);
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
    let request = fixture.upstream.last_request();
    assert_eq!(
        (request.target(), request.header("api-key")),
        ("/openai/v1/chat/completions", Some(UPSTREAM_KEY))
    );
    assert_eq!(
        (
            request.header("authorization"),
            request.json()["model"].as_str()
        ),
        (None, Some("m"))
    );
    fixture
        .upstream
        .respond_with(Script::unary(400, golden("azure/filtered.json")));
    let response = fixture
        .user()
        .post_bytes("/v1/chat/completions", request_body("").as_bytes());
    assert_eq!(
        response.assert_status(400).text(),
        golden("azure/filtered.json")
    );
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[]);
}

#[test]
fn p08_azure_api_version_puts_deployment_in_path() {
    let fixture = fixture("azure", |provider| {
        provider
            .line("api_version = \"2024-10-21\"")
            .models(&["our/chat"])
    });
    let body = request_body("").replace("\"m\"", "\"our/chat\"");
    fixture
        .user()
        .post_bytes("/v1/chat/completions", body.as_bytes())
        .assert_status(200);
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
    let target = fixture.upstream.last_request().target().to_owned();
    assert_eq!(
        target,
        "/openai/deployments/our%2Fchat/chat/completions?api-version=2024-10-21"
    );
}

#[test]
fn azure_deployment_price_follows_configuration() {
    let fixture = fixture("azure", |provider| {
        provider
            .priced_by("sheet")
            .line("priced_as = { m = \"gpt-4.1-mini\" }")
    });
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("azure/answer.json")));
    fixture
        .user()
        .post_bytes("/v1/chat/completions", request_body("").as_bytes())
        .assert_status(200);
    let row = fixture.assert_recorded();
    row.assert_ended("ok", &[]);
    // 10 at $0.44 and 5 at $1.76 per million: gpt-4.1-mini in the sheet, although the response reports gpt-4.1
    assert_eq!(row.0["cost_usd"], json!(azure_mini_cost()), "{}", row.0);
}

/// Cost computed from the price sheet, so that a newer sheet does not break the test.
fn azure_mini_cost() -> String {
    let sheet: Value =
        serde_json::from_str(include_str!("../../../assets/prices.json")).expect("the sheet");
    let rows = sheet["models"].as_array().expect("rows");
    let row = rows
        .iter()
        .find(|row| row["provider"] == "azure" && row["model"] == "gpt-4.1-mini")
        .expect("the row");
    let rate = |class: &str| {
        crate::harness::pico(row["rates"][class].as_str().expect("a rate")) / 1_000_000
    };
    crate::harness::usd(10 * rate("input") + 5 * rate("output"))
}
