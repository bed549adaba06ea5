//! The race: a limit of twenty times the true cost, five hundred requests, fifty at once. Never more than twenty are
//! served, never fewer than the ceiling allows, and nobody ever sees more spent and held than the limit.

use gatekeeper::domain::id::BudgetId;
use serde_json::Value;

use super::call::{Call, SeededRng, is_whole};
use super::sampler::{Looks, budgets, watched};
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::instance::Instance;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::upstream::{BillLine, Upstream};
use crate::harness::workers::run_workers;
use crate::harness::{pico, print_figure, repetitions, usd};

pub const REQUESTS: usize = 500;
pub const AT_ONCE: usize = 50;
/// Pico-dollars per token of the harness's providers.
const INPUT: u64 = 1_000_000;
const OUTPUT: u64 = 5_000_000;

/// One race: what a call truly costs, and how the callers ask.
pub struct Race {
    pub cost: i128,
    calls: Vec<Call>,
}

impl Race {
    /// Sizes, pace, dialects, manners and caps as the seed has them.
    pub fn seeded(seed: u64, upstream: &Upstream) -> Race {
        let mut seeded = SeededRng::new(seed);
        let (input, output) = (seeded.between(5, 40), seeded.between(20, 60));
        // longer than the sampler blinks
        upstream.respond_with(model::with_usage(input, output).delay_ms(seeded.between(8, 16)));
        let cap = output + seeded.between(0, 40);
        let with_cap = seeded.between(0, 2) > 0;
        let calls = (0..REQUESTS).map(|_| {
            let streamed = seeded.next().is_multiple_of(2);
            let call = if seeded.next().is_multiple_of(2) {
                Call::chat()
            } else {
                Call::messages()
            }
            .streamed(streamed);
            // chat may leave the cap to the gateway; messages must name one
            if call.messages || with_cap {
                call.at_most(cap)
            } else {
                call
            }
        });
        Race {
            cost: i128::from(input * INPUT + output * OUTPUT),
            calls: calls.collect(),
        }
    }

    fn run(&self, gatekeeper: &Instance, keys: &[Key]) -> Vec<Response> {
        let connect = |worker: usize| gatekeeper.user(&keys[worker % keys.len()]).connect();
        run_workers(AT_ONCE, self.calls.len(), connect, |connection, number| {
            self.calls[number].by(connection)
        })
    }

    /// The largest ceiling of any call, had it the least cap that the gateway chooses.
    fn ceiling(&self) -> i128 {
        let of = |call: &Call| {
            let bytes = call.body().to_string().len() as i128;
            bytes * i128::from(INPUT)
                + i128::from(call.max_tokens.unwrap_or(256)) * i128::from(OUTPUT)
        };
        self.calls.iter().map(of).max().expect("a race has calls")
    }

    /// ⌊(limit − ceiling) / cost⌋ + 1: fewer must not be served.
    pub fn least(&self, limit: i128) -> i128 {
        (limit - self.ceiling()).div_euclid(self.cost) + 1
    }
}

/// Served or refused in the right words; how many were served.
pub fn served(answers: &[Response]) -> i128 {
    let mut served = 0;
    for answer in answers {
        match answer.status {
            200 => {
                assert!(is_whole(answer), "{}", answer.text());
                served += 1;
            }
            402 => assert!(
                matches!(&*answer.error_type(), "budget_exceeded" | "billing_error"),
                "{}",
                answer.text()
            ),
            429 => {
                assert!(
                    matches!(&*answer.error_type(), "budget_held" | "rate_limit_error"),
                    "{}",
                    answer.text()
                );
                assert!(
                    answer.header("retry-after").is_some(),
                    "429 without retry-after"
                );
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    served
}

/// Runs the race under the eyes of the sampler: the answers, how often it looked.
pub fn raced(
    race: &Race,
    gateway: &InProcessGateway,
    keys: &[Key],
    budgets: &[BudgetId],
) -> (Vec<Response>, Looks) {
    watched(gateway.ledger(), budgets, || race.run(gateway, keys))
}

pub fn house(upstream: &Upstream) -> InProcessGateway {
    Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .start_in_process()
}

/// What the upstream has billed since `from` lines ago.
fn billed(upstream: &Upstream, from: usize) -> i128 {
    upstream.wait_until_idle();
    cost_of(&upstream.bill()[from..])
}

pub fn cost_of(lines: &[BillLine]) -> i128 {
    lines.iter().map(|line| line.cost(INPUT, OUTPUT)).sum()
}

pub fn spent(budget: &Value) -> i128 {
    pico(&text(budget, "spent"))
}

#[test]
fn no_budget_is_overspent_by_five_hundred_requests_fifty_at_once() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream);
    let seeds = repetitions("GK_RACE_SEEDS", 3);
    let (mut fewest, mut looked) = (20, Looks::default());
    for seed in 0..seeds as u64 {
        let race = Race::seeded(seed, &upstream);
        let limit = 20 * race.cost;
        let team = gatekeeper.team_with_budget(&format!("race-{seed}"), &usd(limit));
        let key = gatekeeper.key_of(&team);
        let from = upstream.bill().len();
        let path = format!("/v1/teams/{}", team.id);
        let of_team = budgets(&gatekeeper.admin().get(&path).json());
        let (answers, looks) = raced(&race, &gatekeeper, &[key], &of_team);
        let served = served(&answers);
        looked.add(looks);
        let least = race.least(limit);
        assert!(
            (least..=20).contains(&served),
            "seed {seed}: {served} served, at least {least} of at most 20 expected"
        );
        let booked = spent(&gatekeeper.admin().get(&path).json()["budgets"][0]);
        assert_eq!(
            usd(booked),
            usd(billed(&upstream, from)),
            "seed {seed}: the budget and the upstream's bill"
        );
        assert_eq!(usd(booked), usd(served * race.cost));
        fewest = fewest.min(served);
    }
    let Looks { all, held } = looked;
    print_figure(
        "race",
        &format!(
            "{seeds} seeds, {REQUESTS} requests each, {AT_ONCE} at once: {fewest} to 20 served of 20 that fit, \
             {held} of {all} looks saw holds"
        ),
    );
}
