//! Corrections and verification of the books: orphans settled at their estimate, single requests corrected, sums recomputed.
//! Entry, balances, roll-ups and audit event are one transaction, then the ledger follows. Records are never changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::json;
use tokio::sync::OwnedMutexGuard;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::error::{books_behind, not_found};
use crate::control::names::resolve_team;
use crate::control::plane::Control;
use crate::control::requests::next_id;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::event::{Correction, HoldId, Settlement};
use crate::domain::id::{RequestId, TeamId};
use crate::domain::money::Money;
use crate::store::{ChangeTransaction, Record, StoreError, VerifyReport};

/// Corrections of one record at most.
const CORRECTIONS_MAX: usize = 100;
/// Orphans of one page.
const PAGE: usize = 500;
/// Orphans that one command settles at most; the result counts the rest.
const SETTLED_MAX: usize = 10_000;
/// Longest wait of a correction for a verification to finish.
const VERIFICATION_WAIT: Duration = Duration::from_secs(10);
/// Longest wait of a verification until the books have caught up with the log.
const CATCH_UP_MS: u64 = 5_000;

/// A page of orphans, oldest first, and the number of all uncorrected ones.
#[derive(Clone, Debug)]
pub struct OrphanPage {
    pub orphans: Vec<Record>,
    pub next: Option<HoldId>,
    pub uncorrected: u64,
}

/// Entries that a command wrote, and the number of orphans still uncorrected.
#[derive(Clone, Debug)]
pub struct CorrectionResult {
    pub entries: Vec<(Settlement, Correction)>,
    pub orphans_left: u64,
}

/// Scope of a correction.
#[derive(Clone, Debug)]
pub enum CorrectionRequest {
    /// all orphans, or those of one team (id or name), at their estimates
    Orphans {
        team: Option<String>,
    },
    Request(SingleCorrection),
}

/// Correction of one request by an amount.
#[derive(Clone, Debug)]
pub struct SingleCorrection {
    pub request: RequestId,
    /// required where the request had more than one
    pub attempt: Option<u8>,
    pub amount: Money,
    pub reason: String,
}

/// Entries that a correction wrote; `None` where there was nothing to correct.
type PostedCorrections = Option<Vec<(Settlement, Correction)>>;

impl Control {
    /// Uncorrected requests that were in flight when the process ended.
    pub async fn orphans(
        &self,
        grant: &Grant<may::ReadLedger>,
        team: Option<&str>,
        after: Option<RequestId>,
    ) -> Result<OrphanPage, ApiError> {
        let team = team
            .map(|team| resolve_team(&self.directory(), grant, team).map(|team| team.id))
            .transpose()?;
        if !self.is_booked().await {
            return Err(books_behind());
        }
        let from = after.map_or(FIRST, |after| HoldId {
            request: RequestId(after.0.saturating_add(1)),
            attempt: 0,
        });
        self.read(move |store| {
            let mut orphans = store.orphans(from, PAGE)?;
            let next = orphans
                .last()
                .filter(|_| orphans.len() == PAGE)
                .map(Record::id);
            orphans.retain(|orphan| is_of(orphan, team));
            Ok::<_, StoreError>(OrphanPage {
                orphans,
                next,
                uncorrected: store.orphans_uncorrected()?,
            })
        })
        .await
    }

    pub async fn orphans_uncorrected(&self) -> Result<u64, ApiError> {
        self.read(|store| store.orphans_uncorrected()).await
    }

    /// Writes the corrections in one transaction. Settling orphans is idempotent.
    pub async fn correct(
        &self,
        grant: &Grant<may::CorrectLedger>,
        request: CorrectionRequest,
    ) -> Result<CorrectionResult, ApiError> {
        let entries = match request {
            CorrectionRequest::Orphans { team } => {
                let team = team
                    .map(|team| resolve_team(&self.directory(), grant, &team).map(|team| team.id))
                    .transpose()?;
                self.post(grant.actor(), move |books, at_ms, actor| {
                    settle_orphans(books, team, at_ms, actor)
                })
                .await?
            }
            CorrectionRequest::Request(single) => {
                self.post(grant.actor(), move |books, at_ms, actor| {
                    correct_request(books, &single, at_ms, actor)
                })
                .await?
            }
        };
        Ok(CorrectionResult {
            entries: entries.unwrap_or_default(),
            orphans_left: self.orphans_uncorrected().await?,
        })
    }

