//! Invented past of the demo: plays the traffic of some days through the ledger, with a clock that runs through these days. Holds,
//! settlements and refusals are those of the ledger, so budgets, reports and the request log agree as after real traffic. Must only
//! be used on the new folder of a demo.

mod random;
mod traffic;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::teams::{SMALL, SPENDER};
use crate::cli::admin::AdminClient;
use crate::cli::failure::Failure;
use crate::config::Config;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attempt::{AttemptNote, Decision, FailureClass, FailureNote};
use crate::domain::attribution::{Attribution, Tag, UserHash};
use crate::domain::clock::ManualClock;
use crate::domain::event::{CallResult, Flags, Hold, HoldId, Progress, Status, Subject};
use crate::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::domain::usage::Usage;
use crate::meter::{Claim, HoldDenial, HoldError, Ledger, Tokens};
use crate::price::Sheet;
use crate::process::RunningServer;
use crate::route::{Deployment, RouteTable};
use random::Random;
use traffic::{DAY_MS, DemoCall, DemoOutcome, PROFILES};

/// Calls between two waits for the books.
const BATCH: usize = 1_000;
const BOOKS_WAIT_MS: u64 = 60_000;
const HEAD_TIMEOUT_MS: u64 = 60_000;
/// The past ends with a job of the spending team that runs so long.
const JOB_MS: u64 = 40 * 60_000;
const JOB_STEP_MS: u64 = 3_500;
/// Input and output of the job's calls, the largest first: a smaller one follows once the budget has no room.
const JOB_TOKENS: [(u64, u64); 4] = [(40_000, 1_500), (4_000, 600), (400, 100), (40, 10)];

/// Days to invent, and the seed of their traffic.
#[derive(Clone, Copy, Debug)]
pub(super) struct HistoryPlan {
    pub days: u64,
    pub seed: u64,
    /// the present
    pub until_ms: u64,
}

impl HistoryPlan {
    /// Midnight UTC before the first day.
    pub fn start_ms(&self) -> u64 {
        let start_ms = self.until_ms.saturating_sub(self.days * DAY_MS);
        start_ms - start_ms % DAY_MS
    }
}

/// Totals of the invented past.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HistoryTotals {
    pub requests: u64,
    pub refused: u64,
    pub cost: Money,
}

/// A key of the invented past, with the budget above it.
struct PlayedKey {
    organization: OrganizationId,
    team: TeamId,
    key: KeyId,
    budgets: Vec<BudgetId>,
    last_used_ms: AtomicU64,
}

/// Plays the past; the server's clock is `clock` and shows the start of the plan.
pub(super) async fn play(
    running: &RunningServer,
    config: &Config,
    admin: &AdminClient,
    clock: &ManualClock,
    plan: HistoryPlan,
) -> Result<HistoryTotals, Failure> {
    let player = Player {
        ledger: &running.ledger,
        routes: RouteTable::new(&config.providers, Arc::new(Sheet::embedded())),
        keys: create_keys(admin).await?,
        clock,
    };
    let mut totals = HistoryTotals::default();
    let end_ms = plan.until_ms.saturating_sub(JOB_MS);
    for day in 0..=plan.days {
        let calls = traffic::day(plan.seed, plan.start_ms() + day * DAY_MS);
        for (at, call) in calls.iter().enumerate() {
            if call.at_ms >= end_ms {
                break;
            }
            player.play(call, &mut totals)?;
            if at % BATCH == 0 {
                running.store.applied_now(BOOKS_WAIT_MS).await;
            }
        }
        running.store.applied_now(BOOKS_WAIT_MS).await;
    }
    player.play_job(plan, &mut totals)?;
    store_uses(running, &player.uses()).await?;
    clock.advance_to_ms(plan.until_ms);
    Ok(totals)
}

/// Creates a key for each habit; nobody gets to see their secrets.
async fn create_keys(admin: &AdminClient) -> Result<HashMap<&'static str, PlayedKey>, Failure> {
    let teams = admin.list("/v1/teams").await?;
    let mut keys = HashMap::new();
    for profile in &PROFILES {
        let body = json!({"name": profile.key, "team": profile.team});
        let key = admin.post("/v1/keys", &body).await?;
        let team = teams.iter().find(|team| team["name"] == profile.team);
        let played = team.and_then(|team| played_key(team, &key));
        let played = played.ok_or_else(|| Failure::runtime("unreadable answer of the demo"))?;
        keys.insert(profile.key, played);
    }
    Ok(keys)
}

