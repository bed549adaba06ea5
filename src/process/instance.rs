//! Parts that share the data folder: store, ledger, directory, time and control plane, opened from the configuration. What the books
//! hold of the last run is recovered here; nothing listens yet.

use std::sync::Arc;

use crate::auth::directory::DirectoryCell;
use crate::config::{Config, Sync};
use crate::control::Control;
use crate::domain::time::Time;
use crate::domain::zone::Zone;
use crate::meter::{Ledger, WouldRefuse};
use crate::process::platform::Platform;
use crate::process::seal_key::seal_key_check;
use crate::process::start_error::StartError;
use crate::store::disk::{Disk, FolderDisk};
use crate::store::{Options, RecoveredState, SealKeyCheck, Store, StoreError};

/// Parts that share the data folder.
pub(super) struct Instance {
    pub store: Store,
    pub ledger: Arc<Ledger>,
    pub directory: Arc<DirectoryCell>,
    pub control: Control,
    pub disk: Arc<dyn Disk>,
    pub time: Arc<Time>,
}

impl Instance {
    pub fn open(config: &Config, platform: Platform, create: bool) -> Result<Instance, StartError> {
        let zone = Zone::parse(&config.timezone)
            .ok_or_else(|| StartError::Timezone(config.timezone.clone()))?;
        let disk = match platform.disk {
            Some(disk) => disk,
            None => folder_disk(config, create)?,
        };
        let seal_key = match create {
            true => SealKeyCheck::Skip,
            false => seal_key_check(config)?,
        };
        let (store, recovered) = open_store(config, disk.clone(), &zone, create, seal_key)?;
        let time = Arc::new(match store.anchor()? {
            Some(anchor) => Time::resume(platform.clock, anchor),
            None => Time::new(platform.clock),
        });
        let ledger = Arc::new(recover_ledger(&store, &zone, recovered, time.clone())?);
        let directory = Arc::new(DirectoryCell::open(&store)?);
        let control = Control::new(
            store.clone(),
            ledger.clone(),
            directory.clone(),
            time.clone(),
            zone,
        );
        Ok(Instance {
            store,
            ledger,
            directory,
            control,
            disk,
            time,
        })
    }
}

fn folder_disk(config: &Config, create: bool) -> Result<Arc<dyn Disk>, StartError> {
    if !create && !config.folder.is_dir() {
        return Err(StoreError::NotInitialised.into());
    }
    let folder = config.folder.clone();
    match FolderDisk::lock(&folder) {
        Ok(disk) => Ok(Arc::new(disk.with_mapping(config.ledger.mapped))),
        Err(error) => Err(StartError::Folder { folder, error }),
    }
}

fn open_store(
    config: &Config,
    disk: Arc<dyn Disk>,
    zone: &Zone,
    create: bool,
    seal_key: SealKeyCheck,
) -> Result<(Store, RecoveredState), StoreError> {
    let (store, recovered) = Store::open(Options {
        disk,
        zone: zone.clone(),
        segment_bytes: config.ledger.segment_bytes,
        disk_reserve_mb: config.ledger.disk_reserve_mb,
        wait_for_disk: config.ledger.sync == Sync::Disk,
        create,
        seal_key,
    })?;
    for remark in &recovered.remarks {
        tracing::warn!(remark = %remark, "data folder opened with a remark");
    }
    if recovered.replayed > 0 {
        tracing::info!(
            records = recovered.replayed,
            "records that only the log had are being posted to the books"
        );
    }
    warn_of_orphans(&recovered);
    Ok((store, recovered))
}

fn warn_of_orphans(recovered: &RecoveredState) {
    let from_last_run = recovered.holds.len() as u64;
    let orphans = recovered.orphans + from_last_run;
    if orphans > 0 {
        tracing::warn!(
            orphans,
            from_last_run,
            "requests in flight when the process ended are booked at their ceiling and flagged `orphaned`; \
             list them with `gatekeeper ledger orphans`, correct them with --settle-estimated"
        );
    }
}

fn recover_ledger(
    store: &Store,
    zone: &Zone,
    recovered: RecoveredState,
    time: Arc<Time>,
) -> Result<Ledger, StartError> {
    let tenants = store.tenants()?;
    let ledger = Ledger::recover(store.wal(), zone.clone(), tenants.budgets, recovered, time)?;
    let counted = store.would_refuse()?.into_iter();
    let counted = counted.map(|(charge, requests, cost)| (charge, WouldRefuse { requests, cost }));
    ledger.restore_would_refuse(counted.collect());
    for limit in &tenants.limits {
        // no call is running yet, so none counts towards the limit
        ledger.set_limit(limit, |_| false);
    }
    Ok(ledger)
}
