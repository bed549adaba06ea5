//! Opening the store: checks books and log without writing, upgrades an older schema, recovers the state after the last record of the
//! log, and starts the threads. A newer schema, another time zone or a damaged log is refused and nothing is written.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::store::books::inspection::Inspection;
use crate::store::books::recovery::{self, RecoveredState};
use crate::store::books::slot::DatabaseSlot;
use crate::store::books::store::Store;
use crate::store::books::{database, time_zone, writer};
use crate::store::error::StoreError;
use crate::store::migrate::{Migrations, RELEASE};
use crate::store::options::Options;
use crate::store::wal::file::SegmentedLog;
use crate::store::wal::handle::Wal;
use crate::store::wal::{segment, sync_thread};

/// Beginnings of the names that must stay linked while the store is open.
const WATCHED: &[&str] = &[database::FILE, segment::FOLDER];

impl Store {
    /// Opens books and log; creates them if the options say so.
    pub fn open(options: Options) -> Result<(Store, RecoveredState), StoreError> {
        Store::open_with(options, &RELEASE)
    }

    /// Opens with the given migrations; tests have steps that no release has.
    pub(in crate::store) fn open_with(
        options: Options,
        migrations: &Migrations,
    ) -> Result<(Store, RecoveredState), StoreError> {
        database::ensure(&options)?;
        let inspection = Inspection::open(&options)?;
        let schema = inspection.schema()?;
        migrations.check(schema)?;
        let identity = inspection.identity(&options.zone)?;
        inspection.check_seal_key(&options.seal_key)?;
        drop(inspection);
        let (log, mut replay) = SegmentedLog::open(&options, &identity)?;
        let upgrade = migrations.prepare(options.disk.as_ref(), schema)?;
        let io_state = Arc::default();
        let database = database::open(&options, &io_state)?;
        if let Some(upgrade) = upgrade {
            replay.remarks.push(upgrade.run(&database)?);
        }
        if identity.applied == 0 {
            time_zone::adopt(&database, &options.zone, !replay.events.is_empty())?;
        }
        let recovered = recovery::recover(&database, &replay)?;
        let database = Arc::new(DatabaseSlot::new(database, io_state));
        let wal = Arc::new(Wal::new(
            log,
            replay.events,
            identity.applied,
            recovered.holds.len(),
            options.wait_for_disk,
        ));
        let disk = options.disk.clone();
        let threads = vec![
            sync_thread::start(wal.clone(), options.clone(), WATCHED),
            writer::start(database.clone(), wal.clone(), options),
        ];
        let store = Store {
            instance: identity.instance,
            disk,
            database,
            wal,
            audit_signer: Arc::default(),
            audit_end: watch::Sender::new(0),
            threads: Arc::new(Mutex::new(threads)),
        };
        store.audit_end.send_replace(store.audit_size()?);
        Ok((store, recovered))
    }
}
