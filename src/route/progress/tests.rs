//! Scripts of failures against plans: the decision after each attempt, its target and its wait.

use super::*;
use crate::config::{RouteConfig, RoutingConfig, Strategy, TargetConfig};
use crate::domain::attempt::FailureClass::*;
use crate::price::Sheet;
use crate::route::table::RouteTable;
use crate::route::table::tests::local_provider;

const MOMENT: Moment = Moment {
    boot_ms: 0,
    random: 100,
    conversation: None,
    tokens: 0,
};

fn target(model: &str, weight: u32, order: u32) -> TargetConfig {
    TargetConfig {
        model: model.to_owned(),
        weight,
        order,
        limits: Default::default(),
        timeouts: Default::default(),
    }
}

fn route(name: &str, targets: &[&str]) -> RouteConfig {
    RouteConfig {
        cache: Default::default(),
        name: name.to_owned(),
        targets: targets.iter().map(|model| target(model, 1, 0)).collect(),
        strategy: Strategy::Ordered,
        retry: Default::default(),
        affinity: false,
        timeouts: Default::default(),
        defaults: Vec::new(),
        overrides: Vec::new(),
        fallbacks: Vec::new(),
        context_fallbacks: Vec::new(),
        content_fallbacks: Vec::new(),
        mirror: None,
    }
}

fn progress_of(routes: Vec<RouteConfig>, asked: &str) -> RouteProgress {
    let config = RoutingConfig {
        routes,
        ..RoutingConfig::default()
    };
    let provider = local_provider(&["a", "b", "c", "d"]);
    let table = RouteTable::new(&[provider], Arc::new(Sheet::embedded())).with_routing(&config);
    let candidates = |names: &[String]| -> Vec<Candidate> {
        let resolved = names
            .iter()
            .map(|name| table.resolve(name).expect("a fallback"));
        resolved.flat_map(|found| found.into_candidates()).collect()
    };
    let resolved = table.resolve(asked).expect("a route");
    let of_route = resolved.route.as_ref().expect("a route").config.clone();
    RouteProgress::new(
        Plan {
            targets: resolved.into_candidates().collect(),
            fallbacks: candidates(&of_route.fallbacks),
            context_fallbacks: candidates(&of_route.context_fallbacks),
            content_fallbacks: candidates(&of_route.content_fallbacks),
        },
        MOMENT,
    )
}

/// Plays failures and returns the targets that were asked, and the last decision.
fn play(
    progress: &mut RouteProgress,
    failures: &[(FailureClass, Option<u64>)],
) -> (String, String) {
    let (mut asked, mut last) = (Vec::new(), Decision::GiveUp);
    for (class, retry_after_s) in failures {
        let Some(step) = progress.take_next() else {
            break;
        };
        progress.begin();
        let model = &step.candidate.deployment().model;
        asked.push(match step.wait.as_millis() {
            0 => model.clone(),
            wait_ms => format!("{model}@{wait_ms}"),
        });
        let failed = FailedAttempt {
            class: *class,
            retry_after_s: *retry_after_s,
            content_sent: false,
        };
        (last, _) = progress.decide(failed, MOMENT);
    }
    (asked.join(" "), last.as_str().to_owned())
}

#[test]
fn failures_lead_to_targets_repetitions_and_fallbacks_in_this_order() {
    let with_fallback = || {
        let mut smart = route("smart", &["local/a", "local/b"]);
        smart.retry.max_retries = 1;
        smart.fallbacks = vec!["local/c".into()];
        smart.context_fallbacks = vec!["local/d".into()];
        smart
    };
    for (failures, asked, last) in [
        (vec![Overloaded], "a", "next_target"),
        (vec![Overloaded, Overloaded], "a b", "next_target"),
        (
            vec![Overloaded, Overloaded, Broken],
            "a b a@100",
            "fallback",
        ),
        (vec![TimedOut; 4], "a b a@100 c", "exhausted"),
        (vec![BadCredential; 3], "a b c", "exhausted"),
        (
            vec![ModelNotFound, ConnectFailed, Broken],
            "a b b@100",
            "fallback",
        ),
        (vec![ContextTooLong], "a", "fallback"),
        (vec![ContextTooLong, Broken], "a d", "retry"),
        (vec![ContentFiltered], "a", "exhausted"),
        (vec![BadRequest], "a", "give_up"),
        (vec![Gateway], "a", "give_up"),
    ] {
        let mut progress = progress_of(vec![with_fallback()], "smart");
        let failures: Vec<_> = failures.into_iter().map(|class| (class, None)).collect();
        let (found, decision) = play(&mut progress, &failures);
        assert_eq!(
            (found.as_str(), decision.as_str()),
            (asked, last),
            "{failures:?}"
        );
    }
}

#[test]
fn retry_after_is_obeyed_up_to_its_bound_and_else_left_to_the_client() {
    let one = || progress_of(vec![route("one", &["local/a"])], "one");
    let within = [(RateLimited, Some(7)), (RateLimited, None)];
    assert_eq!(
        play(&mut one(), &within),
        ("a a@7000".into(), "retry".into())
    );
    let beyond = [(RateLimited, Some(11)), (RateLimited, None)];
    assert_eq!(play(&mut one(), &beyond), ("a".into(), "exhausted".into()));
}

#[test]
fn attempts_are_bounded_and_a_class_outside_retry_on_ends_them() {
    let mut bounded = route("one", &["local/a"]);
    bounded.retry.max_attempts = 3;
    bounded.retry.max_retries = 10;
    let (asked, last) = play(&mut progress_of(vec![bounded], "one"), &[(Broken, None); 5]);
    assert_eq!(
        (asked.as_str(), last.as_str()),
        ("a a@100 a@100", "exhausted")
    );
    let mut narrow = route("one", &["local/a", "local/b"]);
    narrow.retry.retry_on = crate::domain::attempt::FailureClasses::of(&[TimedOut]);
    let (asked, last) = play(&mut progress_of(vec![narrow], "one"), &[(Broken, None); 2]);
    assert_eq!((asked.as_str(), last.as_str()), ("a", "give_up"));
}

#[test]
fn higher_order_is_used_once_the_lower_one_is_tried() {
    let mut spare = route("spare", &[]);
    spare.strategy = Strategy::Weighted;
    spare.targets = vec![
        target("local/a", 1, 1),
        target("local/b", 1, 0),
        target("local/c", 9, 0),
    ];
    let mut progress = progress_of(vec![spare], "spare");
    let (asked, _) = play(&mut progress, &[(Overloaded, None); 3]);
    assert_eq!(asked, "c b a");
}

#[test]
fn skipped_target_is_no_attempt_and_is_not_tried_again() {
    let mut progress = progress_of(vec![route("two", &["local/a", "local/b"])], "two");
    assert_eq!(progress.take_next().map(|step| step.attempt), Some(1));
    progress.skip(MOMENT);
    let step = progress.take_next().expect("the second target");
    assert_eq!(
        (step.attempt, step.candidate.deployment().model.as_str()),
        (1, "b")
    );
    progress.skip(MOMENT);
    assert!(progress.take_next().is_none());
}
