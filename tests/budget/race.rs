//! The race: a limit of twenty times the true cost, five hundred requests, fifty at once. Never more than twenty are
//! served, never fewer than the ceiling allows, and nobody ever sees more spent and held than the limit.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::call::{Call, Seeded, is_whole};
use crate::harness::crowd::at_once;
use crate::harness::model;
use crate::harness::person::Answer;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::upstream::Upstream;
use crate::harness::{count, pico, record, usd};

const REQUESTS: usize = 500;
const AT_ONCE: usize = 50;
/// Pico-dollars per token of the harness's providers.
const INPUT: u64 = 1_000_000;
const OUTPUT: u64 = 5_000_000;

/// One race: what a call truly costs, and how the callers ask.
struct Race {
    cost: i128,
    calls: Vec<Call>,
}

impl Race {
    /// Sizes, pace, dialects, manners and caps as the seed has them.
    fn seeded(seed: u64, upstream: &Upstream) -> Race {
        let mut seeded = Seeded::new(seed);
        let (input, output) = (seeded.between(5, 40), seeded.between(20, 60));
        upstream.answers(model::uses(input, output).delay_ms(seeded.between(0, 4)));
        let cap = output + seeded.between(0, 40);
        let with_cap = seeded.between(0, 2) > 0;
        let calls = (0..REQUESTS).map(|_| {
            let streamed = seeded.next().is_multiple_of(2);
            let call = if seeded.next().is_multiple_of(2) { Call::chat() } else { Call::messages() }.streamed(streamed);
            // chat may leave the cap to the gateway; messages must name one
            if call.messages || with_cap { call.at_most(cap) } else { call }
        });
        Race { cost: i128::from(input * INPUT + output * OUTPUT), calls: calls.collect() }
    }

    fn run(&self, gatekeeper: &Gatekeeper, keys: &[Key]) -> Vec<Answer> {
        let connect = |worker: usize| gatekeeper.user(&keys[worker % keys.len()]).connects();
        at_once(AT_ONCE, self.calls.len(), connect, |connection, number| self.calls[number].by(connection))
    }

    /// The largest ceiling of any call, had it the least cap that the gateway chooses.
    fn ceiling(&self) -> i128 {
        let of = |call: &Call| {
            let bytes = call.body().to_string().len() as i128;
            bytes * i128::from(INPUT) + i128::from(call.max_tokens.unwrap_or(256)) * i128::from(OUTPUT)
        };
        self.calls.iter().map(of).max().expect("a race has calls")
    }

    /// ⌊(limit − ceiling) / cost⌋ + 1: fewer must not be served.
    fn least(&self, limit: i128) -> i128 {
        (limit - self.ceiling()).div_euclid(self.cost) + 1
    }
}

/// Served or refused in the right words; how many were served.
fn served(answers: &[Answer]) -> i128 {
    let mut served = 0;
    for answer in answers {
        match answer.status {
            200 => {
                assert!(is_whole(answer), "{}", answer.text());
                served += 1;
            }
            402 => assert!(matches!(&*answer.error_word(), "budget_exceeded" | "billing_error"), "{}", answer.text()),
            429 => {
                assert!(matches!(&*answer.error_word(), "budget_held" | "rate_limit_error"), "{}", answer.text());
                assert!(answer.header("retry-after").is_some(), "429 without retry-after");
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    served
}

/// Looks at the budgets until told to stop; none may ever stand above its limit. Returns how often it looked.
pub fn watched(gatekeeper: &Gatekeeper, paths: &[String], over: &AtomicBool) -> usize {
    let mut admin = gatekeeper.admin().connects();
    let mut looks = 0;
    while looks == 0 || !over.load(Ordering::SeqCst) {
        for path in paths {
            let found = admin.asks("GET", path, None);
            let found = found.expects(200).json();
            let owners = found["data"].as_array().cloned().unwrap_or_else(|| vec![found]);
            owners.iter().flat_map(|owner| owner["budgets"].as_array().expect("budgets")).for_each(within_limit);
        }
        looks += 1;
    }
    looks
}

fn within_limit(budget: &Value) {
    let [limit, spent, held] = ["limit", "spent", "held"].map(|name| pico(&text(budget, name)));
    assert!(spent + held <= limit, "spent {} + held {} of {}", usd(spent), usd(held), usd(limit));
}

/// Runs the race under the eyes of a watcher: how many were served, how often he looked.
fn raced(race: &Race, gatekeeper: &Gatekeeper, keys: &[Key], paths: &[String]) -> (i128, usize) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watched(gatekeeper, paths, &over));
        let answers = race.run(gatekeeper, keys);
        over.store(true, Ordering::SeqCst);
        let looks = watcher.join().expect("a budget stood above its limit");
        (served(&answers), looks)
    })
}

