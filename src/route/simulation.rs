//! Simulation of requests over time against one route: arrivals, latencies and failures by script, the clock moved from event to event.
//! Asserts shares, attempts and their times without a server.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{RouteConfig, RoutingConfig, Strategy, TargetConfig};
use crate::domain::attempt::FailureClass;
use crate::price::Sheet;
use crate::route::table::tests::local_provider;
use crate::route::{FailedAttempt, Moment, Plan, RouteProgress, RouteTable, Step, mix};

/// Latency of a call at this model and time, and its failure.
type Behaviour<'a> = dyn Fn(&str, u64) -> (u64, Option<FailureClass>) + 'a;

enum Event {
    Arrival(u64),
    Begin(Box<SimulatedRequest>),
    End(Box<SimulatedRequest>, Option<FailureClass>, u64),
}

struct SimulatedRequest {
    number: u64,
    progress: RouteProgress,
    step: Step,
}

impl SimulatedRequest {
    fn new(table: &RouteTable, number: u64, moment: Moment) -> SimulatedRequest {
        let resolved = table.resolve("r").expect("the route");
        let plan = Plan {
            targets: resolved.into_candidates().collect(),
            ..Plan::default()
        };
        let mut progress = RouteProgress::new(plan, moment);
        let step = progress.take_next().expect("a target");
        SimulatedRequest {
            number,
            progress,
            step,
        }
    }

    /// Fails the current attempt; the next one, if there is one.
    fn fail(&mut self, class: FailureClass, moment: Moment) -> Option<Step> {
        if let Some(call) = &mut self.step.call {
            drop(call.failed(moment.boot_ms, class, None));
        }
        let failed = FailedAttempt {
            class,
            retry_after_s: None,
            content_sent: false,
        };
        self.progress.decide(failed, moment);
        self.progress.take_next()
    }
}

#[derive(Default)]
struct Report {
    requests: u64,
    failed: u64,
    /// time and model of each attempt
    attempts: Vec<(u64, String)>,
}

impl Report {
    fn count(&self, model: &str) -> usize {
        self.attempts.iter().filter(|(_, of)| of == model).count()
    }
}

fn table(targets: &[(&str, u32)], strategy: Strategy) -> RouteTable {
    let target = |(model, weight): &(&str, u32)| TargetConfig {
        model: format!("local/{model}"),
        weight: *weight,
        order: 0,
        limits: Default::default(),
        timeouts: Default::default(),
    };
    let route = RouteConfig {
        cache: Default::default(),
        name: "r".to_owned(),
        targets: targets.iter().map(target).collect(),
        strategy,
        retry: Default::default(),
        affinity: false,
        timeouts: Default::default(),
        defaults: Vec::new(),
        overrides: Vec::new(),
        fallbacks: Vec::new(),
        context_fallbacks: Vec::new(),
        content_fallbacks: Vec::new(),
        mirror: None,
    };
    let routing = RoutingConfig {
        routes: vec![route],
        ..RoutingConfig::default()
    };
    let models: Vec<&str> = targets.iter().map(|(model, _)| *model).collect();
    let provider = local_provider(&models);
    RouteTable::new(&[provider], Arc::new(Sheet::embedded())).with_routing(&routing)
}

/// Requests every so many ms for a time; then the running ones end.
fn simulate(
    table: &RouteTable,
    interval_us: u64,
    duration_ms: u64,
    behaviour: &Behaviour<'_>,
) -> Report {
    let mut report = Report::default();
    let mut queue: BTreeMap<(u64, u64), Event> = BTreeMap::new();
    let mut sequence = 0;
    let mut schedule = |queue: &mut BTreeMap<(u64, u64), Event>, at_ms, event| {
        sequence += 1;
        queue.insert((at_ms, sequence), event);
    };
    for number in 0..duration_ms * 1_000 / interval_us {
        let at_ms = number * interval_us / 1_000;
        schedule(&mut queue, at_ms, Event::Arrival(number));
    }
    while let Some(((now_ms, _), event)) = queue.pop_first() {
        let moment = |number: u64, attempts: u8| Moment {
            boot_ms: now_ms,
            random: mix(mix(number) ^ u64::from(attempts)),
            ..Moment::default()
        };
        match event {
            Event::Arrival(number) => {
                report.requests += 1;
                let request = SimulatedRequest::new(table, number, moment(number, 0));
                schedule(&mut queue, now_ms, Event::Begin(Box::new(request)));
            }
            Event::Begin(mut running) => {
                running.progress.begin();
                let model = running.step.candidate.deployment().model.clone();
                let (latency_ms, failure) = behaviour(&model, now_ms);
                report.attempts.push((now_ms, model));
                let end = Event::End(running, failure, latency_ms);
                schedule(&mut queue, now_ms + latency_ms, end);
            }
            Event::End(mut running, None, latency_ms) => {
                if let Some(call) = &mut running.step.call {
                    drop(call.succeeded(now_ms, Some(latency_ms)));
                }
            }
            Event::End(mut running, Some(class), _) => {
                let at = moment(running.number, running.progress.attempts());
                match running.fail(class, at) {
                    None => report.failed += 1,
                    Some(step) => {
                        let at_ms = now_ms + step.wait.as_millis() as u64;
                        running.step = step;
                        schedule(&mut queue, at_ms, Event::Begin(running));
                    }
                }
            }
        }
    }
    report
}

