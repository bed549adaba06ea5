//! The usage report over HTTP. Money is a decimal string with all its digits, instants are RFC 3339 UTC;
//! days and months are dates of the instance's zone.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::Control;
use crate::control::reports::{
    Dimension, GroupValue, ReportInterval, UsageQuery, UsageReport, UsageRow,
};
use crate::domain::api_error::ApiError;
use crate::domain::zone::Zone;
use crate::server::api::accept::ReportFormat;
use crate::server::api::csv;
use crate::server::api::views::instant;
use crate::server::api::{ApiReply, parameters};
use crate::store::RollupSums;

/// `GET /v1/usage?start=&end=&group_by=`, in JSON or CSV.
pub async fn usage(
    control: &Control,
    actor: &Actor,
    query: &str,
    wanted: ReportFormat,
) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ReadUsage)?;
    let query = UsageQuery::parse(&parameters(query)?, control.zone(), control.now_ms())?;
    let report = control.usage(&grant, &query).await?;
    let json = usage_json(&query, &report, control.zone(), &control.directory());
    match wanted {
        ReportFormat::Json => ApiReply::ok(&json),
        ReportFormat::Csv => Ok(ApiReply::csv(
            csv::table(&columns(&query), &json.data),
            None,
        )),
    }
}

/// What the rows of a report have, whether there are any or not.
fn columns(query: &UsageQuery) -> Vec<&'static str> {
    let mut columns: Vec<&'static str> = query
        .stretch
        .map(ReportInterval::as_str)
        .into_iter()
        .collect();
    for dimension in &query.dimensions {
        columns.extend(std::iter::once(dimension.as_str()).chain(dimension.name_word()));
    }
    columns.extend([
        "requests",
        "refused_requests",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        "cost_usd",
    ]);
    columns
}

#[derive(Serialize)]
struct UsageJson {
    object: &'static str,
    start: String,
    end: String,
    /// everything logged until then is counted; null: the newest requests may be missing
    as_of: Option<String>,
    /// requests of all times booked at their ceiling after a crash, and not corrected
    orphans_uncorrected: u64,
    total: Map<String, Value>,
    data: Vec<Map<String, Value>>,
    next: Option<String>,
}

fn usage_json(
    query: &UsageQuery,
    report: &UsageReport,
    zone: &Zone,
    directory: &Directory,
) -> UsageJson {
    let row = |row: &UsageRow| {
        let mut members = Map::new();
        if let (Some(stretch), Some(start_ms)) = (query.stretch, row.stretch_start_ms) {
            members.insert(
                stretch.as_str().to_owned(),
                stretch_label(stretch, start_ms, zone).into(),
            );
        }
        for (dimension, member) in query.dimensions.iter().zip(&row.members) {
            insert_member(&mut members, *dimension, member, directory);
        }
        insert_sums(&mut members, &row.sums);
        members
    };
    let mut total = Map::new();
    insert_sums(&mut total, &report.total);
    UsageJson {
        object: "usage",
        start: instant(query.start_ms),
        end: instant(query.end_ms),
        as_of: report.as_of_ms.map(instant),
        orphans_uncorrected: report.orphans_uncorrected,
        total,
        data: report.rows.iter().map(row).collect(),
        next: None,
    }
}

/// `2026-11-23T10:00:00Z`, `2026-11-23`, `2026-11`.
fn stretch_label(stretch: ReportInterval, start_ms: u64, zone: &Zone) -> String {
    match stretch {
        ReportInterval::Hour => instant(start_ms),
        ReportInterval::Day => zone.date(start_ms),
        ReportInterval::Month => zone.date(start_ms).chars().take(7).collect(),
    }
}

/// Tenants have their name beside their id.
fn insert_member(
    members: &mut Map<String, Value>,
    dimension: Dimension,
    member: &GroupValue,
    directory: &Directory,
) {
    let word = dimension.as_str();
    let (value, name) = match member {
        GroupValue::Provider(text) | GroupValue::Model(text) => {
            return drop(members.insert(word.to_owned(), text.as_str().into()));
        }
        GroupValue::Status(class) => {
            return drop(members.insert(word.to_owned(), class.as_str().into()));
        }
        GroupValue::Team(id) => (
            id.map(|id| id.to_string()),
            id.and_then(|id| directory.team(id)).map(|team| &team.name),
        ),
        GroupValue::Organization(id) => (
            id.map(|id| id.to_string()),
            id.and_then(|id| directory.organization(id))
                .map(|organization| &organization.name),
        ),
        GroupValue::Key(id) => (
            Some(id.to_string()),
            directory.key(*id).map(|caller| &caller.key.name),
        ),
    };
    members.insert(word.to_owned(), value.into());
    if let Some(name_word) = dimension.name_word() {
        members.insert(name_word.to_owned(), name.map(String::as_str).into());
    }
}

