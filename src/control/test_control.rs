//! A control plane on its own store in a temporary folder, for the tests of this folder and of `server`.

use std::sync::Arc;

use tempfile::TempDir;

use crate::auth;
use crate::auth::directory::{Caller, DirectoryCell};
use crate::auth::grant::Grant;
use crate::auth::role::{Actor, Permit, may};
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::domain::clock::ManualClock;
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::domain::zone::Zone;
use crate::meter::Ledger;
use crate::store::disk::FolderDisk;
use crate::store::{Options, SealKeyCheck, Store};

/// 2026-11-23T10:00:00Z
pub(crate) const NOW_MS: u64 = 1_795_428_000_000;

pub(crate) struct TestControl {
    pub control: Control,
    pub clock: ManualClock,
    pub store: Store,
    pub ledger: Arc<Ledger>,
    pub directory: Arc<DirectoryCell>,
    pub time: Arc<Time>,
    /// the first administrative key
    pub admin: Secret,
    _folder: TempDir,
}

impl TestControl {
    /// After setup: one organization, one administrative key, nothing else.
    pub async fn open() -> TestControl {
        let (folder, clock, zone) = (
            tempfile::tempdir().expect("a folder"),
            ManualClock::at_ms(NOW_MS),
            Zone::utc(),
        );
        let options = Options {
            disk: Arc::new(FolderDisk::lock(folder.path()).expect("an unlocked folder")),
            zone: zone.clone(),
            segment_bytes: 1 << 20,
            disk_reserve_mb: 0,
            wait_for_disk: false,
            create: true,
            seal_key: SealKeyCheck::Skip,
        };
        let (store, recovered) = Store::open(options).expect("a store");
        let time = Arc::new(Time::new(Arc::new(clock.clone())));
        let ledger = Ledger::recover(
            store.wal(),
            zone.clone(),
            Vec::new(),
            recovered,
            time.clone(),
        )
        .expect("a ledger");
        let (ledger, directory) = (
            Arc::new(ledger),
            Arc::new(DirectoryCell::open(&store).expect("a directory")),
        );
        let control = Control::new(
            store.clone(),
            ledger.clone(),
            directory.clone(),
            time.clone(),
            zone,
        );
        let admin = control
            .bootstrap(&grant(may::SetUp))
            .await
            .expect("an empty instance");
        TestControl {
            control,
            clock,
            store,
            ledger,
            directory,
            time,
            admin,
            _folder: folder,
        }
    }

    /// Authenticates a call with this secret.
    pub fn caller(&self, secret: &str) -> Result<Arc<Caller>, ApiError> {
        auth::authenticate(
            &self.control.directory(),
            Some(secret),
            self.control.now_ms(),
        )
    }

    pub fn audit(&self) -> Vec<serde_json::Value> {
        let lines = self.store.audit(0, 1_000).expect("the audit log");
        lines
            .iter()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }
}

impl Drop for TestControl {
    fn drop(&mut self) {
        self.store.close();
    }
}

pub(crate) fn grant<P: Permit>(action: P) -> Grant<P> {
    Grant::for_actor(&Actor::Process, action).expect("the process may do everything")
}
