//! The one way to change anything: a change runs on the store's writer thread, its audit event in the same transaction; the
//! committed result then goes to the ledger and the directory. Once begun, a change completes even if its caller hangs up.

use std::time::Duration;

use serde_json::Value;

use crate::auth::directory::Directory;
use crate::auth::role::Actor;
use crate::control::plane::{Control, blocking};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::event::Subject;
use crate::domain::id::{BudgetId, LimitId};
use crate::store::{ChangeTransaction, Tenants};

/// Result of a change: the answer, subject and detail of its audit event, and the limits that the ledger must reload.
pub(super) struct ChangeOutcome<T> {
    pub answer: T,
    pub subject: String,
    pub detail: Value,
    pub affected: AffectedLimits,
}

/// Budgets and rate limits that a change created, changed or removed.
#[derive(Clone, Debug, Default)]
pub(super) struct AffectedLimits {
    pub budgets: Vec<BudgetId>,
    pub limits: Vec<LimitId>,
}

impl Control {
    /// Commits a change with its audit event and publishes it. Runs in a task of its own: a caller that hangs up must not
    /// keep a committed revocation from the directory.
    pub(super) async fn apply<T: Send + 'static>(
        &self,
        actor: &Actor,
        action: &'static str,
        change: impl FnOnce(&mut ChangeTransaction<'_>, u64) -> Result<ChangeOutcome<T>, ApiError>
        + Send
        + 'static,
    ) -> Result<T, ApiError> {
        let (control, actor, at_ms) = (self.clone(), actor.to_string(), self.now_ms());
        let plane = self.clone();
        let task = tokio::spawn(async move {
            let outcome = control
                .store
                .write(move |books| {
                    let outcome = change(books, at_ms)?;
                    let (subject, detail) = (outcome.subject.clone(), outcome.detail.clone());
                    books.append_audit(&plane.event(actor, at_ms, action, subject, detail))?;
                    Ok::<_, ApiError>(outcome)
                })
                .await?;
            control.publish(outcome.affected).await?;
            Ok(outcome.answer)
        });
        task.await.unwrap_or_else(|error| {
            Err(ApiError::new(
                ErrorCode::Internal,
                format!("change `{action}` failed: {error}"),
            ))
        })
    }

    /// Puts what is committed into the ledger and the directory. Retries for about a second: reads fail while the database
    /// reopens after an I/O error.
    async fn publish(&self, affected: AffectedLimits) -> Result<(), ApiError> {
        let mut pauses_ms = [100, 300, 900].into_iter();
        loop {
            let (control, affected) = (self.clone(), affected.clone());
            let published = blocking(move || {
                let removed = control.directory.refresh_with(&control.store, |tenants| {
                    control.reload_limits(&affected, tenants)
                })?;
                control.forget_limits(&removed);
                Ok(())
            });
            let Err(error) = published.await else {
                return Ok(());
            };
            let Some(pause_ms) = pauses_ms.next() else {
                tracing::error!(
                    %error,
                    "change is stored but not in force; the next change or a restart puts it in force"
                );
                return Err(error);
            };
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    /// Puts affected budgets and rate limits into the ledger as they are committed; returns those that no longer exist.
    fn reload_limits(&self, affected: &AffectedLimits, tenants: &Tenants) -> AffectedLimits {
        let mut removed = affected.clone();
        for budget in tenants
            .budgets
            .iter()
            .filter(|budget| affected.budgets.contains(&budget.id))
        {
            self.ledger.set_budget(budget);
            removed.budgets.retain(|id| *id != budget.id);
        }
        for limit in tenants
            .limits
            .iter()
            .filter(|limit| affected.limits.contains(&limit.id))
        {
            self.ledger.set_limit(limit, |subject| {
                is_owner_of(limit.owner, subject, &self.directory())
            });
            removed.limits.retain(|id| *id != limit.id);
        }
        removed
    }

    /// Removes limits from the ledger once no caller names them; ids are never reused.
    fn forget_limits(&self, removed: &AffectedLimits) {
        removed
            .budgets
            .iter()
            .for_each(|id| self.ledger.remove_budget(*id));
        removed
            .limits
            .iter()
            .for_each(|id| self.ledger.remove_limit(*id));
    }
}

/// The owner is the call's key, one of its ancestors, its team or its organization.
fn is_owner_of(owner: Owner, subject: &Subject, directory: &Directory) -> bool {
    match owner {
        Owner::Organization(id) => subject.organization == id,
        Owner::Team(id) => subject.team == id,
        Owner::Key(id) => directory
            .key(subject.key)
            .is_some_and(|caller| caller.keys().any(|key| key.id == id)),
    }
}
