//! Data folder: creates it with mode 0700 and checks that it was initialized. Must never use a folder that contains
//! other files.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::cli::failure::Failure;
use crate::config::Config;

/// Returns true if the accounting database exists.
pub fn is_initialized(folder: &Path) -> bool {
    Config::books_path(folder).exists()
}

/// Rejects a folder without an accounting database: serving from it would lose all keys and balances.
pub fn require_initialized(folder: &Path) -> Result<(), Failure> {
    if is_initialized(folder) {
        return Ok(());
    }
    let has_wal = fs::read_dir(folder.join("ledger")).is_ok_and(|mut files| files.next().is_some());
    let folder = folder.display();
    if has_wal {
        let message = "has ledger segments but no gatekeeper.redb: accounting database missing; nothing was written; restore a backup";
        return Err(Failure::configuration(format!(
            "data folder {folder} {message}"
        )));
    }
    Err(Failure::configuration(format!(
        "data folder {folder} not initialized; run `gatekeeper init --data {folder}`"
    )))
}

/// Creates the folder, or uses an empty one, with mode 0700.
pub fn create(folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::configuration(format!(
            "failed to create data folder {} ({error}); check its path and owner",
            folder.display()
        ))
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    if fs::read_dir(folder).map_err(failed)?.next().is_some() {
        let message = "not empty; name an empty or new folder with --data";
        return Err(Failure::configuration(format!(
            "data folder {} {message}",
            folder.display()
        )));
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_folder_is_created_private_and_must_be_empty() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("a/b");
        create(&folder).expect("a new folder");
        assert_eq!(
            fs::metadata(&folder)
                .expect("the folder")
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
        create(&folder).expect("an empty folder");
        fs::write(folder.join("notes.txt"), "text").expect("write");
        assert!(
            create(&folder)
                .expect_err("a folder with files")
                .to_string()
                .contains("not empty")
        );
        assert_eq!(
            require_initialized(&folder)
                .expect_err("no books")
                .exit_code(),
            78
        );
        fs::create_dir(folder.join("ledger"))
            .and_then(|()| fs::write(folder.join("ledger/000001.log"), "x"))
            .expect("a log");
        assert!(
            require_initialized(&folder)
                .expect_err("no books")
                .to_string()
                .contains("restore a backup")
        );
    }
}
