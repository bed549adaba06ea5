//! The control plane: every change is authorised by a `Grant`, stored and audited in one transaction, told to the ledger,
//! put into the directory, and only then answered. Nothing here touches a model call.

pub mod alerts;
mod background;
mod budgets;
pub mod clock;
pub mod corrections;
mod fields;
pub mod input;
pub mod keys;
pub mod limits;
pub mod organizations;
mod owner_limits;
mod reasoning_memory;
pub mod reports;
pub mod requests;
mod retention;
pub mod teams;
#[cfg(test)]
pub(crate) mod test_control;
mod unlogged_endings;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::auth::directory::{Directory, DirectoryCell};
use crate::auth::role::Actor;
use crate::config::Retention;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attribution::Pseudonyms;
use crate::domain::budget::Owner;
use crate::domain::event::Subject;
use crate::domain::time::Time;
use crate::domain::zone::Zone;
use crate::meter::Ledger;
use crate::store::reasoning_memory::ReasoningMemory;
use crate::store::{AuditEvent, ChangeTransaction, Store, StoreError, Tenants};

pub use crate::control::background::BackgroundTasks;
use crate::control::owner_limits::AffectedLimits;
pub use crate::control::owner_limits::{BudgetWithStatus, LimitWithStatus, WithLimits};

/// Everything that can be done to an instance while it runs.
#[derive(Clone)]
pub struct Control {
    store: Store,
    ledger: Arc<Ledger>,
    directory: Arc<DirectoryCell>,
    time: Arc<Time>,
    zone: Zone,
    pseudonyms: Pseudonyms,
    catalogue: Arc<Catalogue>,
    memory: Option<Arc<ReasoningMemory>>,
    retention: Option<Retention>,
    /// how long a request may wait before its hold is granted
    waits_ms: u64,
    /// taken by whoever adopts the wall clock
    adopting: Arc<tokio::sync::Mutex<()>>,
    /// taken by whoever corrects or verifies the books
    books_still: Arc<tokio::sync::Mutex<()>>,
    /// places for those who wait for the next request
    followers: Arc<tokio::sync::Semaphore>,
}

/// Shows a visitor every model name that resolves here: the name, the provider, the provider's model.
pub type Catalogue = dyn Fn(&mut dyn FnMut(&str, &str, &str)) + Send + Sync;

impl Control {
    pub fn new(
        store: Store,
        ledger: Arc<Ledger>,
        directory: Arc<DirectoryCell>,
        time: Arc<Time>,
        zone: Zone,
    ) -> Control {
        Control {
            pseudonyms: Pseudonyms::new(store.instance()),
            store,
            ledger,
            directory,
            time,
            zone,
            catalogue: Arc::new(|_| {}),
            memory: None,
            retention: None,
            waits_ms: 0,
            adopting: Arc::default(),
            books_still: Arc::default(),
            followers: Arc::new(tokio::sync::Semaphore::new(requests::FOLLOWERS_MAX)),
        }
    }

    /// Lets `verify` say which of the configured models a key may call.
    #[must_use]
    pub fn with_catalogue(self, catalogue: Arc<Catalogue>) -> Control {
        Control { catalogue, ..self }
    }

    /// Lets the memory be purged.
    #[must_use]
    pub fn with_memory(self, memory: Option<Arc<ReasoningMemory>>) -> Control {
        Control { memory, ..self }
    }

    /// Tells how long a request may wait before its hold is granted, so that the list finds it at the time of its hold.
    #[must_use]
    pub fn with_waits_ms(self, waits_ms: u64) -> Control {
        Control { waits_ms, ..self }
    }

    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    pub fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    pub fn now_ms(&self) -> u64 {
        self.time.now_ms()
    }

