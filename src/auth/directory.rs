//! Directory of all keys in memory, looked up by hash: tenant, budgets and rate limits of each key. An immutable snapshot of the
//! last commit, replaced as a whole. It never contains amounts, which belong to the ledger, or secrets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::domain::budget::Owner;
use crate::domain::id::{BudgetId, KeyId, LimitId, OrganizationId, TeamId};
use crate::domain::tenant::{AdminKey, Organization, PARENTS_MAX, SecretHash, Team, VirtualKey};
use crate::store::{Store, StoreError, Tenants};

/// A virtual key with its ancestors, team and organization.
#[derive(Debug)]
pub struct Caller {
    pub key: VirtualKey,
    /// ancestor keys, nearest first
    pub parents: Vec<VirtualKey>,
    pub team: Team,
    pub organization: Organization,
    /// budgets of the key, then of its ancestors, team and organization
    pub budgets: Vec<BudgetId>,
    /// rate limits, in the same order
    pub limits: Vec<LimitId>,
}

impl Caller {
    /// Describes the owner of a budget or limit in a refusal message.
    pub fn describe_owner(&self, owner: Owner) -> String {
        match owner {
            Owner::Organization(_) => "this organization".to_owned(),
            Owner::Team(_) => "this team".to_owned(),
            Owner::Key(id) if id == self.key.id => "this key".to_owned(),
            Owner::Key(id) => format!("{id}, the key above this one,"),
        }
    }

    /// The key and its ancestors; a restriction of any of them applies to the key.
    pub fn keys(&self) -> impl Iterator<Item = &VirtualKey> + Clone {
        std::iter::once(&self.key).chain(&self.parents)
    }
}

/// Keys by id, and budgets and limits by owner.
#[derive(Default)]
struct OwnerIndex {
    keys: HashMap<KeyId, VirtualKey>,
    budgets: HashMap<Owner, Vec<BudgetId>>,
    limits: HashMap<Owner, Vec<LimitId>>,
}

impl OwnerIndex {
    /// Ancestors of a key, nearest first; `None` if one is missing or there are more than `PARENTS_MAX`.
    fn parents(&self, key: &VirtualKey) -> Option<Vec<VirtualKey>> {
        let mut parents: Vec<VirtualKey> = Vec::new();
        let mut next = key.parent;
        while let Some(id) = next {
            let parent = self
                .keys
                .get(&id)
                .filter(|parent| parent.team == key.team && parents.len() < PARENTS_MAX)?;
            next = parent.parent;
            parents.push(parent.clone());
        }
        Some(parents)
    }
}

/// Snapshot of the tenants as of one commit.
#[derive(Debug, Default)]
pub struct Directory {
    callers: HashMap<SecretHash, Arc<Caller>>,
    admins: HashMap<SecretHash, AdminKey>,
    keys: BTreeMap<KeyId, Arc<Caller>>,
    teams: BTreeMap<TeamId, Team>,
    organizations: BTreeMap<OrganizationId, Organization>,
}

impl Directory {
    pub fn build(tenants: Tenants) -> Directory {
        let mut index = OwnerIndex::default();
        for budget in &tenants.budgets {
            index
                .budgets
                .entry(budget.owner)
                .or_default()
                .push(budget.id);
        }
        for key in &tenants.keys {
            index.keys.insert(key.id, key.clone());
        }
        for limit in &tenants.limits {
            index.limits.entry(limit.owner).or_default().push(limit.id);
        }
        let mut directory = Directory {
            teams: tenants
                .teams
                .into_iter()
                .map(|team| (team.id, team))
                .collect(),
            organizations: tenants
                .organizations
                .into_iter()
                .map(|organization| (organization.id, organization))
                .collect(),
            admins: tenants
                .admin_keys
                .into_iter()
                .map(|admin| (admin.secret_hash, admin))
                .collect(),
            ..Directory::default()
        };
        for key in tenants.keys {
            directory.add(key, &index);
        }
        directory
    }

    /// Caller of the virtual key with this hash, even if disabled or expired.
    pub fn caller(&self, hash: &SecretHash) -> Option<&Arc<Caller>> {
        self.callers.get(hash)
    }

    /// Administrative key with this hash, even if disabled.
    pub fn admin(&self, hash: &SecretHash) -> Option<&AdminKey> {
        self.admins.get(hash)
    }

    pub fn key(&self, id: KeyId) -> Option<&Arc<Caller>> {
        self.keys.get(&id)
    }

    pub fn team(&self, id: TeamId) -> Option<&Team> {
        self.teams.get(&id)
    }

    pub fn organization(&self, id: OrganizationId) -> Option<&Organization> {
        self.organizations.get(&id)
    }

    pub fn keys(&self) -> impl Iterator<Item = &Arc<Caller>> {
        self.keys.values()
    }

