//! Tests of the usage report and the request log on settled calls.

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::control::input::{Budgets, Models, Name};
use crate::control::keys::{KeyParent, NewVirtualKey};
use crate::control::limits::Limits;
use crate::control::teams::NewTeam;
use crate::control::test_control::{NOW_MS, TestControl, grant};
use crate::domain::event::{CallResult, CostLine, Flags, Hold, HoldId, Progress, Status, Subject};
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::domain::tenant::{Labels, MemberKeyRules};
use crate::domain::usage::Usage;
use crate::meter::{Claim, Tokens};
use crate::server::api::test_calls::{answer, with_query};
use crate::server::api::{requests, usage};

async fn get_usage(instance: &TestControl, query: &str) -> Value {
    let (status, json) = answer(usage::get(with_query(instance, query))).await;
    assert_eq!(status, 200, "{json}");
    json
}

async fn get_requests(instance: &TestControl, query: &str) -> Value {
    let (status, json) = answer(requests::list(with_query(instance, query))).await;
    assert_eq!(status, 200, "{json}");
    json
}

async fn subject(instance: &TestControl, team: &str) -> Subject {
    let name = Name::parse(team).expect("a name");
    let new = NewTeam {
        name: name.clone(),
        organization: None,
        models: Models::default(),
        endpoints: None,
        labels: Labels::default(),
        member_keys: MemberKeyRules::default(),
        max_cost: None,
        budgets: Budgets::default(),
        limits: Limits::default(),
    };
    instance
        .control
        .create_team(&grant(may::ChangeTeams), new)
        .await
        .expect("a team");
    let (models, budgets, limits) = (Models::default(), Budgets::default(), Limits::default());
    let new = NewVirtualKey {
        name,
        parent: KeyParent::Team(team.to_owned()),
        user: None,
        models,
        endpoints: None,
        labels: Labels::default(),
        max_cost: None,
        expires_ms: None,
        budgets,
        limits,
    };
    let (key, _) = instance
        .control
        .create_key(&grant(may::ChangeKeys), new)
        .await
        .expect("a key");
    Subject {
        organization: key.record.organization,
        team: key.record.team,
        key: key.record.id,
        model_asked: "fast".into(),
        provider: "openai".into(),
        model: "gpt-5.1".into(),
        dialect: "chat".into(),
        streamed: true,
        attribution: Default::default(),
        second_models: Vec::new(),
    }
}

/// Advances the clock and settles one call of 100 + 20 tokens at a micro-dollar each.
fn settle_call(instance: &TestControl, subject: &Subject, at_ms: u64, unique: u128) {
    instance.clock.advance_to_ms(at_ms);
    let id = HoldId {
        request: RequestId::new(at_ms, unique),
        attempt: 1,
    };
    let ceiling = Money::from_usd(1);
    let hold = Hold {
        id,
        at_ms,
        subject: subject.clone().into(),
        ceiling,
        charges: Vec::new(),
        progress: Progress::default(),
    };
    instance
        .ledger
        .hold(Claim {
            hold,
            budgets: &[],
            limits: &[],
            tokens: Tokens::default(),
        })
        .expect("no budget refuses it");
    let lines = ["input", "output"].map(|class| CostLine {
        class,
        count: if class == "input" { 100 } else { 20 },
        rate_pico: 1_000_000,
        ..CostLine::default()
    });
    let ending = CallResult {
        ended_ms: at_ms + 700,
        status: Status::Ok,
        flags: Flags::ESTIMATED,
        usage: Usage {
            uncached_in: 60,
            cache_read: 40,
            out_total: 20,
            reasoning: 5,
            ..Usage::default()
        },
        cost: lines.iter().map(CostLine::amount).sum(),
        lines: lines.to_vec(),
        output_cap: Some(256),
        upstream_status: 200,
        first_content_ms: Some(120),
        note: None,
        cache: None,
    };
    instance.ledger.settle(id, ending).expect("logged");
}

/// An instance with one call of yesterday and three of today, just settled.
async fn instance_with_calls() -> TestControl {
    let instance = TestControl::open().await;
    let (engineering, support) = (
        subject(&instance, "engineering").await,
        subject(&instance, "support").await,
    );
    let day_after_ms = NOW_MS + 86_400_000;
    for (subject, at_ms, unique) in [
        (&engineering, NOW_MS, 1),
        (&engineering, day_after_ms, 2),
        (&support, day_after_ms, 3),
        (&engineering, day_after_ms, 4),
    ] {
        settle_call(&instance, subject, at_ms, unique);
    }
    instance
}

