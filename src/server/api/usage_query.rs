//! Query string of `GET /v1/usage`: parameters in, `UsageQuery` out. Both ends are widened to whole hours, because usage is kept
//! by the hour; the answer states the resulting ends.

use crate::control::reports::{Dimension, ReportInterval, UsageQuery};
use crate::domain::api_error::ApiError;
use crate::domain::zone::{Window, Zone};
use crate::server::api::query::{parse_instant, unknown_parameter};

/// Dimensions of a report besides the interval; its rows have a limit of their own.
const DIMENSIONS_MAX: usize = 4;

/// Reads `month` or `start` and `end`, and `group_by`; the default range is the current month.
pub(super) fn parse(
    parameters: &[(String, String)],
    zone: &Zone,
    now_ms: u64,
) -> Result<UsageQuery, ApiError> {
    let month = zone.month(now_ms);
    let mut query = UsageQuery {
        start_ms: month.start_ms,
        end_ms: month.end_ms,
        interval: None,
        dimensions: Vec::new(),
    };
    for (name, value) in parameters {
        match name.as_str() {
            "month" => {
                let month = parse_month(value, zone, now_ms)?;
                (query.start_ms, query.end_ms) = (month.start_ms, month.end_ms);
            }
            "start" => query.start_ms = zone.hour(parse_instant("start", value, zone)?).start_ms,
            "end" => query.end_ms = round_up_to_hour(parse_instant("end", value, zone)?, zone),
            "group_by" => parse_groups(&mut query, value)?,
            other => {
                return Err(unknown_parameter(
                    other,
                    "usage",
                    "month, start, end, group_by, format",
                ));
            }
        }
    }
    if query.stated().is_some() {
        widen_to_days(&mut query, zone)?;
    }
    if query.start_ms >= query.end_ms {
        let is_given = |wanted: &str| parameters.iter().any(|(name, _)| name == wanted);
        let defaults = (zone.date(month.start_ms), zone.date(month.end_ms));
        return Err(empty_range(is_given("start"), is_given("end"), defaults));
    }
    Ok(query)
}

/// Tags and users are counted by the day, and by time, team and key only.
fn widen_to_days(query: &mut UsageQuery, zone: &Zone) -> Result<(), ApiError> {
    let stated = query.dimensions.iter().filter(|one| one.stated().is_some());
    let combines =
        |one: &Dimension| one.stated().is_some() || matches!(one, Dimension::Team | Dimension::Key);
    if stated.count() > 1 || !query.dimensions.iter().all(combines) {
        return Err(invalid_group(
            "takes one of tag and user, and with it only team, key, day and month",
        ));
    }
    if query.interval == Some(ReportInterval::Hour) {
        return Err(invalid_group(
            "takes day or month with tag and user, which are counted by the day",
        ));
    }
    query.start_ms = zone.day(query.start_ms).start_ms;
    let last = zone.day(query.end_ms);
    if last.start_ms != query.end_ms {
        query.end_ms = last.end_ms;
    }
    Ok(())
}

/// `2026-10`, or `last` for the month before this one.
fn parse_month(value: &str, zone: &Zone, now_ms: u64) -> Result<Window, ApiError> {
    if value == "last" {
        return Ok(zone.month(zone.month(now_ms).start_ms.saturating_sub(1)));
    }
    let is_month = value.len() == 7;
    let first = zone
        .date_start_ms(&format!("{value}-01"))
        .filter(|_| is_month);
    first.map(|first_ms| zone.month(first_ms)).ok_or_else(|| {
        ApiError::invalid("`month` must be a month like 2026-10, or `last`").with_param("month")
    })
}

/// 400 for a range that is empty; names the default of the end that was not given.
fn empty_range(start_given: bool, end_given: bool, defaults: (String, String)) -> ApiError {
    let (start, end) = defaults;
    let (param, message) = match (start_given, end_given) {
        (false, true) => (
            "end",
            format!("`end` must be after `start`, which defaults to {start}; give `start`"),
        ),
        (true, false) => (
            "start",
            format!("`start` must be before `end`, which defaults to {end}; give `end`"),
        ),
        _ => ("start", "`start` must be before `end`".to_owned()),
    };
    ApiError::invalid(message).with_param(param)
}

fn round_up_to_hour(at_ms: u64, zone: &Zone) -> u64 {
    let hour = zone.hour(at_ms);
    if hour.start_ms == at_ms {
        at_ms
    } else {
        hour.end_ms
    }
}

fn parse_groups(query: &mut UsageQuery, value: &str) -> Result<(), ApiError> {
    let words = value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    for word in words {
        parse_group(query, word)?;
    }
    if query.dimensions.len() > DIMENSIONS_MAX {
        return Err(invalid_group(
            "takes at most four of provider, model, team, organization, key, status, tag, user",
        ));
    }
    Ok(())
}

