//! `Control`: the handle through which an instance is read and changed while it runs. Holds the parts of the instance and the
//! locks of the control plane; the operations are in the files of the resources.

use std::sync::Arc;

use crate::auth::denials::Denials;
use crate::auth::directory::{Directory, DirectoryCell};
use crate::cache::CacheCell;
use crate::config::{Webhook, WrittenConfig};
use crate::control::call_origin::CallOrigin;
use crate::control::declarations::Declarations;
use crate::control::idempotency::{CreationSweep, IdempotencyKey};
use crate::control::issuer::Issuer;
use crate::control::price_board::PriceBoard;
use crate::control::run_facts::RunFacts;
use crate::control::settings::FileSettings;
use crate::control::sign_in_state::SignInState;
use crate::control::stored_settings::StoredSettings;
use crate::control::verification_job::VerificationJob;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attribution::Pseudonyms;
use crate::domain::sign_in::Session;
use crate::domain::time::Time;
use crate::domain::zone::Zone;
use crate::meter::{Ceilings, Ledger};
use crate::store::captures::Captures;
use crate::store::reasoning_memory::ReasoningMemory;
use crate::store::{Store, StoreError};

/// Clients that may follow the request log at once.
pub(super) const FOLLOWERS_MAX: usize = 64;
/// Longest wait of a report until everything logged before it is applied to the books.
pub(super) const FRESH_WAIT_MS: u64 = 250;
/// Longest wait of an answer that would be wrong while the books are behind the log.
const BOOKED_WAIT_MS: u64 = 2_000;

/// Calls a visitor with every model name that resolves here: name, provider, model of the provider.
pub type Catalogue = dyn Fn(&mut dyn FnMut(&str, &str, &str)) + Send + Sync;

