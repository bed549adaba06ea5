//! Open files of the data folder by name: finds one whose name was deleted or leads to another file. What is written to such a file
//! is lost when the process ends. Compares device and inode with those of the open file; an unreadable name proves nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub(super) struct LinkedFiles {
    path: PathBuf,
    /// `None`: the folder cannot be read, and is not watched
    folder: Option<File>,
    /// bounded by the files that are open; names that are removed on purpose are forgotten first
    files: Mutex<BTreeMap<String, Weak<File>>>,
}

impl LinkedFiles {
    pub fn of(folder: &Path) -> LinkedFiles {
        LinkedFiles {
            path: folder.to_owned(),
            folder: File::open(folder).ok(),
            files: Mutex::default(),
        }
    }

    pub fn opened(&self, name: &str, file: &Arc<File>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let open = files.entry(name.to_owned()).or_default();
        // a second reader of the file must not hide the one that writes
        if open.strong_count() == 0 {
            *open = Arc::downgrade(file);
        }
    }

    /// Before a name is removed or renamed by the store itself.
    pub fn forget(&self, name: &str) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.remove(name);
    }

    /// The folder, or the first open file whose name begins with one of these, that is no longer linked.
    pub fn first_lost(&self, names: &[&str]) -> Option<PathBuf> {
        let folder = self.folder.as_ref();
        if folder.is_some_and(|folder| !is_linked(folder, &self.path)) {
            return Some(self.path.clone());
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|_, file| file.strong_count() > 0);
        let mut watched = files
            .iter()
            .filter(|(name, _)| names.iter().any(|begin| name.starts_with(begin)))
            .filter_map(|(name, file)| Some((self.path.join(name), file.upgrade()?)));
        let lost = watched.find(|(path, file)| !is_linked(file, path));
        lost.map(|(path, _)| path)
    }
}

fn is_linked(open: &File, path: &Path) -> bool {
    let Ok(opened) = open.metadata() else {
        return true;
    };
    match fs::metadata(path) {
        Ok(named) => (named.dev(), named.ino()) == (opened.dev(), opened.ino()),
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}