fn parse_group(query: &mut UsageQuery, word: &str) -> Result<(), ApiError> {
    let mut intervals = ReportInterval::ALL.into_iter();
    if let Some(interval) = intervals.find(|interval| interval.as_str() == word) {
        return match query.interval.replace(interval) {
            Some(_) => Err(invalid_group("takes one of hour, day, month")),
            None => Ok(()),
        };
    }
    let mut dimensions = Dimension::ALL.into_iter();
    match dimensions.find(|dimension| dimension.as_str() == word) {
        None => Err(invalid_group(
            "takes provider, model, team, organization, key, status, tag, user, and one of hour, day, month",
        )),
        Some(dimension) if query.dimensions.contains(&dimension) => {
            Err(invalid_group("names the same thing twice"))
        }
        Some(dimension) => {
            query.dimensions.push(dimension);
            Ok(())
        }
    }
}

fn invalid_group(problem: &str) -> ApiError {
    ApiError::invalid(format!("`group_by` {problem}")).with_param("group_by")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T10:20:30Z";

    fn ms(text: &str) -> u64 {
        Zone::parse_rfc3339(text).expect(text)
    }

    fn query(zone: &Zone, parameters: &[(&str, &str)]) -> Result<UsageQuery, ApiError> {
        let owned: Vec<(String, String)> = parameters
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        parse(&owned, zone, ms(NOW))
    }

    #[test]
    fn default_range_is_the_current_month_of_the_zone() {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        let query = query(&berlin, &[]).expect("a query");
        assert_eq!(
            (query.start_ms, query.end_ms),
            (ms("2026-10-31T23:00:00Z"), ms("2026-11-30T23:00:00Z"))
        );
        assert_eq!((query.interval, query.dimensions), (None, Vec::new()));
    }

    #[test]
    fn ends_are_dates_of_the_zone_or_instants_widened_to_the_hour() {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        for (start, end, expected) in [
            (
                "2026-11-01",
                "2026-11-02T10:20:00 01:00",
                ("2026-10-31T23:00:00Z", "2026-11-02T10:00:00Z"),
            ),
            (
                "2026-11-01T10:00:00Z",
                "2026-11-20T11:30:00Z",
                ("2026-11-01T10:00:00Z", "2026-11-20T12:00:00Z"),
            ),
            (
                "2026-11-02T08:59:59Z",
                "2026-11-23T10:30:00Z",
                ("2026-11-02T08:00:00Z", "2026-11-23T11:00:00Z"),
            ),
        ] {
            let query = query(&berlin, &[("start", start), ("end", end)]).expect("a query");
            assert_eq!(
                (query.start_ms, query.end_ms),
                (ms(expected.0), ms(expected.1)),
                "{start} to {end}"
            );
        }
    }

    #[test]
    fn empty_range_error_names_the_default_of_the_missing_end() {
        let utc = Zone::utc();
        for (parameters, param, ending) in [
            (
                vec![("end", "2026-01-01")],
                "end",
                "which defaults to 2026-11-01; give `start`",
            ),
            (
                vec![("start", "2027-01-01")],
                "start",
                "which defaults to 2026-12-01; give `end`",
            ),
            (
                vec![("start", "2026-01-02"), ("end", "2026-01-01")],
                "start",
                "`start` must be before `end`",
            ),
        ] {
            let error = query(&utc, &parameters).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param));
            assert!(error.message.ends_with(ending), "{}", error.message);
        }
    }

    #[test]
    fn month_is_cut_in_the_zone() {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        for (month, start, end) in [
            ("2026-03", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
            ("last", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"),
        ] {
            let query = query(&berlin, &[("month", month)]).expect("a query");
            assert_eq!(
                (query.start_ms, query.end_ms),
                (ms(start), ms(end)),
                "{month}"
            );
        }
    }

    #[test]
    fn report_by_tag_is_widened_to_whole_days() {
        let utc = Zone::utc();
        let parameters = [
            ("start", "2026-11-02T10:20:00Z"),
            ("end", "2026-11-03T00:30:00Z"),
            ("group_by", "tag,team,day"),
        ];
        let query = query(&utc, &parameters).expect("a query");
        let (start, end) = (ms("2026-11-02T00:00:00Z"), ms("2026-11-04T00:00:00Z"));
        assert_eq!((query.start_ms, query.end_ms), (start, end));
    }

    #[test]
    fn groups_are_four_dimensions_and_one_interval_at_most() {
        let utc = Zone::utc();
        let parsed = query(&utc, &[("group_by", "team,day,model")]).expect("a query");
        assert_eq!(
            (parsed.interval, parsed.dimensions),
            (
                Some(ReportInterval::Day),
                vec![Dimension::Team, Dimension::Model]
            )
        );
        for parameters in [
            [("group_by", "team,model,key,status,provider")],
            [("month", "2026-13")],
            [("month", "october")],
            [("group_by", "hour,day")],
            [("group_by", "team,team")],
            [("group_by", "colour")],
            [("group_by", "tag,user")],
            [("group_by", "tag,model")],
            [("group_by", "hour,user")],
            [("start", "yesterday")],
            [("start", "2027-01-01")],
            [("limit", "3")],
        ] {
            assert!(
                query(&utc, &parameters)
                    .expect_err("refused")
                    .param
                    .is_some(),
                "{parameters:?}"
            );
        }
    }
}
