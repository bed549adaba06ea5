//! The data folder before there is a server: created for its owner alone; a folder with other things in it is never taken.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::cli::Failure;
use crate::config::Config;

/// Whether the books exist.
pub fn is_initialised(folder: &Path) -> bool {
    Config::books(folder).exists()
}

/// The folder to serve from must have been initialised: an empty one would be a gateway without keys and without memory.
pub fn require_initialised(folder: &Path) -> Result<(), Failure> {
    if is_initialised(folder) {
        return Ok(());
    }
    let logged = fs::read_dir(folder.join("ledger")).is_ok_and(|mut files| files.next().is_some());
    let folder = folder.display();
    if logged {
        let message = "has a ledger log and no gatekeeper.redb: the books are gone; nothing was written; restore a backup";
        return Err(Failure::configuration(format!(
            "the data folder {folder} {message}"
        )));
    }
    Err(Failure::configuration(format!(
        "the data folder {folder} was never initialised; run `gatekeeper init --data {folder}`"
    )))
}

/// Creates the folder, or takes an empty one, and closes it to others (0700).
pub fn create(folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::configuration(format!(
            "the data folder {} cannot be created ({error}); check the path and its owner",
            folder.display()
        ))
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    if fs::read_dir(folder).map_err(failed)?.next().is_some() {
        let message = "has other things in it; name an empty or a new folder with --data";
        return Err(Failure::configuration(format!(
            "the data folder {} {message}",
            folder.display()
        )));
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_for_its_owner_alone_and_a_full_one_is_not_taken() {
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
        fs::write(folder.join("letter.txt"), "dear").expect("write");
        assert!(
            create(&folder)
                .expect_err("a full folder")
                .to_string()
                .contains("has other things in it")
        );
        assert_eq!(
            require_initialised(&folder)
                .expect_err("no books")
                .exit_code(),
            78
        );
        fs::create_dir(folder.join("ledger"))
            .and_then(|()| fs::write(folder.join("ledger/000001.log"), "x"))
            .expect("a log");
        assert!(
            require_initialised(&folder)
                .expect_err("no books")
                .to_string()
                .contains("restore a backup")
        );
    }
}
