//! Directory of tenants, users and keys in memory: keys by hash, budgets and rate limits by owner. An immutable snapshot of the last
//! commit; the next snapshot shares all that the commit did not change. It never contains balances, which belong to the ledger, or
//! secrets. Deleted objects stay in it for their names, and are in no list.

mod caller;
mod imported;
#[cfg(test)]
pub mod samples;
mod sharded_map;
mod update;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::auth::directory::sharded_map::{ShardKey, ShardedMap};
use crate::domain::budget::{Budget, Owner};
use crate::domain::capture::CaptureSetting;
use crate::domain::id::{AdminKeyId, BudgetId, KeyId, LimitId, OrganizationId, TeamId, UserId};
use crate::domain::limit::RateLimit;
use crate::domain::tenant::{AdminKey, Organization, SecretHash, Team, User, VirtualKey};
use crate::store::{RowChange, Store, StoreError, Tenants};

pub use caller::{Caller, LastUse};
pub use imported::ImportedSecrets;

/// Budgets and rate limits of one owner, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerLimits {
    pub budgets: Vec<Budget>,
    pub limits: Vec<RateLimit>,
}

/// Object whose change concerns keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Above {
    Organization(OrganizationId),
    Team(TeamId),
    User(UserId),
    Parent(KeyId),
}

impl ShardKey for (Above, KeyId) {
    fn shard(&self) -> (u64, u64) {
        let (kind, id) = match self.0 {
            Above::Organization(id) => (0, id.0),
            Above::Team(id) => (1, id.0),
            Above::User(id) => (2, id.0),
            Above::Parent(id) => (3, id.0),
        };
        // ids are far below 2^60
        ((kind << 60) | id, self.1.shard().1)
    }
}

/// Snapshot of the tenants as of one commit.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    callers: ShardedMap<SecretHash, Arc<Caller>>,
    /// callers with secrets of another gateway
    imported: ImportedSecrets,
    admins: ShardedMap<SecretHash, Arc<AdminKey>>,
    keys: ShardedMap<KeyId, Arc<Caller>>,
    teams: ShardedMap<TeamId, Arc<Team>>,
    organizations: ShardedMap<OrganizationId, Arc<Organization>>,
    users: ShardedMap<UserId, Arc<User>>,
    admin_keys: ShardedMap<AdminKeyId, Arc<AdminKey>>,
    limits: ShardedMap<Owner, Arc<OwnerLimits>>,
    /// settings of prompt capture, of teams and keys
    captures: ShardedMap<Owner, Arc<CaptureSetting>>,
    budget_owners: ShardedMap<BudgetId, Owner>,
    limit_owners: ShardedMap<LimitId, Owner>,
    /// last uses as they were stored when the process began
    stored_uses: Arc<HashMap<KeyId, u64>>,
    /// keys below an object
    below: ShardedMap<(Above, KeyId), ()>,
}

impl Directory {
    pub fn build(tenants: Tenants) -> Directory {
        let mut directory = Directory {
            stored_uses: Arc::new(tenants.key_uses.into_iter().collect()),
            ..Directory::default()
        };
        let organizations = tenants.organizations.into_iter();
        let rows = organizations
            .map(RowChange::Organization)
            .chain(tenants.teams.into_iter().map(RowChange::Team))
            .chain(tenants.users.into_iter().map(RowChange::User))
            .chain(tenants.admin_keys.into_iter().map(RowChange::AdminKey))
            .chain(tenants.budgets.into_iter().map(RowChange::Budget))
            .chain(tenants.limits.into_iter().map(RowChange::Limit))
            .chain(tenants.captures.into_iter().map(RowChange::Capture))
            .chain(tenants.keys.into_iter().map(RowChange::Key));
        directory.update(rows);
        directory
    }

    /// The directory as these rows would leave it.
    #[must_use]
    pub fn with(&self, rows: impl IntoIterator<Item = RowChange>) -> Directory {
        let mut directory = self.clone();
        directory.update(rows);
        directory
    }

    /// Caller of the virtual key with this hash, even if disabled or expired; not if deleted. The hash may be the one before a
    /// rotation.
    pub fn caller(&self, hash: &SecretHash) -> Option<&Arc<Caller>> {
        self.callers
            .get(hash)
            .or_else(|| self.imported.caller(hash))
    }

