//! Declarations in force: those of the file and those of the API, with the route table of both. An edit holds the turn from its check
//! until it is in force, so that no edit is checked against declarations that are about to go. The table is made again under a lock
//! whenever one of its inputs is replaced, so that of two changes the later one wins.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync;

use crate::control::declarations::set::{DeclarationSet, FileDeclarations};
use crate::price::Sheet;
use crate::route::{RouteCell, RouteTable};
use crate::store::seal::SealKey;
use crate::store::{Store, StoreError};

/// Declarations of the file and of the API, and the routes of both.
pub struct Declarations {
    key: SealKey,
    inputs: Mutex<Inputs>,
    routes: Arc<RouteCell>,
    turn: sync::Mutex<()>,
}

struct Inputs {
    sheet: Arc<Sheet>,
    file: Arc<FileDeclarations>,
    api: Arc<DeclarationSet>,
}

impl Declarations {
    /// Reads the declarations of the books and puts them in force beside those of the file.
    pub fn open(
        store: &Store,
        file: FileDeclarations,
        key: SealKey,
        sheet: Arc<Sheet>,
    ) -> Result<Declarations, StoreError> {
        let mut api = DeclarationSet::of(store.declarations()?);
        let table = api.resolve(&file, &key, sheet.clone());
        warn_of_faults(&api);
        let inputs = Inputs {
            sheet,
            file: Arc::new(file),
            api: Arc::new(api),
        };
        Ok(Declarations {
            key,
            inputs: Mutex::new(inputs),
            routes: Arc::new(RouteCell::new(table)),
            turn: sync::Mutex::default(),
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
        self.change(|inputs| inputs.file = Arc::new(file));
        warn_of_faults(&self.api());
    }

    /// Puts a price sheet in force.
    pub fn set_sheet(&self, sheet: Arc<Sheet>) {
        tracing::info!(as_of = %sheet.as_of, "price sheet in force");
        self.change(|inputs| inputs.sheet = sheet);
    }

    pub(in crate::control) async fn turn(&self) -> sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    pub(in crate::control) fn file(&self) -> Arc<FileDeclarations> {
        self.inputs().file.clone()
    }

    pub(in crate::control) fn api(&self) -> Arc<DeclarationSet> {
        self.inputs().api.clone()
    }

    /// Route table of a set that is not in force yet.
    pub(in crate::control) fn table_of(&self, set: &mut DeclarationSet) -> RouteTable {
        let (file, sheet) = (self.file(), self.inputs().sheet.clone());
        set.resolve(&file, &self.key, sheet)
    }

    pub(in crate::control) fn put_in_force(&self, set: DeclarationSet) {
        self.change(|inputs| inputs.api = Arc::new(set));
    }

    fn change(&self, change: impl FnOnce(&mut Inputs)) {
        let mut inputs = self.inputs();
        change(&mut inputs);
        let mut api = DeclarationSet::clone(&inputs.api).without_faults();
        let table = api.resolve(&inputs.file, &self.key, inputs.sheet.clone());
        inputs.api = Arc::new(api);
        self.routes.replace(table);
    }

    fn inputs(&self) -> MutexGuard<'_, Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn_of_faults(set: &DeclarationSet) {
    for ((kind, name), fault) in set.faults() {
        let (kind, member, reason) = (kind.as_str(), &fault.member, &fault.message);
        tracing::warn!(%kind, %name, %member, %reason, "declaration of the API is not in force");
    }
}
