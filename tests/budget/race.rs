//! Race: 500 requests, 50 concurrent, against a limit of 20 times the true cost. At most 20 are served, at least as many as
//! the ceiling allows, and spent plus held never exceeds the limit.

use std::path::Path;
use std::sync::Mutex;

use gatekeeper::domain::id::BudgetId;
use serde_json::Value;

use super::call::{Call, SeededRng, is_complete};
use super::sampler::{SampleCounts, budgets, sample_while};
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::instance::Instance;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, Setup, text};
use crate::harness::upstream::{BillLine, Upstream};
use crate::harness::workers::run_workers;
use crate::harness::{pico, print_figure, repetitions, usd};

pub const REQUESTS: usize = 500;
pub const CONCURRENCY: usize = 50;
/// Pico-dollars per token of the harness's providers.
const INPUT: u64 = 1_000_000;
const OUTPUT: u64 = 5_000_000;

/// One race: true cost of a call, the calls, and the requests that were served completely so far.
pub struct Race {
    pub cost: i128,
    calls: Vec<Call>,
    completed: Mutex<Vec<String>>,
}

impl Race {
    /// Random sizes, pace, dialects, streaming and caps.
    pub fn from_seed(seed: u64, upstream: &Upstream) -> Race {
        let mut rng = SeededRng::new(seed);
        let (input, output) = (rng.between(5, 40), rng.between(20, 60));
        // longer than the interval of the sampler
        upstream.respond_with(model::with_usage(input, output).delay_ms(rng.between(8, 16)));
        let cap = output + rng.between(0, 40);
        let with_cap = rng.between(0, 2) > 0;
        let calls = (0..REQUESTS).map(|_| {
            let streamed = rng.next().is_multiple_of(2);
            let call = if rng.next().is_multiple_of(2) {
                Call::chat()
            } else {
                Call::messages()
            }
            .streamed(streamed);
            // the output cap is optional in chat and required in messages
            if call.messages || with_cap {
                call.at_most(cap)
            } else {
                call
            }
        });
        Race {
            cost: i128::from(input * INPUT + output * OUTPUT),
            calls: calls.collect(),
            completed: Mutex::default(),
        }
    }

    fn run(&self, gatekeeper: &Instance, keys: &[Key]) -> Vec<Response> {
        let connect = |worker: usize| gatekeeper.user(&keys[worker % keys.len()]).connect();
        run_workers(
            CONCURRENCY,
            self.calls.len(),
            connect,
            |connection, number| {
                let response = self.calls[number].by(connection);
                if let Some(id) = response.header("x-gatekeeper-request-id")
                    && response.status == 200
                {
                    let mut completed = self.completed.lock().expect("no worker panicked");
                    completed.push(id.to_owned());
                }
                response
            },
        )
    }

    /// Ids of the requests that were served completely so far.
    pub fn completed(&self) -> Vec<String> {
        self.completed.lock().expect("no worker panicked").clone()
    }

    /// Largest ceiling of the calls, with the smallest cap of the gateway where a call has none.
    fn ceiling(&self) -> i128 {
        let of = |call: &Call| {
            let bytes = call.body().to_string().len() as i128;
            bytes * i128::from(INPUT)
                + i128::from(call.max_tokens.unwrap_or(256)) * i128::from(OUTPUT)
        };
        self.calls.iter().map(of).max().expect("a race has calls")
    }

    /// Smallest number of served calls: ⌊(limit − ceiling) / cost⌋ + 1.
    pub fn served_min(&self, limit: i128) -> i128 {
        (limit - self.ceiling()).div_euclid(self.cost) + 1
    }
}

/// Checks that every response is complete or a budget refusal; returns the number of served calls.
pub fn count_served(responses: &[Response]) -> i128 {
    let mut served = 0;
    for response in responses {
        match response.status {
            200 => {
                assert!(is_complete(response), "{}", response.text());
                served += 1;
            }
            402 => assert!(
                matches!(&*response.error_type(), "budget_exceeded" | "billing_error"),
                "{}",
                response.text()
            ),
            429 => {
                assert!(
                    matches!(&*response.error_type(), "budget_held" | "rate_limit_error"),
                    "{}",
                    response.text()
                );
                assert!(
                    response.header("retry-after").is_some(),
                    "429 without retry-after"
                );
            }
            other => panic!("{other}: {}", response.text()),
        }
    }
    served
}

/// Runs the race while the sampler watches the budgets.
pub fn run_sampled(
    race: &Race,
    gateway: &InProcessGateway,
    keys: &[Key],
    budgets: &[BudgetId],
) -> (Vec<Response>, SampleCounts) {
    sample_while(gateway.ledger(), budgets, || race.run(gateway, keys))
}

pub fn start_gateway(upstream: &Upstream) -> InProcessGateway {
    setup(upstream).start_in_process()
}

/// Starts another gateway, on the books that the command line restores from a backup of this one.
pub fn start_gateway_on_backup(
    backup: &Path,
    gateway: &InProcessGateway,
    upstream: &Upstream,
) -> InProcessGateway {
    setup(upstream).start_in_process_on_backup(backup, gateway)
}

fn setup(upstream: &Upstream) -> Setup {
    Gatekeeper::with_upstream(upstream).provider(&Provider::anthropic("claude", upstream))
}

/// Amount billed by the upstream after the first `from` lines.
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
fn race_of_500_requests_overspends_no_budget() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream);
    let seeds = repetitions("GK_RACE_SEEDS", 3);
    let (mut fewest, mut samples_total) = (20, SampleCounts::default());
    for seed in 0..seeds as u64 {
        let race = Race::from_seed(seed, &upstream);
        let limit = 20 * race.cost;
        let team = gatekeeper.team_with_budget(&format!("race-{seed}"), &usd(limit));
        let key = gatekeeper.key_of(&team);
        let from = upstream.bill().len();
        let path = format!("/v1/teams/{}", team.id);
        let of_team = budgets(&gatekeeper.admin().get(&path).json());
        let (responses, samples) = run_sampled(&race, &gatekeeper, &[key], &of_team);
        let served = count_served(&responses);
        samples_total.add(samples);
        let least = race.served_min(limit);
        assert!(
            (least..=20).contains(&served),
            "seed {seed}: {served} served, at least {least} of at most 20 expected"
        );
        let booked = spent(&gatekeeper.admin().get(&path).json()["budgets"][0]);
        assert_eq!(
            usd(booked),
            usd(billed(&upstream, from)),
            "seed {seed}: spent equals the upstream's bill"
        );
        assert_eq!(usd(booked), usd(served * race.cost));
        fewest = fewest.min(served);
    }
    let SampleCounts { all, held } = samples_total;
    print_figure(
        "race",
        &format!(
            "{seeds} seeds, {REQUESTS} requests each, {CONCURRENCY} at once: {fewest} to 20 served of 20 that fit, \
             {held} of {all} looks saw holds"
        ),
    );
}
