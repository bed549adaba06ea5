//! Hot backups: what is logged when a backup begins is in it, and nothing that is posted while its copy is read.

use std::io::Write;
use std::path::Path;

use super::{create_store, list_records, log_call, reopen, wait_until_posted};
use crate::store::backup::create::{BackupReader, BackupRequest};
use crate::store::backup::restore::{RestoreOptions, restore};
use crate::store::{RecoveredState, Store};

const CALLS: u64 = 300;

pub(super) async fn begin_backup(store: &Store) -> BackupReader {
    let request = BackupRequest {
        version: "1",
        taken_ms: 7,
        seal_key_id: String::new(),
    };
    store.backup(request).await.expect("a backup")
}

/// Writes what is left of a backup to a file.
pub(super) fn read_to_end(reader: &mut BackupReader, file: &mut std::fs::File) {
    while let Some(chunk) = reader.next_chunk().expect("reads") {
        file.write_all(&chunk).expect("written");
    }
}

pub(super) fn restore_options() -> RestoreOptions {
    RestoreOptions {
        at_ms: 9,
        actor: "local:uid=0".to_owned(),
        disable_keys: false,
    }
}

fn restored(backup: &Path, folder: &Path) -> (Store, RecoveredState) {
    std::fs::create_dir(folder).expect("a folder");
    restore(backup, folder, &restore_options()).expect("restored");
    reopen(folder).expect("opens")
}

#[tokio::test]
async fn backup_read_while_calls_are_posted_has_those_logged_at_its_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let (books, backup) = (folder.path().join("data"), folder.path().join("backup"));
    std::fs::create_dir(&books).expect("a folder");
    let store = create_store(&books);
    (1..=CALLS).for_each(|at_ms| log_call(&store, at_ms));
    let mut reader = begin_backup(&store).await;
    assert_eq!(reader.facts.applied, 2 * CALLS);
    let mut file = std::fs::File::create(&backup).expect("a file");
    let header = reader.next_chunk().expect("reads").expect("a header");
    file.write_all(&header).expect("written");
    (CALLS + 1..=3 * CALLS).for_each(|at_ms| log_call(&store, at_ms));
    wait_until_posted(&store);
    read_to_end(&mut reader, &mut file);
    store.close();
    let (store, _) = restored(&backup, &folder.path().join("restored"));
    let records = list_records(&store, None, usize::MAX);
    assert_eq!(records.len() as u64, CALLS);
    let newest = records[0].settlement.hold.at_ms;
    assert_eq!(newest, CALLS);
    store.close();
}