/// Handle on the control plane; clones share everything.
#[derive(Clone)]
pub struct Control {
    pub(super) store: Store,
    pub(super) ledger: Arc<Ledger>,
    pub(super) ceilings: Arc<Ceilings>,
    pub(super) directory: Arc<DirectoryCell>,
    pub(super) time: Arc<Time>,
    pub(super) zone: Zone,
    pub(super) pseudonyms: Pseudonyms,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) memory: Option<Arc<ReasoningMemory>>,
    /// `None` in a process that serves no requests
    pub(super) cache: Option<CacheCell>,
    pub(super) captures: Option<Arc<Captures>>,
    /// receiver of alerts
    pub(super) webhook: Option<Webhook>,
    /// longest time from a request's arrival to its hold
    pub(super) admission_wait_ms: u64,
    /// held while the wall clock is adopted
    pub(super) adoption_lock: Arc<tokio::sync::Mutex<()>>,
    /// held while the books are corrected or verified
    pub(super) books_lock: Arc<tokio::sync::Mutex<()>>,
    pub(super) sign_in: Arc<SignInState>,
    /// issuer that signs people in beside passwords
    pub(super) issuer: Option<Arc<Issuer>>,
    /// held while a backup is copied
    pub(super) backup_lock: Arc<tokio::sync::Mutex<()>>,
    /// id of the seal key, for backups
    pub(super) seal_key_id: Arc<str>,
    /// one permit per follower of the request log
    pub(super) follower_permits: Arc<tokio::sync::Semaphore>,
    /// newest verification of the audit log
    pub(super) verification: Arc<VerificationJob>,
    /// denied uses on their way to the audit log
    pub(super) denials: Arc<Denials>,
    /// of the call that this handle serves
    pub(super) origin: Arc<CallOrigin>,
    /// version that the object of the call must have
    pub(super) expected: Option<Arc<str>>,
    /// of the call, if it creates an object
    pub(super) idempotency: Option<Arc<IdempotencyKey>>,
    pub(super) creation_sweep: Arc<CreationSweep>,
    pub(super) file_settings: Arc<FileSettings>,
    pub(super) stored_settings: Arc<StoredSettings>,
    /// `None` in a process that serves no requests
    pub(super) declarations: Option<Arc<Declarations>>,
    pub(super) prices: Arc<PriceBoard>,
    pub(super) run_facts: Arc<RunFacts>,
}

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
            ceilings: Arc::new(restored_ceilings(&store)),
            store,
            ledger,
            directory,
            time,
            zone,
            catalogue: Arc::new(|_| {}),
            memory: None,
            cache: None,
            captures: None,
            webhook: None,
            admission_wait_ms: 0,
            sign_in: Arc::new(SignInState::new(Vec::new())),
            issuer: None,
            adoption_lock: Arc::default(),
            books_lock: Arc::default(),
            backup_lock: Arc::default(),
            seal_key_id: Arc::from(""),
            follower_permits: Arc::new(tokio::sync::Semaphore::new(FOLLOWERS_MAX)),
            verification: Arc::default(),
            denials: Arc::default(),
            origin: Arc::default(),
            expected: None,
            idempotency: None,
            creation_sweep: Arc::default(),
            file_settings: Arc::default(),
            stored_settings: Arc::default(),
            declarations: None,
            prices: Arc::default(),
            run_facts: Arc::default(),
        }
    }

    /// Providers, routes and aliases in force, with the seal key of their credentials.
    #[must_use]
    pub fn with_declarations(self, declarations: Arc<Declarations>) -> Control {
        Control {
            seal_key_id: declarations.key().id().into(),
            declarations: Some(declarations),
            ..self
        }
    }

    /// Configured model names, for the answer of `verify`.
    #[must_use]
    pub fn with_catalogue(self, catalogue: Arc<Catalogue>) -> Control {
        Control { catalogue, ..self }
    }

    /// Settings of the file at the start.
    #[must_use]
    pub fn with_settings(self, written: &WrittenConfig) -> Control {
        Control {
            file_settings: Arc::new(FileSettings::of(written)),
            ..self
        }
    }

    /// The reasoning memory that can be purged.
    #[must_use]
    pub fn with_memory(self, memory: Option<Arc<ReasoningMemory>>) -> Control {
        Control { memory, ..self }
    }

    /// The cache of answers, which can be purged.
    #[must_use]
    pub fn with_cache(self, cache: CacheCell) -> Control {
        Control {
            cache: Some(cache),
            ..self
        }
    }

    /// A handle whose change is refused unless its object has this version.
    #[must_use]
    pub fn expecting(self, version: Option<&str>) -> Control {
        Control {
            expected: version.map(Arc::from),
            ..self
        }
    }

    /// A handle whose change is made once for each idempotency key of the actor.
    #[must_use]
    pub fn once(self, idempotency: Option<Arc<IdempotencyKey>>) -> Control {
        Control {
            idempotency,
            ..self
        }
    }

    /// Receiver of alerts, for a test of it.
    #[must_use]
    pub fn with_webhook(self, webhook: Option<Webhook>) -> Control {
        Control { webhook, ..self }
    }

    /// Sessions of the earlier run.
    #[must_use]
    pub fn with_sessions(self, sessions: Vec<Session>) -> Control {
        let sign_in = Arc::new(SignInState::new(sessions));
        Control { sign_in, ..self }
    }

    #[must_use]
    pub fn with_issuer(self, issuer: Option<Issuer>) -> Control {
        Control {
            issuer: issuer.map(Arc::new),
            ..self
        }
    }

    /// Longest time from a request's arrival to its hold: lists filtered by time look back that far.
    #[must_use]
    pub fn with_admission_wait_ms(self, admission_wait_ms: u64) -> Control {
        Control {
            admission_wait_ms,
            ..self
        }
    }

    /// Notes a file that was read again; returns the changed settings that take effect at the next start.
    pub fn note_settings(&self, written: &WrittenConfig) -> Vec<String> {
        self.file_settings.replace(written)
    }

    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    pub fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    /// Denied uses, for those that notice them.
    pub fn denials(&self) -> &Arc<Denials> {
        &self.denials
    }

    /// Ceilings that bills have proved too low.
    pub fn ceilings(&self) -> &Arc<Ceilings> {
        &self.ceilings
    }

    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// Time since the start of the machine, which health and cooldowns count in.
    pub fn boot_ms(&self) -> u64 {
        self.time.boot_ms()
    }

    pub fn now_ms(&self) -> u64 {
        self.time.now_ms()
    }

    /// Waits until everything logged by now is booked; `false` if the books stay behind.
    pub(super) async fn is_booked(&self) -> bool {
        self.store.applied_now(BOOKED_WAIT_MS).await
    }

    /// Reads committed rows, outside the thread that serves requests.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let store = self.store.clone();
        blocking(move || read(&store)).await
    }
}

/// The stored ceilings; none if they cannot be read.
fn restored_ceilings(store: &Store) -> Ceilings {
    let stored = store.ceilings().unwrap_or_else(|error| {
        tracing::warn!(%error, "stored ceilings unreadable; they begin anew");
        Vec::new()
    });
    Ceilings::restore(stored)
}

/// Runs a blocking read on the pool for such work.
pub(super) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(outcome) => outcome.map_err(ApiError::from),
        Err(error) => Err(ApiError::new(
            ErrorCode::Internal,
            format!("read of the books failed: {error}"),
        )),
    }
}
