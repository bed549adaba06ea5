//! What fits is served: a request that only has to wait for the holds of others is never refused.

use super::call::{Call, is_whole};
use crate::harness::crowd::at_once;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;
use crate::harness::usd;

/// 10 tokens in and 20 out, at 1 and 5 micro-dollars.
const COST: i128 = 110_000_000;

/// 150 requests, 50 at once, where 200 would fit: how many were served.
fn served_of_150(call: impl Fn(usize) -> Call + Sync) -> usize {
    let upstream = Upstream::start();
    upstream.answers(model::uses(10, 20).delay_ms(2));
    let mut gatekeeper = Gatekeeper::before(&upstream).provider(&Provider::anthropic("claude", &upstream)).starts();
    let team = gatekeeper.team_with_budget("roomy", &usd(200 * COST));
    let key = gatekeeper.key_of(&team);
    let ask = |connection: &mut _, number| {
        let answer = call(number).by(connection);
        assert!(answer.status == 200 && is_whole(&answer), "request {number}: {} {}", answer.status, answer.text());
    };
    let served = at_once(50, 150, |_| gatekeeper.user(&key).connects(), ask).len();
    upstream.waits_until_idle();
    assert_eq!(gatekeeper.usage_total(), 150 * COST);
    served
}

#[test]
fn nobody_is_refused_who_fits_with_max_tokens() {
    assert_eq!(served_of_150(|number| if number % 2 == 0 { Call::chat() } else { Call::messages() }.at_most(400)), 150);
}

#[test]
fn nobody_is_refused_who_fits_with_max_tokens_and_a_stream() {
    assert_eq!(served_of_150(|_| Call::chat().at_most(1000).streamed(true)), 150);
}

#[test]
fn nobody_is_refused_who_fits_without_max_tokens() {
    assert_eq!(served_of_150(|number| Call::chat().streamed(number % 2 == 0)), 150);
}