    /// Writes entries with their audit event, then applies them to the ledger. Completes even if the caller hangs up: a
    /// committed correction must also be in force.
    async fn post(
        &self,
        actor: &Actor,
        choose: impl FnOnce(
            &mut ChangeTransaction<'_>,
            u64,
            &str,
        ) -> Result<Option<CorrectionBatch>, ApiError>
        + Send
        + 'static,
    ) -> Result<PostedCorrections, ApiError> {
        let lock =
            tokio::time::timeout(VERIFICATION_WAIT, self.books_lock.clone().lock_owned()).await;
        let lock = lock.map_err(|_| books_locked())?;
        // so that a request that has just ended can be corrected, and no orphan or attempt is passed over
        if !self.is_booked().await {
            return Err(books_behind());
        }
        let (control, actor, at_ms) = (self.clone(), actor.to_string(), self.now_ms());
        let plane = self.clone();
        let task = tokio::spawn(async move {
            let _lock = lock;
            let zone = control.zone.clone();
            let write = control.store.write(move |books| {
                let Some(batch) = choose(books, at_ms, &actor)? else {
                    return Ok::<PostedCorrections, ApiError>(None);
                };
                books.correct(&batch.entries, &zone)?;
                let (subject, detail) = (batch.subject, batch.detail);
                books.append_audit(&plane.event(actor, at_ms, batch.action, subject, detail))?;
                Ok(Some(batch.entries))
            });
            let posted = write.await?;
            for (record, correction) in posted.iter().flatten() {
                control
                    .ledger
                    .correct(&record.hold.charges, correction.amount);
            }
            Ok(posted)
        });
        task.await.unwrap_or_else(|error| {
            Err(ApiError::new(
                ErrorCode::Internal,
                format!("correction failed: {error}"),
            ))
        })
    }

    /// Recomputes all sums of the books and reports differences. Ends early if the caller disconnects.
    pub async fn verify_books(
        &self,
        _grant: &Grant<may::ReadLedger>,
    ) -> Result<VerifyReport, ApiError> {
        let lock = self
            .books_lock
            .clone()
            .try_lock_owned()
            .map_err(|_| books_locked())?;
        let verification = self
            .store
            .verification(self.zone.clone(), CATCH_UP_MS)
            .await?;
        let caller = Arc::new(());
        let caller_alive = Arc::downgrade(&caller);
        let task = tokio::task::spawn_blocking(move || {
            let _lock: OwnedMutexGuard<()> = lock;
            verification.run(|| Weak::strong_count(&caller_alive) > 0)
        });
        let report = task.await;
        drop(caller);
        match report {
            Ok(report) => Ok(report?),
            Err(error) => Err(ApiError::new(
                ErrorCode::Internal,
                format!("verification failed: {error}"),
            )),
        }
    }
}

/// Entries to write, with action, subject and detail of their audit event.
struct CorrectionBatch {
    entries: Vec<(Settlement, Correction)>,
    action: &'static str,
    subject: String,
    detail: serde_json::Value,
}

const FIRST: HoldId = HoldId {
    request: RequestId(0),
    attempt: 0,
};

fn is_of(record: &Record, team: Option<TeamId>) -> bool {
    team.is_none_or(|team| record.settlement.hold.subject.team == team)
}

/// Estimated cost of an orphan, as if its client had disconnected at its last progress record. Never more than was booked.
pub fn estimate(orphan: &Record) -> Money {
    orphan
        .settlement
        .hold
        .progress
        .cost
        .min(orphan.settlement.ending.cost)
}

fn settle_orphans(
    books: &mut ChangeTransaction<'_>,
    team: Option<TeamId>,
    at_ms: u64,
    actor: &str,
) -> Result<Option<CorrectionBatch>, ApiError> {
    let orphans = orphans_of(books, team)?;
    if orphans.is_empty() {
        return Ok(None);
    }
    let entry = |orphan: Record| {
        let amount = estimate(&orphan).minus(orphan.net_cost());
        let reason = "orphan settled at its estimate".to_owned();
        (
            orphan.settlement,
            Correction {
                at_ms,
                amount,
                reason,
                actor: actor.to_owned(),
            },
        )
    };
    let entries: Vec<(Settlement, Correction)> = orphans.into_iter().map(entry).collect();
    let amount: Money = entries
        .iter()
        .map(|(_, correction)| correction.amount)
        .sum();
    let subject = team.map_or("orphans".to_owned(), |team| team.to_string());
    let detail = json!({ "orphans": entries.len(), "amount": amount.to_string(), "by_key": by_key(&entries) });
    Ok(Some(CorrectionBatch {
        entries,
        action: "ledger.settle_orphans",
        subject,
        detail,
    }))
}