fn played_key(team: &Value, key: &Value) -> Option<PlayedKey> {
    let budgets = team["budgets"].as_array()?.iter();
    Some(PlayedKey {
        organization: OrganizationId::parse(team["organization"].as_str()?)?,
        team: TeamId::parse(team["id"].as_str()?)?,
        key: KeyId::parse(key["id"].as_str()?)?,
        budgets: budgets
            .map(|budget| BudgetId::parse(budget["id"].as_str()?))
            .collect::<Option<_>>()?,
        last_used_ms: AtomicU64::new(0),
    })
}

/// Stores when each key was last used; the next start of the demo reads it.
async fn store_uses(running: &RunningServer, keys: &[(KeyId, u64)]) -> Result<(), Failure> {
    let uses = keys.to_vec();
    let write = running.store.write(move |books| {
        for (key, at_ms) in uses {
            books.put_key_use(key, at_ms)?;
        }
        Ok::<(), ApiError>(())
    });
    write.await.map_err(|error| {
        let message = format!("failed to write the demo's history: {error:?}");
        Failure::runtime(message)
    })
}

/// Plays calls through the ledger.
struct Player<'a> {
    ledger: &'a Ledger,
    routes: RouteTable,
    keys: HashMap<&'static str, PlayedKey>,
    clock: &'a ManualClock,
}

impl Player<'_> {
    /// Keys that were used, and when last.
    fn uses(&self) -> Vec<(KeyId, u64)> {
        let keys = self.keys.values();
        keys.map(|key| (key.key, key.last_used_ms.load(Ordering::Relaxed)))
            .filter(|(_, at_ms)| *at_ms > 0)
            .collect()
    }

    /// Calls of a job that runs until the budget of its team is used up.
    fn play_job(&self, plan: HistoryPlan, totals: &mut HistoryTotals) -> Result<(), Failure> {
        let mut random = Random::of_part(plan.seed, u64::MAX);
        let helpdesk = PROFILES.iter().find(|profile| profile.team == SPENDER);
        let profile = helpdesk.unwrap_or(&PROFILES[0]);
        let mut sizes = JOB_TOKENS.into_iter();
        let mut size = sizes.next();
        let mut at_ms = plan.until_ms.saturating_sub(JOB_MS);
        while let Some((input, output)) = size.filter(|_| at_ms < plan.until_ms) {
            let call = DemoCall {
                at_ms,
                unique: (u128::from(random.next()) << 64) | u128::from(random.next()),
                profile,
                model: SMALL,
                uncached_tokens: input,
                cached_tokens: 0,
                output_tokens: output,
                output_cap: output,
                first_content_ms: 600 + random.below(400),
                total_ms: 1_200 + random.below(1_500),
                tag: Some("export"),
                user: None,
                outcome: DemoOutcome::Ok,
            };
            if !self.play(&call, totals)? {
                size = sizes.next();
            }
            at_ms += JOB_STEP_MS;
        }
        Ok(())
    }

    /// Plays one call; returns `false` if the ledger refused it.
    fn play(&self, call: &DemoCall, totals: &mut HistoryTotals) -> Result<bool, Failure> {
        self.clock.advance_to_ms(call.at_ms);
        let deployment = self.routes.resolve_model(call.model);
        let deployment = deployment.map_err(|_| Failure::runtime("unknown model of the demo"))?;
        let key = &self.keys[call.profile.key];
        key.last_used_ms.store(call.at_ms, Ordering::Relaxed);
        let id = HoldId::first(RequestId::new(call.at_ms, call.unique));
        let held = self.ledger.hold(Claim {
            hold: Hold {
                id,
                at_ms: call.at_ms,
                subject: Arc::new(subject(call, key, &deployment)),
                ceiling: ceiling(call, &deployment),
                charges: Vec::new(),
                progress: Progress::default(),
            },
            budgets: &key.budgets,
            limits: &[],
            tokens: Tokens::default(),
        });
        match held {
            Ok(_) => {}
            Err(HoldError::Denied(HoldDenial::Exceeded { .. })) => {
                totals.refused += 1;
                let refusal = refusal(call, key, id.request);
                self.ledger.wal().refusals().add(refusal, true);
                return Ok(false);
            }
            Err(error) => {
                let message = format!("failed to write the demo's history: {error:?}");
                return Err(Failure::runtime(message));
            }
        }
        let result = result(call, &deployment);
        totals.requests += 1;
        totals.cost = totals.cost.plus(result.cost);
        self.ledger.settle(id, result).map_err(|error| {
            Failure::runtime(format!("failed to write the demo's history: {error}"))
        })?;
        Ok(true)
    }
}

