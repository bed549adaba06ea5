//! Mirrored requests: a share of a route's requests goes to a second deployment too, in the background, for its latency and cost. The
//! answer is thrown away. A copy is a call of the key whose budget the route names, never of the caller's, and is dropped where it has
//! no room. Nothing that happens to a copy reaches a client or the health of a deployment.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::auth::directory::Caller;
use crate::config::MirrorConfig;
use crate::domain::budget::Owner;
use crate::domain::event::Flags;
use crate::domain::id::{BudgetId, RequestId};
use crate::gateway::access::{Access, may_use};
use crate::gateway::attempts::{AttemptRunner, NoReply, RoutedRequest};
use crate::gateway::client_timeouts::ClientTimeouts;
use crate::gateway::inflight::InflightGuard;
use crate::gateway::mirror_plan::MirrorPlan;
use crate::gateway::mirror_stats::MirrorStats;
use crate::gateway::origin::RequestOrigin;
use crate::gateway::reply::{Body, Reply};
use crate::meter::Ledger;
use crate::route::{Candidate, Moment, Plan, Route, by_chance, mix};
use crate::upstream::Client;

/// Header of a client that wants no copy of its request: `off`.
pub const MIRROR_HEADER: &str = "x-gatekeeper-mirror";

const IN_FLIGHT_MAX: usize = 16;
const MILLION: u64 = 1_000_000;
/// Keeps the choice apart from that of the target.
const SEED: u64 = 0x6d69_7272_6f72;
/// Keeps the choice of the API key apart from that of the request.
const KEY_SEED: u64 = 0x6b65_7973;

/// Mirroring of all routes.
pub(super) struct Mirrors {
    slots: Arc<Semaphore>,
    stats: Arc<MirrorStats>,
}

impl Mirrors {
    pub fn new(stats: Arc<MirrorStats>) -> Mirrors {
        Mirrors {
            slots: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            stats,
        }
    }

    /// Decides about a copy of a caller's request. `random`: of this request.
    pub fn choose(
        &self,
        (access, ledger): (&Access, &Ledger),
        caller: &Caller,
        route: &Route,
        random: u64,
    ) -> Option<MirrorPlan> {
        let config = route.config.mirror.as_ref()?;
        if mix(random ^ SEED) % MILLION >= u64::from(config.share_ppm) {
            return None;
        }
        let candidate = candidate(access, config, random)?;
        // a copy shows the caller's prompt to the vendor of the target
        if !may_use(caller, &candidate) {
            return None;
        }
        let Some(payer) = payer(access, ledger, config.budget) else {
            return self.drop_copy("no_payer");
        };
        if !may_use(&payer, &candidate) {
            return self.drop_copy("not_allowed");
        }
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return self.drop_copy("busy");
        };
        Some(MirrorPlan {
            payer,
            candidate,
            slot,
        })
    }

    fn drop_copy(&self, reason: &'static str) -> Option<MirrorPlan> {
        self.stats.dropped(reason);
        None
    }

    /// Sends the copy in a task of its own, which ends with the process at the latest.
    pub fn start(
        &self,
        plan: MirrorPlan,
        (id, routed): (RequestId, &RoutedRequest),
        attempts: &Arc<AttemptRunner>,
        client: &Client,
        mut guard: InflightGuard,
    ) {
        guard.belong_to(&plan.payer);
        let MirrorPlan {
            payer,
            candidate,
            slot,
        } = plan;
        let copy = copy_of(routed, id, payer, candidate);
        let (attempts, client, stats) = (attempts.clone(), client.clone(), self.stats.clone());
        tokio::task::spawn_local(async move {
            let _slot = slot;
            match attempts.run(&copy, &client, guard).await {
                Ok(Some(reply)) => discard(reply).await,
                Ok(None) => {}
                // the end of an attempt is in its record
                Err(no_reply) => {
                    if let NoReply::Refused(error) = *no_reply {
                        stats.dropped(error.code.as_str());
                    }
                }
            }
        });
    }
}

/// The target as a model called by its own name, with one of its API keys: one attempt, and no health.
fn candidate(access: &Access, config: &MirrorConfig, random: u64) -> Option<Candidate> {
    let resolved = access.routes.load().resolve(&config.target).ok()?;
    let candidates = resolved.into_candidates();
    let keys: Vec<Candidate> = candidates.filter(|one| one.route.is_none()).collect();
    let moment = Moment {
        boot_ms: access.time.boot_ms(),
        random: mix(random ^ KEY_SEED),
        ..Moment::default()
    };
    Some(by_chance(&keys, moment)?.clone().without_health())
}

/// The key that owns the budget, if it may call.
fn payer(access: &Access, ledger: &Ledger, budget: BudgetId) -> Option<Arc<Caller>> {
    let Owner::Key(id) = ledger.budget(budget)?.owner else {
        return None;
    };
    let directory = access.directory.load();
    let now_ms = access.time.now_ms();
    let payer = directory.key(id)?;
    let is_live = payer.key.deleted_ms.is_none();
    let may_call = payer
        .keys()
        .all(|key| !key.disabled && key.expires_ms.is_none_or(|at| at > now_ms));
    (is_live && may_call).then(|| payer.clone())
}

fn copy_of(
    routed: &RoutedRequest,
    id: RequestId,
    payer: Arc<Caller>,
    candidate: Candidate,
) -> RoutedRequest {
    let plan = Plan {
        targets: vec![candidate],
        ..Plan::default()
    };
    RoutedRequest {
        id,
        caller: payer,
        request: routed.request.clone(),
        tag: None,
        marks: Flags::default(),
        credential: None,
        headers: routed.headers.clone(),
        timeouts: ClientTimeouts::default(),
        route_params: Vec::new(),
        max_cost: None,
        cache: None,
        arrived: Instant::now(),
        progress: routed.progress.with_plan(plan),
        origin: RequestOrigin::Mirror,
        mirror: None,
    }
}

/// Reads an answer to its end, so that its usage is known.
async fn discard(reply: Reply) {
    let Body::Stream(mut stream) = reply.body else {
        return;
    };
    while let Some(Ok(_)) = poll_fn(|context| stream.poll_next(context)).await {}
}