    /// The one way to change anything. The change runs on the store's writer thread and its audit event goes into the same
    /// transaction. Once begun it is carried to its end even if the caller hangs up, or a committed revocation might never
    /// reach the directory: hence the task of its own.
    async fn apply<T: Send + 'static>(
        &self,
        actor: &Actor,
        action: &'static str,
        change: impl FnOnce(&mut ChangeTransaction<'_>, u64) -> Result<ChangeOutcome<T>, ApiError>
        + Send
        + 'static,
    ) -> Result<T, ApiError> {
        let (control, actor, at_ms) = (self.clone(), actor.to_string(), self.now_ms());
        let task = tokio::spawn(async move {
            let done = control
                .store
                .write(move |books| {
                    let done = change(books, at_ms)?;
                    let (subject, detail) = (done.subject.clone(), done.detail.to_string());
                    books.append_audit(&AuditEvent {
                        at_ms,
                        actor,
                        action,
                        subject,
                        detail,
                    })?;
                    Ok::<_, ApiError>(done)
                })
                .await?;
            control.publish(done.touched).await?;
            Ok(done.answer)
        });
        task.await.unwrap_or_else(|error| {
            Err(ApiError::new(
                ErrorCode::Internal,
                format!("the change `{action}` broke off: {error}"),
            ))
        })
    }

    /// Tells the ledger and the directory what is committed. While the database reopens after an I/O error reads fail for up
    /// to a second; that is waited for.
    async fn publish(&self, touched: AffectedLimits) -> Result<(), ApiError> {
        let mut pauses_ms = [100, 300, 900].into_iter();
        loop {
            let (control, touched) = (self.clone(), touched.clone());
            let published = blocking(move || {
                let gone = control
                    .directory
                    .refresh_with(&control.store, |tenants| control.tell(&touched, tenants))?;
                control.forget(&gone);
                Ok(())
            });
            let Err(problem) = published.await else {
                return Ok(());
            };
            let Some(pause_ms) = pauses_ms.next() else {
                tracing::error!(%problem, "a change is stored but not in force; the next change or a restart puts it in force");
                return Err(problem);
            };
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    /// Tells the ledger of budgets and rate limits as they are committed; returns those that are not (any more).
    fn tell(&self, touched: &AffectedLimits, tenants: &Tenants) -> AffectedLimits {
        let mut gone = touched.clone();
        for budget in tenants
            .budgets
            .iter()
            .filter(|budget| touched.budgets.contains(&budget.id))
        {
            self.ledger.set_budget(budget);
            gone.budgets.retain(|id| *id != budget.id);
        }
        for limit in tenants
            .limits
            .iter()
            .filter(|limit| touched.limits.contains(&limit.id))
        {
            self.ledger.set_limit(limit, |subject| {
                stands_above(limit.owner, subject, &self.directory())
            });
            gone.limits.retain(|id| *id != limit.id);
        }
        gone
    }

    /// Tells the ledger what no caller names any more. A number is never given out twice.
    fn forget(&self, gone: &AffectedLimits) {
        gone.budgets
            .iter()
            .for_each(|id| self.ledger.remove_budget(*id));
        gone.limits
            .iter()
            .for_each(|id| self.ledger.remove_limit(*id));
    }

    /// Reads what is committed, beside the worker that serves requests.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let store = self.store.clone();
        blocking(move || read(&store)).await
    }
}

/// Whether an owner is the caller of a call, or above it.
fn stands_above(owner: Owner, subject: &Subject, directory: &Directory) -> bool {
    match owner {
        Owner::Organization(id) => subject.organization == id,
        Owner::Team(id) => subject.team == id,
        Owner::Key(id) => directory
            .key(subject.key)
            .is_some_and(|caller| caller.keys().any(|key| key.id == id)),
    }
}

/// What a change did: the answer, the words of its audit event, what the ledger must hear of.
struct ChangeOutcome<T> {
    answer: T,
    subject: String,
    detail: Value,
    touched: AffectedLimits,
}

async fn beside<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(outcome) => outcome.map_err(ApiError::from),
        Err(error) => Err(ApiError::new(
            ErrorCode::Internal,
            format!("a read of the books broke off: {error}"),
        )),
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        ApiError::new(
            ErrorCode::LedgerUnavailable,
            format!("the books cannot be used: {error}"),
        )
        .with_retry_after(1)
    }
}

fn not_found(kind: &str, id: impl std::fmt::Display) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format!("there is no {kind} `{id}`; list them to see which there are"),
    )
}

fn name_taken(kind: &str, name: &str, place: impl std::fmt::Display) -> ApiError {
    let message = format!(
        "{kind} `{name}` exists already in {place}; choose another name, or change that one"
    );
    ApiError::new(ErrorCode::Conflict, message).with_param("name")
}
