//! Rows of the control plane: typed reads, and `ChangeTransaction`, one write transaction on the writer's thread. A change is stored
//! together with its audit event or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::{
    AccessGuard, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition,
    WriteTransaction,
};

use crate::audit::note::Signer;
use crate::domain::budget::Budget;
use crate::domain::capture::CaptureSetting;
use crate::domain::event::{Charge, Correction, HoldId, Settlement};
use crate::domain::id::{
    AdminKeyId, BudgetId, KeyId, LimitId, OrganizationId, RequestId, TeamId, UserId,
};
use crate::domain::limit::RateLimit;
use crate::domain::money::Money;
use crate::domain::tenant::{AdminKey, Organization, Team, User, VirtualKey};
use crate::domain::zone::Zone;
use crate::store::applied_sheet::AppliedSheet;
use crate::store::books::database::begin;
use crate::store::books::post;
use crate::store::books::records::{self, Record};
use crate::store::books::store::Store;
use crate::store::books::tables::{
    ADMIN_KEYS, BALANCES, BUDGETS, CARRIED, CORRECTIONS, KEY_USES, KEYS, META, NAMES,
    ORGANIZATIONS, ORPHANS, RATE_LIMITS, RECORDS, RESTORED, TEAMS, USERS,
};
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;

type Rows = TableDefinition<'static, u64, &'static [u8]>;

/// All tenants and their limits; the directory is built from them.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    pub organizations: Vec<Organization>,
    pub teams: Vec<Team>,
    pub keys: Vec<VirtualKey>,
    pub admin_keys: Vec<AdminKey>,
    pub users: Vec<User>,
    /// time of the last use of each key
    pub key_uses: Vec<(KeyId, u64)>,
    pub budgets: Vec<Budget>,
    pub limits: Vec<RateLimit>,
    pub captures: Vec<CaptureSetting>,
}

/// A row of a tenant or its limits as a change left it.
#[derive(Clone, Debug)]
pub enum RowChange {
    Organization(Organization),
    Team(Team),
    Key(VirtualKey),
    AdminKey(AdminKey),
    User(User),
    Budget(Budget),
    BudgetRemoved(BudgetId),
    Limit(RateLimit),
    LimitRemoved(LimitId),
    /// an empty one is removed
    Capture(CaptureSetting),
    /// amount that a window of a budget had before its first record
    OpeningBalance(Charge, Money),
    /// price sheet in place of the embedded one; `None`: the embedded one again
    Prices(Option<AppliedSheet>),
}

/// Write transaction of a control-plane change. Dropped without commit, it changed nothing.
pub struct ChangeTransaction<'t> {
    pub(in crate::store) transaction: &'t WriteTransaction,
    /// key that signs the audit log; `None` before it is opened
    pub(in crate::store) signer: Option<&'t Signer>,
    /// last event that the change appended to the audit log
    pub(in crate::store) appended: Option<u64>,
    /// rows written so far
    rows: Vec<RowChange>,
    rows_read: u64,
}