/// Default of `limits.probe_interval_s`.
const PROBE_INTERVAL_MS: u64 = 5_000;
const EVEN: [(&str, u32); 3] = [("a", 1), ("b", 1), ("c", 1)];

#[test]
fn total_outage_is_not_multiplied_and_its_attempts_come_without_spikes() {
    for class in [FailureClass::ConnectFailed, FailureClass::Overloaded] {
        for strategy in [Strategy::Weighted, Strategy::LeastBusy, Strategy::Fastest] {
            let table = table(&EVEN, strategy);
            let report = simulate(&table, 2_000, 30_000, &|_, _| (1, Some(class)));
            assert_eq!((report.requests, report.failed), (15_000, 15_000));
            let attempts = report.attempts.len() as u64;
            // ten extra attempts per second, those of two seconds saved up, and of a second in which the last ones back off
            let floor = 10 * 33;
            assert!(attempts <= 15_000 + 1_500 + floor, "{attempts} attempts");
            let mut histogram = vec![0_u64; 320];
            for (at_ms, _) in &report.attempts {
                histogram[(at_ms / 100) as usize] += 1;
            }
            // 50 requests arrive in 100 ms; the first has what was saved up
            assert!(histogram[0] <= 50 + 5 + 20 + 1, "{}", histogram[0]);
            let highest = histogram[1..].iter().max();
            assert!(highest.is_some_and(|most| *most <= 75), "{histogram:?}");
        }
    }
}

#[test]
fn weighted_and_least_busy_keep_the_weights_within_2_percent() {
    let weights = [("a", 1), ("b", 3), ("c", 6)];
    for strategy in [Strategy::Weighted, Strategy::LeastBusy] {
        let table = table(&weights, strategy);
        let report = simulate(&table, 10_000, 100_000, &|_, _| (500, None));
        for run in report.attempts.windows(1_000).step_by(100) {
            for (model, weight) in weights {
                let count = run.iter().filter(|(_, of)| of == model).count() as i64;
                let expected = i64::from(weight) * 100;
                assert!(
                    (count - expected).abs() <= 20,
                    "{strategy:?} {model}: {count}"
                );
            }
        }
    }
}

#[test]
fn least_busy_avoids_the_deployment_whose_calls_take_long() {
    let table = table(&EVEN, Strategy::LeastBusy);
    let latency = |model: &str, _| (if model == "a" { 4_000 } else { 200 }, None);
    let report = simulate(&table, 10_000, 60_000, &latency);
    let share = report.count("a") * 100 / report.attempts.len();
    assert!(share < 10, "{share} %");
}

#[test]
fn slow_deployment_gets_few_calls_under_fastest() {
    // 20 times the others', as every call and as one in ten
    for slow_each in [1, 10] {
        let table = table(&EVEN, Strategy::Fastest);
        let number = std::cell::Cell::new(0_u64);
        let latency = move |model: &str, _| {
            number.set(number.get() + 1);
            let is_slow = model == "a" && number.get().is_multiple_of(slow_each);
            (if is_slow { 2_000 } else { 100 }, None)
        };
        let report = simulate(&table, 20_000, 200_000, &latency);
        let (slow, all) = (report.count("a"), report.attempts.len());
        assert!(
            slow * 100 < all * 3,
            "{slow} of {all} with one in {slow_each}"
        );
        assert!(slow > 0, "never tried with one in {slow_each}");
    }
}