fn insert_sums(members: &mut Map<String, Value>, sums: &RollupSums) {
    let counts = [
        ("requests", sums.requests),
        ("refused_requests", sums.refused),
        ("input_tokens", sums.tokens_in),
        ("cached_tokens", sums.cached_in),
        ("output_tokens", sums.tokens_out),
    ];
    members.extend(counts.map(|(name, count)| (name.to_owned(), Value::from(count))));
    members.insert("cost_usd".to_owned(), sums.cost.to_string().into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::input::{Budgets, Models, Name};
    use crate::control::keys::{KeyParent, NewVirtualKey};
    use crate::control::limits::Limits;
    use crate::control::teams::NewTeam;
    use crate::control::test_control::{NOW_MS, TestControl, grant};
    use crate::domain::event::{
        CallResult, CostLine, Flags, Hold, HoldId, Progress, Status, Subject,
    };
    use crate::domain::id::RequestId;
    use crate::domain::money::Money;
    use crate::domain::usage::Usage;
    use crate::meter::{Claim, Tokens};
    use crate::server::api::requests;

    async fn ask(house: &TestControl, path: &str) -> Value {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let actor = Actor::Local { uid: 0 };
        let reply = match path {
            "usage" => usage(&house.control, &actor, query, ReportFormat::Json).await,
            _ => requests::requests(&house.control, &actor, query, ReportFormat::Json).await,
        };
        serde_json::from_str(&reply.expect("a report").text).expect("JSON")
    }

    async fn subject(house: &TestControl, team: &str) -> Subject {
        let name = Name::parse(team).expect("a name");
        let new = NewTeam {
            name: name.clone(),
            organization: None,
            models: Models::default(),
            budgets: Budgets::default(),
            limits: Limits::default(),
        };
        house
            .control
            .create_team(&grant(may::ChangeTeams), new)
            .await
            .expect("a team");
        let (models, budgets, limits) = (Models::default(), Budgets::default(), Limits::default());
        let new = NewVirtualKey {
            name,
            place: KeyParent::Team(team.to_owned()),
            models,
            expires_ms: None,
            budgets,
            limits,
        };
        let (key, _) = house
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
        }
    }

    /// One call that used 100 + 20 tokens at a micro-dollar each; time passes until then.
    fn book(house: &TestControl, subject: &Subject, at_ms: u64, unique: u128) {
        house.clock.advance_to_ms(at_ms);
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
        house
            .ledger
            .hold(Claim {
                hold,
                budgets: &[],
                limits: &[],
                tokens: Tokens::default(),
            })
            .expect("no budget refuses");
        let lines = ["input", "output"].map(|class| CostLine {
            class,
            count: if class == "input" { 100 } else { 20 },
            rate_pico: 1_000_000,
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
        };
        house.ledger.settle(id, ending).expect("logged");
    }

    #[tokio::test]
    async fn what_was_just_booked_is_in_the_next_report() {
        let house = TestControl::open().await;
        let (engineering, support) = (
            subject(&house, "engineering").await,
            subject(&house, "support").await,
        );
        let day_after_ms = NOW_MS + 86_400_000;
        for (subject, at_ms, unique) in [
            (&engineering, NOW_MS, 1),
            (&engineering, day_after_ms, 2),
            (&support, day_after_ms, 3),
            (&engineering, day_after_ms, 4),
        ] {
            book(&house, subject, at_ms, unique);
        }
        let report = ask(&house, "usage?group_by=day,team").await;
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

        let hours = ask(
            &house,
            "usage?start=2026-11-24T10:00:00Z&end=2026-11-24T10:30:00Z&group_by=hour,model,status",
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
            ask(&house, "usage?group_by=month").await["data"][0]["month"],
            "2026-11"
        );
        assert_eq!(
            ask(&house, "usage?end=2026-11-24").await["total"]["requests"],
            1
        );
    }

    #[tokio::test]
    async fn requests_are_listed_newest_first_and_page_by_page() {
        let house = TestControl::open().await;
        let subject = subject(&house, "engineering").await;
        for unique in 1..=3 {
            book(&house, &subject, NOW_MS + unique, u128::from(unique));
        }
        let page = ask(&house, "requests?limit=2").await;
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
            json!({ "input_tokens": 100, "cached_tokens": 40, "cache_write_tokens": 0, "output_tokens": 20, "reasoning_tokens": 5 })
        );
        assert_eq!(
            request["cost_lines"][0],
            json!({ "class": "input", "count": 100, "rate_usd": "0.000001", "amount_usd": "0.0001" })
        );
        let last = ask(&house, &format!("requests?limit=2&before={next}")).await;
        assert_eq!(
            (last["data"].as_array().map(Vec::len), &last["next"]),
            (Some(1), &Value::Null)
        );
    }

    /// The oldest request is the only one of its provider: a page looks at 10,000 rows, and the next one finds it.
    #[tokio::test]
    async fn a_page_looks_at_ten_thousand_rows_and_its_cursor_goes_on() {
        let house = TestControl::open().await;
        let common = subject(&house, "engineering").await;
        let rare = Subject {
            provider: "rare".into(),
            ..common.clone()
        };
        book(&house, &rare, NOW_MS + 1, 1);
        for unique in 2..=10_001 {
            book(&house, &common, NOW_MS + unique, u128::from(unique));
        }
        assert!(house.store.applied_now(60_000).await, "all is in the books");
        let page = ask(&house, "requests?provider=rare").await;
        assert_eq!(page["data"], json!([]));
        let next = page["next"].as_str().expect("it says where to go on");
        assert_eq!(house.control.rows_read().1, 10_000);
        let page = ask(&house, &format!("requests?provider=rare&before={next}")).await;
        assert_eq!(
            (&page["data"][0]["provider"], &page["next"]),
            (&json!("rare"), &Value::Null)
        );
    }
}