#[tokio::test]
async fn usage_report_includes_calls_just_settled() {
    let instance = instance_with_calls().await;
    let report = get_usage(&instance, "group_by=day,team").await;
    assert_eq!(
        (&report["start"], &report["end"]),
        (
            &"2026-11-01T00:00:00Z".into(),
            &"2026-12-01T00:00:00Z".into()
        )
    );
    assert_eq!(report["as_of"], "2026-11-24T10:00:00Z");
    let rows: Vec<[&Value; 4]> = report["data"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            [
                &row["day"],
                &row["team_name"],
                &row["requests"],
                &row["cost_usd"],
            ]
        })
        .collect();
    let expected = [
        json!(["2026-11-23", "engineering", 1, "0.00012"]),
        json!(["2026-11-24", "engineering", 2, "0.00024"]),
        json!(["2026-11-24", "support", 1, "0.00012"]),
    ];
    assert_eq!(json!(rows), json!(expected));
    assert_eq!(
        (
            &report["total"]["cost_usd"],
            &report["total"]["cached_tokens"]
        ),
        (&"0.00048".into(), &160.into())
    );
}

#[tokio::test]
async fn usage_report_extends_to_whole_hours_and_defaults_to_this_month() {
    let instance = instance_with_calls().await;
    let hours = get_usage(
        &instance,
        "start=2026-11-24T10:00:00Z&end=2026-11-24T10:30:00Z&group_by=hour,model,status",
    )
    .await;
    let row = &hours["data"][0];
    assert_eq!(
        (&hours["end"], &row["hour"]),
        (
            &"2026-11-24T11:00:00Z".into(),
            &"2026-11-24T10:00:00Z".into()
        )
    );
    assert_eq!(
        (&row["model"], &row["status"], &row["requests"]),
        (&"gpt-5.1".into(), &"ok".into(), &3.into())
    );
    assert_eq!(
        get_usage(&instance, "group_by=month").await["data"][0]["month"],
        "2026-11"
    );
    assert_eq!(
        get_usage(&instance, "end=2026-11-24").await["total"]["requests"],
        1
    );
}

#[tokio::test]
async fn requests_are_listed_newest_first_in_pages() {
    let instance = TestControl::open().await;
    let subject = subject(&instance, "engineering").await;
    for unique in 1..=3 {
        settle_call(&instance, &subject, NOW_MS + unique, u128::from(unique));
    }
    let page = get_requests(&instance, "limit=2").await;
    let next = page["next"].as_str().expect("a next page");
    assert_eq!(page["data"][1]["id"], next);
    let request = &page["data"][0];
    assert_eq!(
        (&request["at"], &request["total_ms"]),
        (&"2026-11-23T10:00:00.003Z".into(), &700.into())
    );
    assert_eq!(
        (&request["flags"], &request["cost_usd"]),
        (&json!(["estimated"]), &"0.00012".into())
    );
    assert_eq!(
        request["usage"],
        json!({ "input_tokens": 100, "cached_tokens": 40, "cache_write_tokens": 0, "output_tokens": 20, "reasoning_tokens": 5,
            "image_tokens": 0, "audio_tokens": 0, "searches": 0, "service_tier": null, "tools": {}, "second_models": [] })
    );
    let line = &request["cost_lines"][0];
    assert_eq!(
        (
            &line["class"],
            &line["count"],
            &line["rate_usd"],
            &line["amount_usd"]
        ),
        (
            &"input".into(),
            &100.into(),
            &"0.000001".into(),
            &"0.0001".into()
        )
    );
    let last = get_requests(&instance, &format!("limit=2&before={next}")).await;
    assert_eq!(
        (last["data"].as_array().map(Vec::len), &last["next"]),
        (Some(1), &Value::Null)
    );
}

/// The oldest request is the only one of its provider: a page reads 10,000 rows, and the next one finds it.
#[tokio::test]
async fn requests_page_stops_at_row_limit_and_cursor_continues() {
    let instance = TestControl::open().await;
    let common = subject(&instance, "engineering").await;
    let rare = Subject {
        provider: "rare".into(),
        ..common.clone()
    };
    settle_call(&instance, &rare, NOW_MS + 1, 1);
    for unique in 2..=10_001 {
        settle_call(&instance, &common, NOW_MS + unique, u128::from(unique));
    }
    assert!(
        instance.store.applied_now(60_000).await,
        "everything is applied to the books"
    );
    let page = get_requests(&instance, "provider=rare").await;
    assert_eq!(page["data"], json!([]));
    let next = page["next"].as_str().expect("a cursor");
    assert_eq!(instance.control.rows_read().1, 10_000);
    let page = get_requests(&instance, &format!("provider=rare&before={next}")).await;
    assert_eq!(
        (&page["data"][0]["provider"], &page["next"]),
        (&json!("rare"), &Value::Null)
    );
}