    pub fn teams(&self) -> impl Iterator<Item = &Team> {
        self.teams.values()
    }

    pub fn organizations(&self) -> impl Iterator<Item = &Organization> {
        self.organizations.values()
    }

    pub fn admins(&self) -> impl Iterator<Item = &AdminKey> {
        self.admins.values()
    }

    /// Adds a key. A key without its ancestors, team or organization cannot be charged, so it is left out and refused.
    fn add(&mut self, key: VirtualKey, index: &OwnerIndex) {
        let Some(parents) = index.parents(&key) else {
            tracing::error!(key = %key.id, "key refused: stored without its parent or with too many ancestors");
            return;
        };
        let (Some(team), Some(organization)) = (
            self.teams.get(&key.team),
            self.organizations.get(&key.organization),
        ) else {
            tracing::error!(key = %key.id, team = %key.team, organization = %key.organization, "key refused: stored without its team or organization");
            return;
        };
        let keys = std::iter::once(&key)
            .chain(&parents)
            .map(|key| Owner::Key(key.id));
        let owners: Vec<Owner> = keys
            .chain([Owner::Team(team.id), Owner::Organization(organization.id)])
            .collect();
        let caller = Arc::new(Caller {
            budgets: owners
                .iter()
                .filter_map(|owner| index.budgets.get(owner))
                .flatten()
                .copied()
                .collect(),
            limits: owners
                .iter()
                .filter_map(|owner| index.limits.get(owner))
                .flatten()
                .copied()
                .collect(),
            team: team.clone(),
            organization: organization.clone(),
            parents,
            key,
        });
        self.keys.insert(caller.key.id, caller.clone());
        self.callers.insert(caller.key.secret_hash, caller);
    }
}

/// Cell with the current directory. Reading takes no lock.
pub struct DirectoryCell {
    current: ArcSwap<Directory>,
    /// serializes refreshes, so that an older snapshot never replaces a newer one
    refreshing: Mutex<()>,
}

impl DirectoryCell {
    pub fn new(directory: Directory) -> DirectoryCell {
        DirectoryCell {
            current: ArcSwap::from_pointee(directory),
            refreshing: Mutex::new(()),
        }
    }

    /// Loads the directory of an open store.
    pub fn open(store: &Store) -> Result<DirectoryCell, StoreError> {
        Ok(DirectoryCell::new(Directory::build(store.tenants()?)))
    }

    pub fn load(&self) -> Guard<Arc<Directory>> {
        self.current.load()
    }

    /// Current directory as an owned reference, for longer use.
    pub fn load_full(&self) -> Arc<Directory> {
        self.current.load_full()
    }

    /// Loads the committed tenants and replaces the directory.
    pub fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        self.refresh_with(store, |_| {})
    }

    /// Like `refresh`, but first passes the committed tenants to `before_swap`: the ledger must contain a budget before a caller
    /// refers to it, and must see changes in commit order. Removed budgets must be removed from the ledger only afterwards, as
    /// long as no caller refers to them any more.
    pub fn refresh_with<T>(
        &self,
        store: &Store,
        before_swap: impl FnOnce(&Tenants) -> T,
    ) -> Result<T, StoreError> {
        let _one_at_a_time = self
            .refreshing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let tenants = store.tenants()?;
        let result = before_swap(&tenants);
        self.current.store(Arc::new(Directory::build(tenants)));
        Ok(result)
    }
}

#[cfg(test)]
pub mod samples {
    use super::*;
    use crate::auth::key::{GeneratedKey, generate, generate_admin};
    use crate::domain::allow_list::AllowList;
    use crate::domain::budget::{Action, Budget, Period};
    use crate::domain::id::AdminKeyId;
    use crate::domain::limit::RateLimit;
    use crate::domain::money::Money;
    use crate::domain::secret::Secret;

    /// One organization, one team, one key of each kind, a budget at each level.
    pub struct Sample {
        pub directory: Directory,
        pub virtual_key: Secret,
        pub disabled_key: Secret,
        pub expiring_key: Secret,
        pub expires_ms: u64,
        /// children of the first, the disabled and the expiring key
        pub children: [Secret; 3],
        pub admin_key: Secret,
        pub disabled_admin_key: Secret,
    }

    fn key(id: u64, name: &str, generated: &GeneratedKey) -> VirtualKey {
        VirtualKey {
            id: KeyId(id),
            team: TeamId(2),
            organization: OrganizationId(1),
            parent: None,
            name: name.into(),
            secret_hash: generated.hash,
            hint: generated.hint.clone(),
            models: AllowList::All,
            expires_ms: None,
            disabled: false,
            created_ms: 0,
        }
    }

