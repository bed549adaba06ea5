//! Queue admission under load: a request that fits once holds settle is never refused.

use super::call::{Call, is_complete};
use super::sampler::{budgets, sample_while};
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;
use crate::harness::usd;
use crate::harness::workers::run_workers;

/// Cost of 10 input tokens at 1 micro-dollar and 20 output tokens at 5.
const COST: i128 = 110_000_000;

/// Long queue deadline: on a busy machine the last request may wait longer than the default of 10 s.
const LONG_QUEUE_WAIT: &str = "[limits]\nqueue_wait_s = 55";

/// Sends 150 requests, 50 concurrent, to a budget for 200; returns the number of served requests.
fn served_of_150(call: impl Fn(usize) -> Call + Sync) -> usize {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20).delay_ms(2));
    let claude = Provider::anthropic("claude", &upstream);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .provider(&claude)
        .setting(LONG_QUEUE_WAIT)
        .start();
    let team = gatekeeper.team_with_budget("large", &usd(200 * COST));
    let key = gatekeeper.key_of(&team);
    let call_once = |connection: &mut _, number| {
        let response = call(number).by(connection);
        assert!(
            response.status == 200 && is_complete(&response),
            "request {number}: {} {}",
            response.status,
            response.text()
        );
    };
    let served = run_workers(50, 150, |_| gatekeeper.user(&key).connect(), call_once).len();
    upstream.wait_until_idle();
    assert_eq!(gatekeeper.usage_total(), 150 * COST);
    served
}

#[test]
fn requests_within_budget_with_max_tokens_are_all_served() {
    assert_eq!(
        served_of_150(|number| if number % 2 == 0 {
            Call::chat()
        } else {
            Call::messages()
        }
        .at_most(400)),
        150
    );
}

#[test]
fn streams_within_budget_with_max_tokens_are_all_served() {
    assert_eq!(
        served_of_150(|_| Call::chat().at_most(1000).streamed(true)),
        150
    );
}

#[test]
fn requests_within_budget_without_max_tokens_are_all_served() {
    assert_eq!(
        served_of_150(|number| Call::chat().streamed(number % 2 == 0)),
        150
    );
}

/// Each call has a ceiling of $5.10 and costs $0.05: four fit into $25 at first, one near the end.
#[test]
fn requests_with_high_ceilings_queue_and_are_all_served() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 8).delay_ms(50));
    let expensive = Provider::openai("up", &upstream).price("1000", "5000");
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&expensive)
        .setting(LONG_QUEUE_WAIT)
        .start_in_process();
    let team = gatekeeper.team_with_budget("agents", "25");
    let key = gatekeeper.key_of(&team);
    let of_team = budgets(
        &gatekeeper
            .admin()
            .get(&format!("/v1/teams/{}", team.id))
            .json(),
    );
    let (responses, _) = sample_while(gatekeeper.ledger(), &of_team, || {
        run_workers(
            40,
            320,
            |_| gatekeeper.user(&key).connect(),
            |connection, _| Call::chat().at_most(1_000).by(connection),
        )
    });
    let refusal: Vec<String> = responses
        .iter()
        .filter(|response| response.status != 200)
        .map(|response| response.text())
        .collect();
    assert_eq!(refusal, Vec::<String>::new());
    assert_eq!(usd(gatekeeper.usage_total()), "16");
    assert!(
        upstream.in_flight_max() <= 4,
        "{} at once",
        upstream.in_flight_max()
    );
}
