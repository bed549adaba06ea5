//! Invented traffic of a small company: working hours and weekends, four teams with their own habits, failures, an afternoon on
//! which the provider was overloaded. Pure: a seed and a day give the same calls.

use super::random::Random;
use crate::cli::demo::teams::{LARGE, SMALL};

const HOUR_MS: u64 = 3_600_000;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;
const CAP_TOKENS: u64 = 4_096;
const MINI: &str = "simulator-mini";
const CODE: &str = "simulator-code";
const REASONING: &str = "simulator-reasoning";
const VISION: &str = "simulator-vision";
const EMBEDDING: &str = "simulator-embedding";

/// One invented call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DemoCall {
    pub at_ms: u64,
    /// random part of the request's id
    pub unique: u128,
    pub profile: &'static Profile,
    pub model: &'static str,
    pub uncached_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// output cap of the request
    pub output_cap: u64,
    pub first_content_ms: u64,
    pub total_ms: u64,
    pub tag: Option<&'static str>,
    pub user: Option<u64>,
    pub outcome: DemoOutcome,
}

/// End of a call that the budget admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DemoOutcome {
    Ok,
    Overloaded,
    TimedOut,
    ClientGone,
}

/// Habits of one key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub team: &'static str,
    pub key: &'static str,
    pub dialect: &'static str,
    pub streamed: bool,
    /// with their weights
    models: &'static [(&'static str, u64)],
    calls_a_day: u64,
    /// hours of the day in UTC
    hours: (u64, u64),
    /// traffic of a day without work, in per mille of a working day
    weekend: u64,
    input: (u64, u64),
    cached_percent: u64,
    output: (u64, u64),
    tags: &'static [&'static str],
    users: u64,
}

pub(super) static PROFILES: [Profile; 8] = [
    Profile {
        team: "engineering",
        key: "claude-code",
        dialect: "messages",
        streamed: true,
        models: &[(LARGE, 7), (REASONING, 2), (SMALL, 3)],
        calls_a_day: 110,
        hours: (7, 18),
        weekend: 60,
        input: (4_000, 90_000),
        cached_percent: 85,
        output: (150, 4_000),
        tags: &[],
        users: 9,
    },
    Profile {
        team: "engineering",
        key: "codex",
        dialect: "responses",
        streamed: true,
        models: &[(CODE, 1)],
        calls_a_day: 60,
        hours: (8, 19),
        weekend: 100,
        input: (3_000, 70_000),
        cached_percent: 70,
        output: (100, 5_000),
        tags: &[],
        users: 5,
    },
    Profile {
        team: "engineering",
        key: "ci",
        dialect: "chat",
        streamed: false,
        models: &[(MINI, 5), (SMALL, 1)],
        calls_a_day: 50,
        hours: (0, 24),
        weekend: 350,
        input: (500, 12_000),
        cached_percent: 30,
        output: (40, 600),
        tags: &["review", "release-notes", "nightly"],
        users: 0,
    },
    Profile {
        team: "marketing",
        key: "content",
        dialect: "chat",
        streamed: true,
        models: &[(SMALL, 6), (VISION, 4)],
        calls_a_day: 35,
        hours: (8, 17),
        weekend: 0,
        input: (300, 6_000),
        cached_percent: 0,
        output: (200, 2_500),
        tags: &["newsletter", "website"],
        users: 4,
    },
    Profile {
        team: "support",
        key: "helpdesk",
        dialect: "chat",
        streamed: true,
        models: &[(SMALL, 8), (MINI, 2)],
        calls_a_day: 130,
        hours: (6, 21),
        weekend: 450,
        input: (800, 9_000),
        cached_percent: 40,
        output: (60, 900),
        tags: &["chat", "mail"],
        users: 60,
    },
    Profile {
        team: "support",
        key: "search",
        dialect: "embeddings",
        streamed: false,
        models: &[(EMBEDDING, 1)],
        calls_a_day: 70,
        hours: (6, 21),
        weekend: 450,
        input: (20, 2_000),
        cached_percent: 0,
        output: (0, 0),
        tags: &["knowledge-base"],
        users: 0,
    },
    Profile {
        team: "research",
        key: "notebooks",
        dialect: "chat",
        streamed: true,
        models: &[(LARGE, 4), (REASONING, 3), ("simulator-legacy", 1)],
        calls_a_day: 30,
        hours: (9, 22),
        weekend: 250,
        input: (1_000, 60_000),
        cached_percent: 20,
        output: (300, 6_000),
        tags: &["exp-17", "exp-18", "exp-21"],
        users: 3,
    },
    Profile {
        team: "research",
        key: "evals",
        dialect: "chat",
        streamed: false,
        models: &[(LARGE, 1), (SMALL, 1), (CODE, 1), (REASONING, 1)],
        calls_a_day: 40,
        hours: (20, 23),
        weekend: 0,
        input: (400, 3_000),
        cached_percent: 0,
        output: (100, 1_200),
        tags: &["eval"],
        users: 0,
    },
];