#[test]
fn dead_deployment_leaves_the_rotation_within_a_second_and_returns_within_one_probe() {
    let table = table(&EVEN, Strategy::Weighted);
    let (died_ms, healed_ms) = (10_000, 63_210);
    let latency = |model: &str, now_ms| {
        let is_dead = model == "a" && (died_ms..healed_ms).contains(&now_ms);
        (5, is_dead.then_some(FailureClass::ConnectFailed))
    };
    // 50 requests per second
    let report = simulate(&table, 20_000, 100_000, &latency);
    assert_eq!(report.failed, 0);
    let of_dead: Vec<u64> = report
        .attempts
        .iter()
        .filter(|(_, model)| model == "a")
        .map(|(at_ms, _)| *at_ms)
        .collect();
    let while_dead = of_dead
        .iter()
        .filter(|at| (died_ms..healed_ms).contains(*at));
    let (burst, probes): (Vec<u64>, Vec<u64>) =
        while_dead.partition(|at_ms| **at_ms < died_ms + 1_000);
    assert!(burst.len() <= 6, "{burst:?}");
    // afterwards one probe per interval, at the next request
    let intervals = (healed_ms - died_ms) / PROBE_INTERVAL_MS;
    assert!(
        (intervals - 1..=intervals).contains(&(probes.len() as u64)),
        "{probes:?}"
    );
    assert_recovery(&of_dead, healed_ms, 33);
}

/// Asserts that the deployment is probed within an interval after it healed, and has its share in the second after that.
fn assert_recovery(of_dead: &[u64], healed_ms: u64, share_percent: usize) {
    let returned_ms = of_dead.iter().find(|at| **at >= healed_ms).copied();
    let returned_ms = returned_ms.expect("the deployment returns");
    // requests come every 20 ms, and answers take at most 500 ms to their first content
    assert!(
        returned_ms <= healed_ms + PROBE_INTERVAL_MS + 20,
        "{returned_ms}"
    );
    let from_ms = returned_ms + 520;
    let second = of_dead
        .iter()
        .filter(|at| (from_ms..from_ms + 1_000).contains(*at));
    let share = second.count() * 100 / 50;
    assert!(
        (share_percent - 3..=share_percent + 3).contains(&share),
        "{share} %"
    );
}

#[test]
fn healed_deployment_returns_within_one_probe_interval_however_it_failed_and_how_long() {
    for class in [
        FailureClass::Broken,
        FailureClass::Overloaded,
        FailureClass::TimedOut,
        FailureClass::BadCredential,
        FailureClass::QuotaExhausted,
        FailureClass::ModelNotFound,
    ] {
        for down_ms in [1_000, 7_000, 61_000, 600_000] {
            // a failure by time-out keeps each probe for two intervals
            let failing_ms = if class == FailureClass::TimedOut {
                10_000
            } else {
                5
            };
            let table = table(&EVEN, Strategy::Weighted);
            let healed_ms = 1_000 + down_ms;
            let latency = |model: &str, now_ms| match (1_000..healed_ms).contains(&now_ms) {
                true if model == "a" => (failing_ms, Some(class)),
                _ => (500, None),
            };
            let report = simulate(&table, 20_000, healed_ms + 10_000, &latency);
            assert_eq!(report.failed, 0, "{class:?} for {down_ms} ms");
            let of_dead = report.attempts.iter().filter(|(_, model)| model == "a");
            let of_dead: Vec<u64> = of_dead.map(|(at_ms, _)| *at_ms).collect();
            assert_recovery(&of_dead, healed_ms, 33);
        }
    }
}

#[test]
fn one_of_three_deployments_flapping_is_not_noticed() {
    for strategy in [Strategy::Weighted, Strategy::LeastBusy, Strategy::Fastest] {
        let table = table(&EVEN, strategy);
        // up and down in turn, 3 s each
        let latency = |model: &str, now_ms: u64| {
            let is_down = model == "a" && (now_ms / 3_000) % 2 == 1;
            (20, is_down.then_some(FailureClass::Broken))
        };
        let report = simulate(&table, 10_000, 120_000, &latency);
        assert!(report.failed * 1_000 < report.requests, "{}", report.failed);
    }
}
