//! What is put right afterwards: orphans settled at their estimate, single requests corrected, the books compared with
//! themselves. Entry, balances, roll-ups and audit event are one transaction; then the ledger is told; no record is changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::json;
use tokio::sync::OwnedMutexGuard;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::fields::Fields;
use crate::control::reports::FRESH_WAIT_MS;
use crate::control::requests::following;
use crate::control::teams::resolve_team;
use crate::control::{Control, not_found};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::event::{Correction, HoldId, Settlement};
use crate::domain::id::{RequestId, TeamId};
use crate::domain::money::Money;
use crate::store::{AuditEvent, ChangeTransaction, Record, StoreError, VerifyReport};

const REASON_CHARS_MAX: usize = 500;
/// Entries that one record can have.
const CORRECTIONS_MAX: usize = 100;
/// Orphans that one page shows.
const PAGE: usize = 500;
/// Orphans that one command settles; what is left is said.
const SETTLED_MAX: usize = 10_000;
/// How long a correction waits while the books are verified.
const VERIFICATION_WAIT: Duration = Duration::from_secs(10);
/// How long a verification waits until the books have caught up with the log.
const CATCH_UP_MS: u64 = 5_000;

/// Orphans, oldest first, and how many there are in all.
#[derive(Clone, Debug)]
pub struct OrphanPage {
    pub orphans: Vec<Record>,
    pub next: Option<HoldId>,
    pub uncorrected: u64,
}

/// What a command corrected, and how many orphans are left uncorrected.
#[derive(Clone, Debug)]
pub struct CorrectionResult {
    pub entries: Vec<(Settlement, Correction)>,
    pub orphans_left: u64,
}

/// What is to be corrected.
#[derive(Clone, Debug)]
pub enum CorrectionRequest {
    /// every orphan, or those of one team, at its estimate
    Orphans {
        team: Option<String>,
    },
    Request(SingleCorrection),
}

#[derive(Clone, Debug)]
pub struct SingleCorrection {
    pub request: RequestId,
    /// needed where the request had more than one
    pub attempt: Option<u8>,
    pub amount: Money,
    pub reason: String,
}

impl CorrectionRequest {
    pub fn from_json(body: &[u8]) -> Result<CorrectionRequest, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let orphans: Option<String> = fields.take("orphans", "\"estimated\"")?;
        let wanted = match orphans.as_deref() {
            None => CorrectionRequest::Request(SingleCorrection::take(&mut fields)?),
            Some("estimated") => CorrectionRequest::Orphans {
                team: fields.take("team", "an id or a name")?,
            },
            Some(_) => return Err(fields.fault("orphans", "must be \"estimated\"")),
        };
        fields.finish()?;
        Ok(wanted)
    }
}

impl SingleCorrection {
    fn take(fields: &mut Fields) -> Result<SingleCorrection, ApiError> {
        let request: String = fields.require("request", "the id of a request")?;
        let request = RequestId::parse(&request)
            .ok_or_else(|| fields.fault("request", "must be the id of a request, like req_…"))?;
        let amount = fields.take_signed_money("amount")?;
        let amount = amount.ok_or_else(|| {
            fields.fault(
                "amount",
                "is missing; it must be an amount of dollars like \"-0.12\"",
            )
        })?;
        if amount.is_zero() {
            return Err(fields.fault("amount", "must not be zero; nothing would be corrected"));
        }
        let reason: String = fields.require("reason", "a text that says why")?;
        let reason = reason.trim().to_owned();
        if reason.is_empty()
            || reason.chars().count() > REASON_CHARS_MAX
            || reason.chars().any(char::is_control)
        {
            return Err(fields.fault(
                "reason",
                format!("must be 1 to {REASON_CHARS_MAX} characters on one line"),
            ));
        }
        let attempt = fields.take("attempt", "the number of an attempt, from 1")?;
        Ok(SingleCorrection {
            request,
            attempt,
            amount,
            reason,
        })
    }
}

/// What a change of the books came to; `None` where there was nothing to change.
type PostedCorrections = Option<Vec<(Settlement, Correction)>>;

