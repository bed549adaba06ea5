//! What fits is served: a request that only has to wait for the holds of others is never refused.

use super::call::{Call, is_whole};
use super::sampler::{budgets, watched};
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;
use crate::harness::usd;
use crate::harness::workers::run_workers;

/// 10 tokens in and 20 out, at 1 and 5 micro-dollars.
const COST: i128 = 110_000_000;

/// Whoever fits is served in the end. On a machine that is busy with other things the end of the line may be further away
/// than the usual 10 s.
const PATIENT: &str = "[limits]\nqueue_wait_s = 55";

/// 150 requests, 50 at once, where 200 would fit: how many were served.
fn served_of_150(call: impl Fn(usize) -> Call + Sync) -> usize {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20).delay_ms(2));
    let claude = Provider::anthropic("claude", &upstream);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .provider(&claude)
        .setting(PATIENT)
        .start();
    let team = gatekeeper.team_with_budget("roomy", &usd(200 * COST));
    let key = gatekeeper.key_of(&team);
    let ask = |connection: &mut _, number| {
        let answer = call(number).by(connection);
        assert!(
            answer.status == 200 && is_whole(&answer),
            "request {number}: {} {}",
            answer.status,
            answer.text()
        );
    };
    let served = run_workers(50, 150, |_| gatekeeper.user(&key).connect(), ask).len();
    upstream.wait_until_idle();
    assert_eq!(gatekeeper.usage_total(), 150 * COST);
    served
}

#[test]
fn nobody_is_refused_who_fits_with_max_tokens() {
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
fn nobody_is_refused_who_fits_with_max_tokens_and_a_stream() {
    assert_eq!(
        served_of_150(|_| Call::chat().at_most(1000).streamed(true)),
        150
    );
}

#[test]
fn nobody_is_refused_who_fits_without_max_tokens() {
    assert_eq!(
        served_of_150(|number| Call::chat().streamed(number % 2 == 0)),
        150
    );
}

/// Each call could cost $5.10 and costs $0.05: four fit into $25 at first, and one when most of it is spent.
#[test]
fn forty_agents_who_could_each_use_up_a_fifth_of_the_budget_are_all_served() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 8).delay_ms(50));
    let dear = Provider::openai("up", &upstream).price("1000", "5000");
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&dear)
        .setting(PATIENT)
        .start_in_process();
    let team = gatekeeper.team_with_budget("agents", "25");
    let key = gatekeeper.key_of(&team);
    let of_team = budgets(
        &gatekeeper
            .admin()
            .get(&format!("/v1/teams/{}", team.id))
            .json(),
    );
    let (answers, _) = watched(gatekeeper.ledger(), &of_team, || {
        run_workers(
            40,
            320,
            |_| gatekeeper.user(&key).connect(),
            |agent, _| Call::chat().at_most(1_000).by(agent),
        )
    });
    let refused: Vec<String> = answers
        .iter()
        .filter(|answer| answer.status != 200)
        .map(|answer| answer.text())
        .collect();
    assert_eq!(refused, Vec::<String>::new());
    assert_eq!(usd(gatekeeper.usage_total()), "16");
    assert!(
        upstream.in_flight_max() <= 4,
        "{} at once",
        upstream.in_flight_max()
    );
}