    fn admin(id: u64, name: &str, generated: &GeneratedKey) -> AdminKey {
        let (secret_hash, hint) = (generated.hash, generated.hint.clone());
        AdminKey {
            id: AdminKeyId(id),
            name: name.into(),
            secret_hash,
            hint,
            disabled: false,
            created_ms: 0,
        }
    }

    fn budget(id: u64, owner: Owner) -> Budget {
        let limit = Money::from_usd(10);
        Budget {
            id: BudgetId(id),
            owner,
            limit,
            period: Period::Monthly,
            action: Action::Block,
            model: None,
        }
    }

    fn limit(id: u64, owner: Owner) -> RateLimit {
        RateLimit {
            id: LimitId(id),
            owner,
            rpm: std::num::NonZeroU32::new(60),
            tpm: None,
            max_parallel: None,
            model: None,
        }
    }

    fn budgets() -> Vec<Budget> {
        vec![
            budget(9, Owner::Organization(OrganizationId(1))),
            budget(10, Owner::Team(TeamId(2))),
            budget(11, Owner::Key(KeyId(3))),
            budget(12, Owner::Key(KeyId(5))),
            budget(15, Owner::Key(KeyId(20))),
            budget(16, Owner::Key(KeyId(21))),
        ]
    }

    fn limits() -> Vec<RateLimit> {
        vec![
            limit(13, Owner::Organization(OrganizationId(1))),
            limit(14, Owner::Key(KeyId(3))),
        ]
    }

    pub fn sample() -> Sample {
        let [ci, off, brief] =
            ["ci", "off", "brief"].map(|name| generate(name).expect("randomness"));
        let children =
            ["grandchild", "of-off", "of-brief"].map(|name| generate(name).expect("randomness"));
        let child = |id: u64, parent: u64, generated: &GeneratedKey| VirtualKey {
            parent: Some(KeyId(parent)),
            ..key(id, &format!("child-{id}"), generated)
        };
        let [first, old] = [(); 2].map(|()| generate_admin().expect("randomness"));
        let expires_ms = 5_000_000_000;
        let tenants = Tenants {
            organizations: vec![Organization {
                id: OrganizationId(1),
                name: "default".into(),
                created_ms: 0,
            }],
            teams: vec![Team {
                id: TeamId(2),
                organization: OrganizationId(1),
                name: "engineering".into(),
                models: AllowList::All,
                created_ms: 0,
            }],
            keys: vec![
                key(3, "ci", &ci),
                VirtualKey {
                    disabled: true,
                    ..key(4, "off", &off)
                },
                VirtualKey {
                    expires_ms: Some(expires_ms),
                    ..key(5, "brief", &brief)
                },
                VirtualKey {
                    team: TeamId(99),
                    ..key(6, "lost", &generate("lost").expect("randomness"))
                },
                child(20, 3, &generate("child").expect("randomness")),
                child(21, 20, &children[0]),
                child(22, 4, &children[1]),
                child(23, 5, &children[2]),
                child(24, 99, &generate("orphan").expect("randomness")),
                child(25, 25, &generate("own-parent").expect("randomness")),
            ],
            admin_keys: vec![
                admin(7, "first", &first),
                AdminKey {
                    disabled: true,
                    ..admin(8, "old", &old)
                },
            ],
            budgets: budgets(),
            limits: limits(),
        };
        Sample {
            directory: Directory::build(tenants),
            virtual_key: ci.secret,
            disabled_key: off.secret,
            expiring_key: brief.secret,
            expires_ms,
            children: children.map(|generated| generated.secret),
            admin_key: first.secret,
            disabled_admin_key: old.secret,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::sample;
    use super::*;

    #[test]
    fn caller_lists_budgets_and_limits_from_key_to_organization() {
        let sample = sample();
        let caller = sample.directory.key(KeyId(3)).expect("the key");
        assert_eq!(caller.budgets, [BudgetId(11), BudgetId(10), BudgetId(9)]);
        assert_eq!(caller.limits, [LimitId(14), LimitId(13)]);
        assert_eq!(
            sample.directory.key(KeyId(4)).expect("the key").budgets,
            [BudgetId(10), BudgetId(9)]
        );
    }

    #[test]
    fn child_key_is_charged_to_every_ancestor() {
        let sample = sample();
        let caller = sample.directory.key(KeyId(21)).expect("the key");
        assert_eq!(caller.budgets, [16, 15, 11, 10, 9].map(BudgetId));
        assert_eq!(caller.limits, [LimitId(14), LimitId(13)]);
        assert_eq!(
            caller.keys().map(|key| key.id).collect::<Vec<_>>(),
            [21, 20, 3].map(KeyId)
        );
    }

    #[test]
    fn key_without_team_or_parent_is_unknown() {
        let directory = sample().directory;
        assert!(
            [6, 24, 25]
                .into_iter()
                .all(|id| directory.key(KeyId(id)).is_none())
        );
    }
}