fn subject(call: &DemoCall, key: &PlayedKey, deployment: &Deployment) -> Subject {
    Subject {
        organization: key.organization,
        team: key.team,
        key: key.key,
        model_asked: call.model.into(),
        provider: deployment.names.provider.clone(),
        model: deployment.names.model.clone(),
        dialect: call.profile.dialect.to_owned().into(),
        streamed: call.profile.streamed,
        attribution: attribution(call),
        second_models: Vec::new(),
    }
}

fn attribution(call: &DemoCall) -> Attribution {
    // a pseudonym of nobody
    let key: u64 = call.profile.key.bytes().map(u64::from).sum();
    let pseudonym = |user| UserHash(Random::of_part(user, key).next());
    Attribution {
        user: call.user.map(pseudonym),
        tag: call.tag.and_then(|tag| Tag::parse(tag.as_bytes())),
    }
}

fn refusal(call: &DemoCall, key: &PlayedKey, request: RequestId) -> Refusal {
    Refusal {
        request,
        at_ms: call.at_ms,
        organization: key.organization,
        team: key.team,
        key: key.key,
        model_asked: call.model.to_owned(),
        attribution: attribution(call),
        dialect: call.profile.dialect.to_owned(),
        code: ErrorCode::BudgetExceeded,
    }
}

/// Cost of the input, none of it cached, and of the longest answer.
fn ceiling(call: &DemoCall, deployment: &Deployment) -> Money {
    let usage = Usage {
        uncached_in: call.uncached_tokens + call.cached_tokens,
        out_total: call.output_cap,
        ..Usage::default()
    };
    let bill = deployment.price.cost(&usage, deployment.pricing(None));
    bill.map_or(Money::ZERO, |bill| bill.total)
}

fn result(call: &DemoCall, deployment: &Deployment) -> CallResult {
    let (input, output) = (call.uncached_tokens, call.output_tokens);
    let (status, upstream_status, flags, shares) = match call.outcome {
        DemoOutcome::Ok => (Status::Ok, 200, Flags::default(), (1, output)),
        DemoOutcome::Overloaded => (Status::UpstreamError, 503, Flags::default(), (0, 0)),
        DemoOutcome::TimedOut => (Status::Broken, 0, Flags::ESTIMATED, (1, 0)),
        DemoOutcome::ClientGone => (Status::ClientGone, 200, Flags::ESTIMATED, (1, output / 2)),
    };
    let usage = Usage {
        uncached_in: input * shares.0,
        cache_read: call.cached_tokens * shares.0,
        out_total: shares.1,
        ..Usage::default()
    };
    let bill = deployment.price.cost(&usage, deployment.pricing(None));
    let bill = bill.unwrap_or_default();
    let answered = matches!(call.outcome, DemoOutcome::Ok | DemoOutcome::ClientGone);
    CallResult {
        ended_ms: call.at_ms + duration_ms(call),
        status,
        flags,
        usage,
        cost: bill.total,
        lines: bill.lines,
        output_cap: (output > 0).then_some(call.output_cap),
        upstream_status,
        first_content_ms: answered.then_some(call.first_content_ms),
        note: failure(call.outcome).map(Box::new),
        cache: None,
    }
}

fn duration_ms(call: &DemoCall) -> u64 {
    match call.outcome {
        DemoOutcome::Ok => call.total_ms,
        DemoOutcome::ClientGone => call.first_content_ms.midpoint(call.total_ms),
        DemoOutcome::Overloaded => 180,
        DemoOutcome::TimedOut => HEAD_TIMEOUT_MS,
    }
}

fn failure(outcome: DemoOutcome) -> Option<AttemptNote> {
    let (class, vendor_code, detail) = match outcome {
        DemoOutcome::Overloaded => {
            let detail = "error_status: status 503";
            (FailureClass::Overloaded, "overloaded", detail)
        }
        DemoOutcome::TimedOut => {
            let detail = "head_timeout: no response within 60000 ms";
            (FailureClass::TimedOut, "", detail)
        }
        DemoOutcome::Ok | DemoOutcome::ClientGone => return None,
    };
    Some(AttemptNote {
        failure: Some(FailureNote {
            class,
            vendor_code: vendor_code.to_owned(),
            decision: Decision::GiveUp,
            why: "a model called by its own name has one attempt".to_owned(),
            detail: detail.to_owned(),
        }),
        ..AttemptNote::default()
    })
}