/// The oldest orphans, of one team or of all.
fn orphans_of(
    books: &mut ChangeTransaction<'_>,
    team: Option<TeamId>,
) -> Result<Vec<Record>, ApiError> {
    let (mut orphans, mut from) = (Vec::new(), FIRST);
    loop {
        let page = books.orphans(from, PAGE)?;
        let last = page.last().map(Record::id).filter(|_| page.len() == PAGE);
        orphans.extend(page.into_iter().filter(|orphan| is_of(orphan, team)));
        match last {
            Some(last) if orphans.len() < SETTLED_MAX => from = next_id(last),
            _ => break,
        }
    }
    orphans.truncate(SETTLED_MAX);
    Ok(orphans)
}

/// Corrected amount per key: the audit event grows with the keys, not with the requests.
fn by_key(entries: &[(Settlement, Correction)]) -> serde_json::Value {
    let mut keys: BTreeMap<String, Money> = BTreeMap::new();
    for (record, correction) in entries {
        let sum = keys.entry(record.hold.subject.key.to_string()).or_default();
        *sum = sum.plus(correction.amount);
    }
    keys.into_iter()
        .map(|(key, sum)| (key, sum.to_string().into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn correct_request(
    books: &mut ChangeTransaction<'_>,
    correction: &SingleCorrection,
    at_ms: u64,
    actor: &str,
) -> Result<Option<CorrectionBatch>, ApiError> {
    let records = books.records(correction.request)?;
    let record = select_attempt(records, correction)?;
    if record.corrections.len() >= CORRECTIONS_MAX {
        let message = format!(
            "limit of {CORRECTIONS_MAX} corrections of {} reached",
            correction.request
        );
        return Err(ApiError::new(ErrorCode::Conflict, message).with_param("request"));
    }
    let (net, amount) = (record.net_cost(), correction.amount);
    if net.plus(amount) < Money::ZERO {
        let remedy = if net > Money::ZERO {
            format!("give back at most -{net}")
        } else {
            "nothing is left to give back".to_owned()
        };
        let message = format!(
            "`amount` would make the cost of {} negative (${}); its cost is ${net}, {remedy}",
            correction.request,
            net.plus(amount)
        );
        return Err(ApiError::invalid(message).with_param("amount"));
    }
    let attempt = record.id().attempt;
    let detail =
        json!({ "attempt": attempt, "amount": amount.to_string(), "reason": correction.reason });
    let entry = Correction {
        at_ms,
        amount,
        reason: correction.reason.clone(),
        actor: actor.to_owned(),
    };
    let entries = vec![(record.settlement, entry)];
    Ok(Some(CorrectionBatch {
        entries,
        action: "ledger.correct",
        subject: correction.request.to_string(),
        detail,
    }))
}

/// The attempt to correct; of several, the correction must name one.
fn select_attempt(
    mut records: Vec<Record>,
    correction: &SingleCorrection,
) -> Result<Record, ApiError> {
    if records.is_empty() {
        return Err(not_found("request", correction.request).with_param("request"));
    }
    if let Some(attempt) = correction.attempt {
        let found = records
            .into_iter()
            .find(|record| record.id().attempt == attempt);
        return found.ok_or_else(|| not_found("attempt", attempt).with_param("attempt"));
    }
    match (records.pop(), records.len()) {
        (Some(only), 0) => Ok(only),
        (_, more) => {
            let message = format!(
                "{} had {} attempts; choose one with `attempt`",
                correction.request,
                more + 1
            );
            Err(ApiError::invalid(message).with_param("attempt"))
        }
    }
}

fn books_locked() -> ApiError {
    let message = "books locked by a verification or correction; try again in a moment";
    ApiError::new(ErrorCode::Conflict, message).with_retry_after(5)
}