fn house(upstream: &Upstream) -> Gatekeeper {
    Gatekeeper::before(upstream).provider(&Provider::anthropic("claude", upstream)).starts()
}

/// What the upstream has billed since `from` lines ago.
fn billed(upstream: &Upstream, from: usize) -> i128 {
    upstream.waits_until_idle();
    upstream.bill()[from..].iter().map(|line| line.cost(INPUT, OUTPUT)).sum()
}

fn spent(budgets: &Value) -> i128 {
    pico(&text(&budgets["budgets"][0], "spent"))
}

#[test]
fn no_budget_is_overspent_by_five_hundred_requests_fifty_at_once() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream);
    let seeds = count("GK_RACE_SEEDS", 3);
    let (mut fewest, mut looked) = (20, 0);
    for seed in 0..seeds as u64 {
        let race = Race::seeded(seed, &upstream);
        let limit = 20 * race.cost;
        let team = gatekeeper.team_with_budget(&format!("race-{seed}"), &usd(limit));
        let key = gatekeeper.key_of(&team);
        let from = upstream.bill().len();
        let path = format!("/v1/teams/{}", team.id);
        let (served, looks) = raced(&race, &gatekeeper, &[key], std::slice::from_ref(&path));
        looked += looks;
        let least = race.least(limit);
        assert!((least..=20).contains(&served), "seed {seed}: {served} served, at least {least} of at most 20 expected");
        let booked = spent(&gatekeeper.admin().get(&path).json());
        assert_eq!(usd(booked), usd(billed(&upstream, from)), "seed {seed}: the budget and the upstream's bill");
        assert_eq!(usd(booked), usd(served * race.cost));
        fewest = fewest.min(served);
    }
    record(
        "race",
        &format!(
            "{seeds} seeds, {REQUESTS} requests each, {AT_ONCE} at once: {fewest} to 20 served of 20 that fit, {looked} looks"
        ),
    );
}

#[test]
fn no_level_is_overspent_when_child_key_parent_team_and_organization_all_have_a_budget() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream);
    let seeds = count("GK_RACE_SEEDS", 1);
    for seed in 0..seeds as u64 {
        race_through_all_levels(seed, &upstream, &mut gatekeeper);
    }
    record("race through four levels", &format!("{seeds} seeds, {REQUESTS} requests each, {AT_ONCE} at once: never over"));
}

fn race_through_all_levels(seed: u64, upstream: &Upstream, gatekeeper: &mut Gatekeeper) {
    let (race, from) = (Race::seeded(seed, upstream), upstream.bill().len());
    let budget = |times: i128| json!([{"limit": usd(times * race.cost), "period": "total"}]);
    let name = format!("levels-{seed}");
    let organization = gatekeeper.admin().post("/v1/organizations", &json!({"name": name, "budgets": budget(30)}));
    let organization = text(&organization.expects(201).json(), "id");
    let of_organization = |gatekeeper: &Gatekeeper| {
        let found = gatekeeper.admin().get("/v1/organizations").json();
        let all = found["data"].as_array().expect("a list").clone();
        all.into_iter().find(|one| one["id"] == json!(organization)).expect("the organization")
    };
    let team = gatekeeper.team(&json!({"name": name, "organization": organization, "budgets": budget(25)}));
    let parent = gatekeeper.key(&json!({"name": "parent", "team": team.id, "budgets": budget(20)}));
    let keys = ["a", "b"].map(|name| gatekeeper.key(&json!({"name": name, "parent": parent.id, "budgets": budget(12)})));
    let mut paths = vec![format!("/v1/teams/{}", team.id), "/v1/organizations".to_owned()];
    paths.extend(keys.iter().chain([&parent]).map(|key| format!("/v1/keys/{}", key.id)));
    let (served, _) = raced(&race, gatekeeper, &keys, &paths);
    let least = race.least(20 * race.cost).min(2 * race.least(12 * race.cost));
    assert!((least..=20).contains(&served), "seed {seed}: {served} served, at least {least} of at most 20 expected");
    let of_keys: i128 = keys.iter().map(|key| spent(&gatekeeper.admin().get(&format!("/v1/keys/{}", key.id)).json())).sum();
    let of_team = spent(&gatekeeper.admin().get(&paths[0]).json());
    let bill = billed(upstream, from);
    assert_eq!((of_keys, of_team, spent(&of_organization(gatekeeper))), (bill, bill, bill), "seed {seed}");
    assert_eq!(spent(&gatekeeper.admin().get(&format!("/v1/keys/{}", parent.id)).json()), of_team);
}