impl Control {
    /// Requests that were in flight when the process ended and that nobody has corrected.
    pub async fn orphans(
        &self,
        _grant: &Grant<may::ReadLedger>,
        team: Option<&str>,
        after: Option<RequestId>,
    ) -> Result<OrphanPage, ApiError> {
        let team = team
            .map(|team| resolve_team(&self.directory.load(), team))
            .transpose()?;
        let _fresh = self.store.applied_now(FRESH_WAIT_MS).await;
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

    /// Corrects what is wanted, in one transaction. Settling orphans twice changes nothing the second time.
    pub async fn correct(
        &self,
        grant: &Grant<may::CorrectLedger>,
        wanted: CorrectionRequest,
    ) -> Result<CorrectionResult, ApiError> {
        let entries = match wanted {
            CorrectionRequest::Orphans { team } => {
                let team = team
                    .map(|team| resolve_team(&self.directory.load(), &team))
                    .transpose()?;
                self.book(grant.actor(), move |books, at_ms, actor| {
                    settle_orphans(books, team, at_ms, actor)
                })
                .await?
            }
            CorrectionRequest::Request(one) => {
                self.book(grant.actor(), move |books, at_ms, actor| {
                    correct_one(books, &one, at_ms, actor)
                })
                .await?
            }
        };
        Ok(CorrectionResult {
            entries: entries.unwrap_or_default(),
            orphans_left: self.orphans_uncorrected().await?,
        })
    }

    /// Writes entries with their audit event, then tells the ledger. Carried to its end even if the caller hangs up: what
    /// is committed must also be in force.
    async fn book(
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
        let quiet =
            tokio::time::timeout(VERIFICATION_WAIT, self.books_still.clone().lock_owned()).await;
        let quiet = quiet.map_err(|_| being_verified())?;
        // a request that has just ended can be corrected
        let _fresh = self.store.applied_now(FRESH_WAIT_MS).await;
        let (control, actor, at_ms) = (self.clone(), actor.to_string(), self.now_ms());
        let task = tokio::spawn(async move {
            let _quiet = quiet;
            let zone = control.zone.clone();
            let write = control.store.write(move |books| {
                let Some(chosen) = choose(books, at_ms, &actor)? else {
                    return Ok::<PostedCorrections, ApiError>(None);
                };
                books.correct(&chosen.entries, &zone)?;
                let (subject, detail) = (chosen.subject, chosen.detail.to_string());
                books.append_audit(&AuditEvent {
                    at_ms,
                    actor,
                    action: chosen.action,
                    subject,
                    detail,
                })?;
                Ok(Some(chosen.entries))
            });
            let booked = write.await?;
            for (record, correction) in booked.iter().flatten() {
                control
                    .ledger
                    .correct(&record.hold.charges, correction.amount);
            }
            Ok(booked)
        });
        task.await.unwrap_or_else(|error| {
            Err(ApiError::new(
                ErrorCode::Internal,
                format!("the correction broke off: {error}"),
            ))
        })
    }

    /// Computes the books once more and says what differs. Ends early if the caller has gone.
    pub async fn verify_books(
        &self,
        _grant: &Grant<may::ReadLedger>,
    ) -> Result<VerifyReport, ApiError> {
        let quiet = self
            .books_still
            .clone()
            .try_lock_owned()
            .map_err(|_| being_verified())?;
        let begun = self
            .store
            .verification(self.zone.clone(), CATCH_UP_MS)
            .await?;
        let caller = Arc::new(());
        let waits = Arc::downgrade(&caller);
        let task = tokio::task::spawn_blocking(move || {
            let _quiet: OwnedMutexGuard<()> = quiet;
            begun.run(|| Weak::strong_count(&waits) > 0)
        });
        let verified = task.await;
        drop(caller);
        match verified {
            Ok(verified) => Ok(verified?),
            Err(error) => Err(ApiError::new(
                ErrorCode::Internal,
                format!("the verification broke off: {error}"),
            )),
        }
    }
}

/// Entries to be written, and the words of their audit event.
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

/// What an orphan is taken to have cost: as if its client had gone when it was last heard of. Never more than was booked.
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

/// The first of a team's orphans, or of all.
fn orphans_of(
    books: &mut ChangeTransaction<'_>,
    team: Option<TeamId>,
) -> Result<Vec<Record>, ApiError> {
    let (mut found, mut from) = (Vec::new(), FIRST);
    loop {
        let page = books.orphans(from, PAGE)?;
        let last = page.last().map(Record::id).filter(|_| page.len() == PAGE);
        found.extend(page.into_iter().filter(|orphan| is_of(orphan, team)));
        match last {
            Some(last) if found.len() < SETTLED_MAX => from = following(last),
            _ => break,
        }
    }
    found.truncate(SETTLED_MAX);
    Ok(found)
}

/// What each key gets back, for the audit event: its size goes with the keys, not with the requests.
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

fn correct_one(
    books: &mut ChangeTransaction<'_>,
    wanted: &SingleCorrection,
    at_ms: u64,
    actor: &str,
) -> Result<Option<CorrectionBatch>, ApiError> {
    let records = books.records(wanted.request)?;
    let record = the_attempt(records, wanted)?;
    if record.corrections.len() >= CORRECTIONS_MAX {
        let message = format!(
            "{} has {CORRECTIONS_MAX} corrections already; it takes no more",
            wanted.request
        );
        return Err(ApiError::new(ErrorCode::Conflict, message).with_param("request"));
    }
    let (net, amount) = (record.net_cost(), wanted.amount);
    if net.plus(amount) < Money::ZERO {
        let most = if net > Money::ZERO {
            format!("give back at most -{net}")
        } else {
            "there is nothing to give back".into()
        };
        let message = format!(
            "`amount` would bring {} to ${}; it stands at ${net}, so {most}",
            wanted.request,
            net.plus(amount)
        );
        return Err(ApiError::invalid(message).with_param("amount"));
    }
    let attempt = record.id().attempt;
    let detail =
        json!({ "attempt": attempt, "amount": amount.to_string(), "reason": wanted.reason });
    let correction = Correction {
        at_ms,
        amount,
        reason: wanted.reason.clone(),
        actor: actor.to_owned(),
    };
    let entries = vec![(record.settlement, correction)];
    Ok(Some(CorrectionBatch {
        entries,
        action: "ledger.correct",
        subject: wanted.request.to_string(),
        detail,
    }))
}

/// The attempt that is meant; one of several must be named.
fn the_attempt(mut records: Vec<Record>, wanted: &SingleCorrection) -> Result<Record, ApiError> {
    if records.is_empty() {
        return Err(not_found("request", wanted.request).with_param("request"));
    }
    if let Some(attempt) = wanted.attempt {
        let found = records
            .into_iter()
            .find(|record| record.id().attempt == attempt);
        return found.ok_or_else(|| not_found("attempt", attempt).with_param("attempt"));
    }
    match (records.pop(), records.len()) {
        (Some(only), 0) => Ok(only),
        (_, more) => {
            let message = format!(
                "{} had {} attempts; say which with `attempt`",
                wanted.request,
                more + 1
            );
            Err(ApiError::invalid(message).with_param("attempt"))
        }
    }
}

fn being_verified() -> ApiError {
    let message = "the books are being verified or corrected just now; try again in a moment";
    ApiError::new(ErrorCode::Conflict, message).with_retry_after(5)
}