    /// Keyed hash under which the caller of an imported secret is found; takes the SHA-256 of the secret. `None` before the seal key is
    /// read.
    pub fn imported_hash(&self, sha256: &SecretHash) -> Option<SecretHash> {
        self.imported.keyed(sha256)
    }

    /// The directory with the key of its keyed hashes. Until it has one, no imported secret is found.
    #[must_use]
    pub fn with_import_key(mut self, key: &[u8; 32]) -> Directory {
        self.imported = self.imported.with_key(key);
        self
    }

    /// Administrative key with this hash, even if disabled; not if deleted.
    pub fn admin(&self, hash: &SecretHash) -> Option<&AdminKey> {
        self.admins.get(hash).map(|admin| &**admin)
    }

    /// The key with this id, even if deleted.
    pub fn key(&self, id: KeyId) -> Option<&Arc<Caller>> {
        self.keys.get(&id)
    }

    /// The team with this id, even if deleted.
    pub fn team(&self, id: TeamId) -> Option<&Team> {
        self.teams.get(&id).map(|team| &**team)
    }

    /// The organization with this id, even if deleted.
    pub fn organization(&self, id: OrganizationId) -> Option<&Organization> {
        self.organizations
            .get(&id)
            .map(|organization| &**organization)
    }

    /// The user with this id, even if deleted.
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id).map(|user| &**user)
    }

    /// The administrative key with this id, even if deleted.
    pub fn admin_key(&self, id: AdminKeyId) -> Option<&AdminKey> {
        self.admin_keys.get(&id).map(|admin| &**admin)
    }

    pub fn live_key(&self, id: KeyId) -> Option<&VirtualKey> {
        let key = &self.key(id)?.key;
        key.deleted_ms.is_none().then_some(key)
    }

    pub fn live_team(&self, id: TeamId) -> Option<&Team> {
        self.team(id).filter(|team| team.deleted_ms.is_none())
    }

    pub fn live_organization(&self, id: OrganizationId) -> Option<&Organization> {
        self.organization(id)
            .filter(|organization| organization.deleted_ms.is_none())
    }

    pub fn live_user(&self, id: UserId) -> Option<&User> {
        self.user(id).filter(|user| user.deleted_ms.is_none())
    }

    pub fn live_admin_key(&self, id: AdminKeyId) -> Option<&AdminKey> {
        self.admin_key(id)
            .filter(|admin| admin.deleted_ms.is_none())
    }

    /// Live keys from an id on.
    pub fn keys_from(&self, first: KeyId) -> impl Iterator<Item = &Arc<Caller>> {
        let keys = self.keys.from(&first).map(|(_, caller)| caller);
        keys.filter(|caller| caller.key.deleted_ms.is_none())
    }

    /// Live keys, oldest first.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Caller>> {
        self.keys_from(KeyId(0))
    }

    /// Live teams, oldest first.
    pub fn teams(&self) -> impl Iterator<Item = &Team> {
        let teams = self.teams.values().map(|team| &**team);
        teams.filter(|team| team.deleted_ms.is_none())
    }

    /// Live organizations, oldest first.
    pub fn organizations(&self) -> impl Iterator<Item = &Organization> {
        let organizations = self.organizations.values();
        organizations
            .map(|organization| &**organization)
            .filter(|organization| organization.deleted_ms.is_none())
    }

    /// Live users, oldest first.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        let users = self.users.values().map(|user| &**user);
        users.filter(|user| user.deleted_ms.is_none())
    }

    /// Live administrative keys, oldest first.
    pub fn admin_keys(&self) -> impl Iterator<Item = &AdminKey> {
        let admins = self.admin_keys.values().map(|admin| &**admin);
        admins.filter(|admin| admin.deleted_ms.is_none())
    }

    /// Live keys of a team, oldest first.
    pub fn keys_of_team(&self, team: TeamId) -> impl Iterator<Item = &Arc<Caller>> {
        self.live_below(Above::Team(team))
    }

    /// Live child keys, oldest first.
    pub fn children_of(&self, parent: KeyId) -> impl Iterator<Item = &Arc<Caller>> {
        self.live_below(Above::Parent(parent))
    }

    /// Live personal keys, oldest first.
    pub fn keys_of_user(&self, user: UserId) -> impl Iterator<Item = &Arc<Caller>> {
        self.live_below(Above::User(user))
    }

    /// Budgets and rate limits of an owner itself.
    pub fn limits_of(&self, owner: Owner) -> OwnerLimits {
        let limits = self.limits.get(&owner);
        limits.map(|limits| (**limits).clone()).unwrap_or_default()
    }

    /// Setting of prompt capture of a team or key itself.
    pub fn capture_of(&self, owner: Owner) -> CaptureSetting {
        let setting = self.captures.get(&owner);
        setting.map_or_else(|| CaptureSetting::off(owner), |setting| (**setting).clone())
    }

    /// Settings of prompt capture of live teams and keys.
    pub fn captures(&self) -> impl Iterator<Item = &CaptureSetting> {
        let settings = self.captures.values().map(|setting| &**setting);
        settings.filter(|setting| match setting.owner {
            Owner::Organization(_) => false,
            Owner::Team(id) => self.live_team(id).is_some(),
            Owner::Key(id) => self.live_key(id).is_some(),
        })
    }

    /// Budgets from an id on.
    pub fn budgets_from(&self, first: BudgetId) -> impl Iterator<Item = &Budget> {
        self.budget_owners
            .from(&first)
            .filter_map(|(id, _)| self.budget(*id))
    }

    pub fn budget(&self, id: BudgetId) -> Option<&Budget> {
        let owner = self.budget_owners.get(&id)?;
        let budgets = &self.limits.get(owner)?.budgets;
        budgets.iter().find(|budget| budget.id == id)
    }

    fn live_below(&self, above: Above) -> impl Iterator<Item = &Arc<Caller>> {
        self.below(above)
            .filter_map(|id| self.keys.get(&id))
            .filter(|caller| caller.key.deleted_ms.is_none())
    }

    /// Ids of the keys below an object, deleted ones too.
    fn below(&self, above: Above) -> impl Iterator<Item = KeyId> {
        self.below
            .from(&(above, KeyId(0)))
            .map(|(entry, ())| *entry)
            .take_while(move |(of, _)| *of == above)
            .map(|(_, id)| id)
    }
}