impl Store {
    /// Runs a change on the writer's thread in a transaction of its own; returns when it is durable. An error of the closure rolls it back.
    pub async fn write<T, E>(
        &self,
        change: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static + From<StoreError>,
    {
        self.write_and_publish(change, |_| {}).await
    }

    /// Like `write`; after the commit, and before the next change begins, passes the written rows to `publish` on the same thread.
    pub async fn write_and_publish<T, E>(
        &self,
        change: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<T, E> + Send + 'static,
        publish: impl FnOnce(Vec<RowChange>) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static + From<StoreError>,
    {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let store = self.clone();
        self.wal.submit(Box::new(move |database| {
            let result = database.map_err(E::from).and_then(|database| {
                let (result, rows) = store.run(database, change)?;
                publish(rows);
                Ok(result)
            });
            let _ = sender.send(result);
        }))?;
        receiver
            .await
            .unwrap_or_else(|_| Err(E::from(StoreError::Closed)))
    }

    /// Rows of tenants that changes read since the start.
    pub fn change_rows_read(&self) -> u64 {
        self.database.rows_read.changes.load(Ordering::Relaxed)
    }

    /// Reads all tenants and limits, as of the last commit.
    pub fn tenants(&self) -> Result<Tenants, StoreError> {
        let read = self.database.open()?.begin_read()?;
        Ok(Tenants {
            organizations: all(&read.open_table(ORGANIZATIONS)?)?,
            teams: all(&read.open_table(TEAMS)?)?,
            keys: all(&read.open_table(KEYS)?)?,
            admin_keys: all(&read.open_table(ADMIN_KEYS)?)?,
            users: all(&read.open_table(USERS)?)?,
            key_uses: key_uses(&read.open_table(KEY_USES)?)?,
            budgets: all(&read.open_table(BUDGETS)?)?,
            limits: all(&read.open_table(RATE_LIMITS)?)?,
            captures: Store::capture_settings_in(&read)?,
        })
    }

    /// Instant of the backup that the books come from, until it is accepted.
    pub fn restored_ms(&self) -> Result<Option<u64>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let meta = read.open_table(META)?;
        Ok(meta.get(RESTORED)?.map(|value| value.value()))
    }

    /// Runs a change and commits it; publishes the new end of the audit log.
    fn run<T, E: From<StoreError>>(
        &self,
        database: &redb::Database,
        change: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<T, E>,
    ) -> Result<(T, Vec<RowChange>), E> {
        let transaction = begin(database)?;
        let mut books = ChangeTransaction {
            transaction: &transaction,
            signer: self.audit_signer.get().map(Arc::as_ref),
            appended: None,
            rows: Vec::new(),
            rows_read: 0,
        };
        let result = change(&mut books);
        let rows_read = &self.database.rows_read.changes;
        rows_read.fetch_add(books.rows_read, Ordering::Relaxed);
        let (result, rows) = (result?, std::mem::take(&mut books.rows));
        let appended = books.appended;
        transaction.commit().map_err(StoreError::from)?;
        if let Some(seq) = appended {
            self.audit_end.send_replace(seq);
        }
        Ok((result, rows))
    }
}

fn all<N: StoredValue>(
    table: &impl ReadableTable<u64, &'static [u8]>,
) -> Result<Vec<N>, StoreError> {
    table.iter()?.map(|row| N::decode(row?.1.value())).collect()
}

fn key_uses(table: &impl ReadableTable<u64, u64>) -> Result<Vec<(KeyId, u64)>, StoreError> {
    let row = |row: Result<(AccessGuard<'_, u64>, AccessGuard<'_, u64>), StorageError>| {
        let (id, at_ms) = row?;
        Ok((KeyId(id.value()), at_ms.value()))
    };
    table.iter()?.map(row).collect()
}

impl ChangeTransaction<'_> {
    /// Rows of tenants written so far.
    pub fn rows(&self) -> &[RowChange] {
        &self.rows
    }

    /// Notes a row of another file among those written.
    pub(in crate::store) fn note_row(&mut self, row: RowChange) {
        self.rows.push(row);
    }

    /// Next number of the sequence shared by the ids of all kinds.
    pub fn next_id(&mut self) -> Result<u64, StoreError> {
        let mut meta = self.meta()?;
        let next = meta.get("next_id")?.map_or(1, |value| value.value());
        meta.insert("next_id", next + 1)?;
        Ok(next)
    }

    /// Ends the degraded state after a restore; returns the instant of the backup, `None` if there is nothing to accept.
    pub fn accept_restore(&mut self) -> Result<Option<u64>, StoreError> {
        Ok(self.meta()?.remove(RESTORED)?.map(|value| value.value()))
    }

    /// Reserves a name in a scope such as `team/org_1`; `false` if it is taken.
    pub fn claim_name(&mut self, scope: &str, name: &str) -> Result<bool, StoreError> {
        Ok(self
            .transaction
            .open_table(NAMES)?
            .insert((scope, name), ())?
            .is_none())
    }

    /// Frees a name in its scope.
    pub fn release_name(&mut self, scope: &str, name: &str) -> Result<(), StoreError> {
        self.transaction.open_table(NAMES)?.remove((scope, name))?;
        Ok(())
    }

    pub fn organization(&mut self, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
        self.row(ORGANIZATIONS, id.0)
    }

    pub fn organizations(&mut self) -> Result<Vec<Organization>, StoreError> {
        let organizations: Vec<Organization> = all(&self.transaction.open_table(ORGANIZATIONS)?)?;
        self.rows_read += organizations.len() as u64;
        Ok(organizations)
    }

    pub fn team(&mut self, id: TeamId) -> Result<Option<Team>, StoreError> {
        self.row(TEAMS, id.0)
    }

    pub fn key(&mut self, id: KeyId) -> Result<Option<VirtualKey>, StoreError> {
        self.row(KEYS, id.0)
    }

    pub fn admin_key(&mut self, id: AdminKeyId) -> Result<Option<AdminKey>, StoreError> {
        self.row(ADMIN_KEYS, id.0)
    }

    pub fn user(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        self.row(USERS, id.0)
    }

