//! Declarations in force: those of the file and those of the API, with the route table of both. A change holds the turn from its check
//! until the new table is in force, so that no change is checked against a table that is about to go.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, MutexGuard};

use crate::control::declarations::set::{DeclarationSet, FileDeclarations};
use crate::price::Sheet;
use crate::route::{RouteCell, RouteTable};
use crate::store::seal::SealKey;
use crate::store::{Store, StoreError};

/// Declarations of the file and of the API, and the routes of both.
pub struct Declarations {
    key: SealKey,
    sheet: Arc<Sheet>,
    file: ArcSwap<FileDeclarations>,
    api: ArcSwap<DeclarationSet>,
    routes: Arc<RouteCell>,
    turn: Mutex<()>,
}

impl Declarations {
    /// Reads the declarations of the books and puts them in force beside those of the file.
    pub fn open(
        store: &Store,
        file: FileDeclarations,
        key: SealKey,
    ) -> Result<Declarations, StoreError> {
        let mut api = DeclarationSet::of(store.declarations()?);
        let sheet = Arc::new(Sheet::embedded());
        let table = api.resolve(&file, &key, sheet.clone());
        warn_of_faults(&api);
        Ok(Declarations {
            key,
            sheet,
            file: ArcSwap::from_pointee(file),
            api: ArcSwap::from_pointee(api),
            routes: Arc::new(RouteCell::new(table)),
            turn: Mutex::default(),
        })
    }

    /// Routes in force.
    pub fn routes(&self) -> &Arc<RouteCell> {
        &self.routes
    }

    pub fn key(&self) -> &SealKey {
        &self.key
    }

    /// Puts the declarations of a file that was read again in force.
    pub async fn replace_file(&self, file: FileDeclarations) {
        let _turn = self.turn().await;
        let mut api = DeclarationSet::clone(&self.api.load()).without_faults();
        let table = api.resolve(&file, &self.key, self.sheet.clone());
        warn_of_faults(&api);
        self.file.store(Arc::new(file));
        self.put_in_force(api, table);
    }

    pub(in crate::control) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    pub(in crate::control) fn file(&self) -> Arc<FileDeclarations> {
        self.file.load_full()
    }

    pub(in crate::control) fn api(&self) -> Arc<DeclarationSet> {
        self.api.load_full()
    }

    /// Route table of a set that is not in force yet.
    pub(in crate::control) fn table_of(&self, set: &mut DeclarationSet) -> RouteTable {
        set.resolve(&self.file(), &self.key, self.sheet.clone())
    }

    pub(in crate::control) fn put_in_force(&self, set: DeclarationSet, table: RouteTable) {
        self.api.store(Arc::new(set));
        self.routes.replace(table);
    }
}

fn warn_of_faults(set: &DeclarationSet) {
    for ((kind, name), fault) in set.faults() {
        let (kind, member, reason) = (kind.as_str(), &fault.member, &fault.message);
        tracing::warn!(%kind, %name, %member, %reason, "declaration of the API is not in force");
    }
}