/// Cell with the current directory. Reading takes no lock.
pub struct DirectoryCell {
    current: ArcSwap<Directory>,
    /// serializes updates
    updating: Mutex<()>,
    ended: watch::Sender<EndedCalls>,
}

/// Keys whose running calls were ended, with the number of the order that ended them.
#[derive(Clone, Debug, Default)]
pub struct EndedCalls {
    orders: u64,
    keys: Arc<HashMap<KeyId, u64>>,
}

impl EndedCalls {
    /// Number of the last order.
    pub fn orders(&self) -> u64 {
        self.orders
    }

    /// True if a later order than this one ended the calls of the key.
    pub fn has_ended(&self, key: KeyId, since: u64) -> bool {
        self.keys.get(&key).is_some_and(|order| *order > since)
    }
}

impl DirectoryCell {
    pub fn new(directory: Directory) -> DirectoryCell {
        DirectoryCell {
            current: ArcSwap::from_pointee(directory),
            updating: Mutex::new(()),
            ended: watch::channel(EndedCalls::default()).0,
        }
    }

    /// Loads the directory of an open store.
    pub fn open(store: &Store) -> Result<DirectoryCell, StoreError> {
        Ok(DirectoryCell::new(Directory::build(store.tenants()?)))
    }

    /// Sets the key of the keyed hashes of imported secrets, before the first call.
    pub fn set_import_key(&self, key: &[u8; 32]) {
        let _one_at_a_time = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = (*self.current.load_full()).clone().with_import_key(key);
        self.current.store(Arc::new(directory));
    }

    pub fn load(&self) -> Guard<Arc<Directory>> {
        self.current.load()
    }

    /// Current directory as an owned reference, for longer use.
    pub fn load_full(&self) -> Arc<Directory> {
        self.current.load_full()
    }

    /// Orders that end running calls.
    pub fn ended_calls(&self) -> watch::Receiver<EndedCalls> {
        self.ended.subscribe()
    }

    /// Ends the running calls of a key and its child keys. The change of the key must be in the directory already.
    pub fn end_calls(&self, key: KeyId) {
        self.ended.send_modify(|ended| {
            ended.orders += 1;
            Arc::make_mut(&mut ended.keys).insert(key, ended.orders);
        });
    }

    /// Puts committed rows into the directory. Calls must have the order of the commits: they come from the thread that commits.
    pub fn update(&self, rows: Vec<RowChange>) {
        let _one_at_a_time = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let mut directory = (*self.current.load_full()).clone();
        directory.update(rows);
        self.current.store(Arc::new(directory));
    }
}