    pub fn put_organization(&mut self, organization: &Organization) -> Result<(), StoreError> {
        self.rows
            .push(RowChange::Organization(organization.clone()));
        self.put(ORGANIZATIONS, organization.id.0, organization)
    }

    pub fn put_team(&mut self, team: &Team) -> Result<(), StoreError> {
        self.rows.push(RowChange::Team(team.clone()));
        self.put(TEAMS, team.id.0, team)
    }

    pub fn put_key(&mut self, key: &VirtualKey) -> Result<(), StoreError> {
        self.rows.push(RowChange::Key(key.clone()));
        self.put(KEYS, key.id.0, key)
    }

    pub fn put_admin_key(&mut self, key: &AdminKey) -> Result<(), StoreError> {
        self.rows.push(RowChange::AdminKey(key.clone()));
        self.put(ADMIN_KEYS, key.id.0, key)
    }

    pub fn put_user(&mut self, user: &User) -> Result<(), StoreError> {
        self.rows.push(RowChange::User(user.clone()));
        self.put(USERS, user.id.0, user)
    }

    pub fn put_budget(&mut self, budget: &Budget) -> Result<(), StoreError> {
        self.rows.push(RowChange::Budget(budget.clone()));
        self.put(BUDGETS, budget.id.0, budget)
    }

    pub fn remove_budget(&mut self, id: BudgetId) -> Result<(), StoreError> {
        self.rows.push(RowChange::BudgetRemoved(id));
        self.transaction.open_table(BUDGETS)?.remove(id.0)?;
        self.remove_alerts(id)
    }

    /// Adds to a window of a budget what was spent before the first record. It is kept like the part of deleted records, so that the
    /// books agree with themselves.
    pub fn open_balance(&mut self, charge: Charge, amount: Money) -> Result<(), StoreError> {
        self.rows.push(RowChange::OpeningBalance(charge, amount));
        let sums = BTreeMap::from([(charge, amount)]);
        post::add_money(self.transaction, CARRIED, &sums)?;
        post::add_money(self.transaction, BALANCES, &sums)
    }

    pub fn put_limit(&mut self, limit: &RateLimit) -> Result<(), StoreError> {
        self.rows.push(RowChange::Limit(limit.clone()));
        self.put(RATE_LIMITS, limit.id.0, limit)
    }

    pub fn remove_limit(&mut self, id: LimitId) -> Result<(), StoreError> {
        self.rows.push(RowChange::LimitRemoved(id));
        self.transaction.open_table(RATE_LIMITS)?.remove(id.0)?;
        Ok(())
    }

    /// Stores the time of the last use of a key.
    pub fn put_key_use(&mut self, id: KeyId, at_ms: u64) -> Result<(), StoreError> {
        self.transaction.open_table(KEY_USES)?.insert(id.0, at_ms)?;
        Ok(())
    }

    /// Usage records of every attempt of a request, with corrections.
    pub fn records(&mut self, request: RequestId) -> Result<Vec<Record>, StoreError> {
        let rows = self.transaction.open_table(RECORDS)?;
        let corrections = self.transaction.open_table(CORRECTIONS)?;
        records::attempts(&rows, &corrections, request)
    }

    /// Uncorrected orphans, oldest first, from the given one on.
    pub fn orphans(&mut self, from: HoldId, limit: usize) -> Result<Vec<Record>, StoreError> {
        let orphans = self.transaction.open_table(ORPHANS)?;
        let rows = self.transaction.open_table(RECORDS)?;
        let corrections = self.transaction.open_table(CORRECTIONS)?;
        records::orphans(&orphans, &rows, &corrections, from, limit)
    }

    /// Writes compensating entries and adds them to balances, hours and days; the records stay unchanged.
    pub fn correct(
        &mut self,
        corrected: &[(Settlement, Correction)],
        zone: &Zone,
    ) -> Result<(), StoreError> {
        post::correct(self.transaction, corrected, zone)
    }

    pub(in crate::store) fn meta(&self) -> Result<Table<'_, &'static str, u64>, StoreError> {
        Ok(self.transaction.open_table(META)?)
    }

    fn row<N: StoredValue>(&mut self, table: Rows, id: u64) -> Result<Option<N>, StoreError> {
        self.rows_read += 1;
        let table = self.transaction.open_table(table)?;
        let row = table.get(id)?;
        row.map(|row| N::decode(row.value())).transpose()
    }

    fn put<N: StoredValue>(&mut self, table: Rows, id: u64, noun: &N) -> Result<(), StoreError> {
        self.transaction
            .open_table(table)?
            .insert(id, noun.encode()?.as_slice())?;
        Ok(())
    }
}