/// Calls of the day that begins at `day_ms`, in order of time.
pub(super) fn day(seed: u64, day_ms: u64) -> Vec<DemoCall> {
    let number = day_ms / DAY_MS;
    let mut random = Random::of_part(seed, number);
    let mut calls = Vec::new();
    // one working day in two weeks has a bad half-hour
    let outage = (number + 3) % 14 == seed % 5 + 7 * (seed / 5 % 2);
    let start = day_ms + 14 * HOUR_MS + random.below(HOUR_MS);
    let outage_ms = outage.then_some((start, start + HOUR_MS / 2));
    for profile in &PROFILES {
        for _ in 0..calls_of_day(profile, number, &mut random) {
            let mut call = call(profile, day_ms, &mut random);
            let is_within = |(start, end)| (start..end).contains(&call.at_ms);
            if outage_ms.is_some_and(is_within) && random.chance(600) {
                call.outcome = DemoOutcome::Overloaded;
            }
            calls.push(call);
        }
    }
    calls.sort_by_key(|call| (call.at_ms, call.unique));
    calls
}

fn is_workday(number: u64) -> bool {
    // day 0, 1 January 1970, was a Thursday
    (number + 3) % 7 < 5
}

/// Number of calls: a quarter more or less, and weekends.
fn calls_of_day(profile: &Profile, number: u64, random: &mut Random) -> u64 {
    let noise = 750 + random.below(500);
    let share = if is_workday(number) {
        1_000
    } else {
        profile.weekend
    };
    profile.calls_a_day * noise * share / 1_000_000
}

fn call(profile: &'static Profile, day_ms: u64, random: &mut Random) -> DemoCall {
    let model = weighted(profile.models, random);
    let input = random.skewed(profile.input);
    let cached = match random.chance(850) {
        true => input * profile.cached_percent / 100,
        false => 0,
    };
    let output = random.skewed(profile.output);
    let first_content_ms = 180 + random.skewed((50, 2_500)) + input / 60;
    let tokens_per_s = 40 + random.below(90);
    DemoCall {
        at_ms: moment(profile.hours, day_ms, random),
        unique: (u128::from(random.next()) << 64) | u128::from(random.next()),
        profile,
        model,
        uncached_tokens: input - cached,
        cached_tokens: cached,
        output_tokens: output,
        output_cap: if output == 0 {
            0
        } else {
            output.max(CAP_TOKENS)
        },
        first_content_ms,
        total_ms: first_content_ms + output * 1_000 / tokens_per_s,
        tag: (!profile.tags.is_empty()).then(|| *random.pick(profile.tags)),
        user: (profile.users > 0).then(|| random.below(profile.users)),
        outcome: match random.below(1_000) {
            0..6 => DemoOutcome::Overloaded,
            6..9 => DemoOutcome::TimedOut,
            9..21 if profile.streamed => DemoOutcome::ClientGone,
            _ => DemoOutcome::Ok,
        },
    }
}

/// A moment within the hours: more in the middle, fewer at noon.
fn moment((from, to): (u64, u64), day_ms: u64, random: &mut Random) -> u64 {
    let length_ms = (to - from) * HOUR_MS;
    loop {
        let within_ms = (random.below(length_ms) + random.below(length_ms)) / 2;
        let at_ms = from * HOUR_MS + within_ms;
        let is_noon = at_ms / HOUR_MS == 11;
        if !is_noon || random.chance(500) {
            return day_ms + at_ms;
        }
    }
}

fn weighted(models: &[(&'static str, u64)], random: &mut Random) -> &'static str {
    let mut left = random.below(models.iter().map(|(_, weight)| weight).sum());
    for (model, weight) in models {
        if left < *weight {
            return model;
        }
        left -= weight;
    }
    models[0].0
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Monday, 2 November 2026.
    const MONDAY: u64 = 20_759;

    fn month(seed: u64) -> Vec<DemoCall> {
        (0..28)
            .flat_map(|at| day(seed, (MONDAY + at) * DAY_MS))
            .collect()
    }

    #[test]
    fn traffic_of_a_day_depends_on_seed_and_date_alone() {
        let day_ms = MONDAY * DAY_MS;
        assert_eq!(day(1, day_ms), day(1, day_ms));
        assert_ne!(day(1, day_ms), day(2, day_ms));
        assert_ne!(day(1, day_ms).len(), day(1, day_ms + DAY_MS).len());
    }

    #[test]
    fn traffic_of_a_month_has_working_days_models_teams_and_failures() {
        let calls = month(1);
        let on = |weekday: u64| {
            let on = |call: &&DemoCall| (call.at_ms / DAY_MS - MONDAY) % 7 == weekday;
            calls.iter().filter(on).count()
        };
        assert!((6_000..20_000).contains(&calls.len()), "{}", calls.len());
        assert!(
            on(6) * 3 < on(2),
            "{} on Sundays, {} on Wednesdays",
            on(6),
            on(2)
        );
        let models: BTreeSet<&str> = calls.iter().map(|call| call.model).collect();
        let teams: BTreeSet<&str> = calls.iter().map(|call| call.profile.team).collect();
        assert_eq!((models.len(), teams.len()), (8, 4));
        for outcome in [
            DemoOutcome::Overloaded,
            DemoOutcome::TimedOut,
            DemoOutcome::ClientGone,
        ] {
            assert!(
                calls.iter().any(|call| call.outcome == outcome),
                "{outcome:?}"
            );
        }
        assert!(calls.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms));
    }

    #[test]
    fn traffic_of_any_seed_has_one_bad_hour_in_a_month() {
        for seed in 0..10 {
            let failed = |call: &&DemoCall| call.outcome == DemoOutcome::Overloaded;
            let mut by_hour = BTreeMap::new();
            for call in month(seed).iter().filter(failed) {
                *by_hour.entry(call.at_ms / HOUR_MS).or_insert(0) += 1;
            }
            let worst = by_hour.values().max();
            assert!(worst > Some(&6), "seed {seed}: {worst:?}");
        }
    }
}
