//! `/v1/usage`: the usage report in JSON or CSV. Money is an exact decimal string, instants are RFC 3339 in UTC; days and months
//! are dates of the instance's zone.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::auth::directory::Directory;
use crate::auth::role::may;
use crate::control::reports::{
    Dimension, GroupValue, ReportInterval, StatedValue, UsageQuery, UsageReport, UsageRow,
};
use crate::domain::api_error::ApiError;
use crate::domain::latency::{BOUNDS_MS, Histogram, Latencies};
use crate::domain::zone::Zone;
use crate::server::api::accept::ReportFormat;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;
use crate::server::api::views::rfc3339;
use crate::server::api::{csv, query, usage_query};
use crate::store::RollupSums;

/// Tags or users of a day above the number that have rows of their own.
const OTHER: &str = "other";

/// `GET /v1/usage?month=&start=&end=&group_by=&format=`, in JSON or CSV.
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadUsage)?;
    let control = &call.control;
    let mut parameters = query::parameters(&call.query)?;
    let format = ReportFormat::take(&mut parameters, call.format)?;
    let query = usage_query::parse(&parameters, control.zone(), control.now_ms())?;
    let report = control.usage(&grant, &query).await?;
    let json = usage_json(&query, &report, control.zone(), &control.directory());
    match format {
        ReportFormat::Json | ReportFormat::Text => ApiReply::ok(&json),
        ReportFormat::Csv => Ok(ApiReply::csv(
            csv::table(&columns(&query), &json.data),
            None,
        )),
    }
}

/// Columns of the report, also of an empty one.
fn columns(query: &UsageQuery) -> Vec<&'static str> {
    let mut columns: Vec<&'static str> = query
        .interval
        .map(ReportInterval::as_str)
        .into_iter()
        .collect();
    for dimension in &query.dimensions {
        columns.extend(std::iter::once(dimension.as_str()).chain(name_column(*dimension)));
    }
    columns.extend([
        "requests",
        "refused_requests",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        "cost_usd",
        "cache_write_tokens",
        "reasoning_tokens",
        "image_tokens",
        "audio_tokens",
        "searches",
        "second_model_tokens",
        "cache_hits",
        "saved_cost_usd",
        "duration_p50_ms",
        "duration_p95_ms",
        "first_content_p50_ms",
        "first_content_p95_ms",
    ]);
    columns
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub(super) struct UsageJson {
    object: &'static str,
    start: String,
    end: String,
    /// everything logged until then is counted; null: the newest requests may be missing
    as_of: Option<String>,
    /// uncorrected orphans of all times, booked at their ceiling after a crash; null for a role that may not read the ledger
    orphans_uncorrected: Option<u64>,
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
        if let (Some(interval), Some(start_ms)) = (query.interval, row.interval_start_ms) {
            let label = interval_label(interval, start_ms, zone);
            members.insert(interval.as_str().to_owned(), label.into());
        }
        for (dimension, value) in query.dimensions.iter().zip(&row.values) {
            insert_value(&mut members, *dimension, value, directory);
        }
        // days of tags and users keep no latencies
        let sums = match query.stated() {
            Some(_) => row.sums.without_latencies(),
            None => row.sums,
        };
        insert_sums(&mut members, &sums);
        members
    };
    let mut total = Map::new();
    insert_sums(&mut total, &report.total);
    insert_histograms(&mut total, &report.total);
    UsageJson {
        object: "usage",
        start: rfc3339(query.start_ms),
        end: rfc3339(query.end_ms),
        as_of: report.as_of_ms.map(rfc3339),
        orphans_uncorrected: report.orphans_uncorrected,
        total,
        data: report.rows.iter().map(row).collect(),
        next: None,
    }
}

/// `2026-11-23T10:00:00Z`, `2026-11-23`, `2026-11`.
fn interval_label(interval: ReportInterval, start_ms: u64, zone: &Zone) -> String {
    match interval {
        ReportInterval::Hour => rfc3339(start_ms),
        ReportInterval::Day => zone.date(start_ms),
        ReportInterval::Month => zone.date(start_ms).chars().take(7).collect(),
    }
}

/// Tenants have a member for their name next to their id.
fn insert_value(
    members: &mut Map<String, Value>,
    dimension: Dimension,
    value: &GroupValue,
    directory: &Directory,
) {
    let (value, name) = match value {
        GroupValue::Provider(text) | GroupValue::Model(text) => (Some(text.clone()), None),
        GroupValue::Status(class) => (Some(class.as_str().to_owned()), None),
        GroupValue::Stated(StatedValue::Named(value)) => (Some(value.clone()), None),
        GroupValue::Stated(StatedValue::Other) => (Some(OTHER.to_owned()), None),
        GroupValue::Stated(StatedValue::Nothing) => (None, None),
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
    members.insert(dimension.as_str().to_owned(), value.into());
    if let Some(column) = name_column(dimension) {
        members.insert(column.to_owned(), name.map(String::as_str).into());
    }
}

/// Column for the names of tenants.
fn name_column(dimension: Dimension) -> Option<&'static str> {
    match dimension {
        Dimension::Team => Some("team_name"),
        Dimension::Organization => Some("organization_name"),
        Dimension::Key => Some("key_name"),
        Dimension::Provider
        | Dimension::Model
        | Dimension::Status
        | Dimension::Tag
        | Dimension::User => None,
    }
}

fn insert_sums(members: &mut Map<String, Value>, sums: &RollupSums) {
    let counts = [
        ("requests", sums.requests),
        ("refused_requests", sums.refused),
        ("input_tokens", sums.tokens_in),
        ("cached_tokens", sums.cached_in),
        ("output_tokens", sums.tokens_out),
        ("cache_write_tokens", sums.cache_writes),
        ("reasoning_tokens", sums.reasoning),
        ("image_tokens", sums.images),
        ("audio_tokens", sums.audio),
        ("searches", sums.searches),
        ("second_model_tokens", sums.second_models),
        ("cache_hits", sums.cache_hits),
    ];
    members.extend(counts.map(|(name, count)| (name.to_owned(), Value::from(count))));
    members.insert("cost_usd".to_owned(), sums.cost.to_string().into());
    members.insert("saved_cost_usd".to_owned(), sums.saved.to_string().into());
    for (name, histogram, percent) in quantiles(sums) {
        members.insert(name.to_owned(), histogram.quantile_ms(percent).into());
    }
}

/// Columns of latencies, each with its histogram and its percentage; null without a call that ended by itself.
fn quantiles(sums: &RollupSums) -> [(&'static str, &Histogram, u64); 4] {
    let Latencies {
        duration,
        first_content,
    } = &sums.latencies;
    [
        ("duration_p50_ms", duration, 50),
        ("duration_p95_ms", duration, 95),
        ("first_content_p50_ms", first_content, 50),
        ("first_content_p95_ms", first_content, 95),
    ]
}

/// Histograms of the total: upper bounds of the buckets, the last one open, and the latencies in each.
fn insert_histograms(members: &mut Map<String, Value>, sums: &RollupSums) {
    members.insert("latency_bounds_ms".to_owned(), json!(BOUNDS_MS));
    let Latencies {
        duration,
        first_content,
    } = &sums.latencies;
    for (name, histogram) in [
        ("duration_histogram", duration),
        ("first_content_histogram", first_content),
    ] {
        members.insert(name.to_owned(), json!(histogram.buckets()));
    }
}

#[cfg(test)]
mod tests;
