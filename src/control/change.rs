//! The one way to change anything: a change runs on the store's writer thread, its audit events in the same transaction; the same
//! thread then puts the committed rows into the ledger and the directory, before the next change begins. Once begun, a change
//! completes even if its caller hangs up.

use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::auth::directory::{Directory, OwnerLimits};
use crate::auth::role::Actor;
use crate::control::plane::Control;
use crate::control::version::{self, version_of};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::event::Subject;
use crate::domain::id::KeyId;
use crate::store::{ChangeTransaction, RowChange};

/// A change in progress.
pub(super) struct Change<'c, 't> {
    pub books: &'c mut ChangeTransaction<'t>,
    /// tenants as of the last commit; this change's own rows are not in it yet
    pub directory: &'c Directory,
    pub at_ms: u64,
    /// handle of the call, which audit events name
    control: &'c Control,
    actor: &'c str,
    /// subject and detail of the first audit event
    event: Option<(String, Value)>,
    expected: Option<&'c str>,
    /// keys whose running calls end with the commit
    ended: &'c Mutex<Vec<KeyId>>,
}

/// Result, written rows, and subject and detail of the first audit event of a part of a change.
type NestedChange<T> = (T, Vec<RowChange>, Option<(String, Value)>);

impl Change<'_, '_> {
    /// Refuses the change if its object has another version than the caller expects. Only the first object is checked: what else
    /// changes depends on it.
    pub fn check_version(
        &mut self,
        row: &impl Debug,
        limits: &OwnerLimits,
    ) -> Result<(), ApiError> {
        match self.expected.take() {
            None => Ok(()),
            expected => version::check(expected, &version_of(row, limits)),
        }
    }

    /// Ends the running calls of a key once the change is in force.
    pub fn end_calls(&mut self, key: KeyId) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push(key);
    }

    /// Runs a part of the change on other tenants than the committed ones; returns also the rows that it wrote, and subject and detail
    /// of its first audit event.
    pub fn nested<T>(
        &mut self,
        directory: &Directory,
        run: impl FnOnce(&mut Change<'_, '_>) -> Result<T, ApiError>,
    ) -> Result<NestedChange<T>, ApiError> {
        let written = self.books.rows().len();
        let mut part = Change {
            books: &mut *self.books,
            directory,
            at_ms: self.at_ms,
            control: self.control,
            actor: self.actor,
            event: None,
            expected: None,
            ended: self.ended,
        };
        let done = run(&mut part)?;
        let event = part.event.take();
        if self.event.is_none() {
            self.event.clone_from(&event);
        }
        Ok((done, self.books.rows()[written..].to_vec(), event))
    }

    /// Adds an event to the audit log. Every change adds at least one.
    pub fn audit(
        &mut self,
        action: &'static str,
        subject: impl Display,
        detail: &Value,
    ) -> Result<(), ApiError> {
        let subject = subject.to_string();
        let event = self
            .control
            .event(self.actor, self.at_ms, action, subject, detail.clone());
        self.books.append_audit(&event)?;
        self.event.get_or_insert((event.subject, event.detail));
        Ok(())
    }
}

impl Control {
    /// Commits a change with its audit events and publishes it. Runs in a task of its own: a caller that hangs up must not keep a
    /// change from its answer to the log.
    pub(super) async fn apply<T: Send + 'static>(
        &self,
        actor: &Actor,
        change: impl FnOnce(&mut Change<'_, '_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (control, actor, at_ms) = (self.clone(), actor.to_string(), self.now_ms());
        let publisher = self.clone();
        let task = tokio::spawn(async move {
            let ended = Arc::new(Mutex::new(Vec::new()));
            let to_end = ended.clone();
            let (store, directory) = (control.store.clone(), control.directory.clone());
            let run = move |books: &mut ChangeTransaction<'_>| {
                if let Some(key) = &control.idempotency {
                    key.check(&actor, at_ms, books)?;
                }
                let mut draft = Change {
                    books,
                    directory: &directory.load_full(),
                    at_ms,
                    control: &control,
                    actor: &actor,
                    event: None,
                    expected: control.expected.as_deref(),
                    ended: &to_end,
                };
                let answer = change(&mut draft)?;
                let (subject, _) = draft.event.ok_or_else(without_audit)?;
                if let Some(key) = &control.idempotency {
                    control.creation_sweep.run(at_ms, books)?;
                    key.remember(&actor, at_ms, subject, books)?;
                }
                Ok(answer)
            };
            let publish = move |rows| {
                publisher.publish(rows);
                let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                ended
                    .iter()
                    .for_each(|key| publisher.directory.end_calls(*key));
            };
            store.write_and_publish(run, publish).await
        });
        task.await.unwrap_or_else(|error| {
            Err(ApiError::new(
                ErrorCode::Internal,
                format!("change failed: {error}"),
            ))
        })
    }

    /// Puts committed rows in force. The ledger must have a budget before a caller names it, and forgets one only when no caller
    /// names it any more; ids are never reused.
    fn publish(&self, rows: Vec<RowChange>) {
        let before = self.directory();
        let mut removed = Vec::new();
        for row in &rows {
            match row {
                RowChange::Budget(budget) => self.ledger.set_budget(budget),
                // follows the row of its budget
                RowChange::OpeningBalance(charge, amount) => {
                    self.ledger.open_balance(*charge, *amount);
                }
                RowChange::Limit(limit) => self
                    .ledger
                    .set_limit(limit, |subject| is_owner_of(limit.owner, subject, &before)),
                RowChange::BudgetRemoved(_) | RowChange::LimitRemoved(_) => {
                    removed.push(row.clone());
                }
                RowChange::Prices(applied) => self.prices.put(applied.clone()),
                _ => {}
            }
        }
        self.directory.update(rows);
        for row in removed {
            match row {
                RowChange::BudgetRemoved(id) => self.ledger.remove_budget(id),
                RowChange::LimitRemoved(id) => self.ledger.remove_limit(id),
                _ => {}
            }
        }
    }
}

fn without_audit() -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        "change without an audit event; nothing was changed",
    )
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
