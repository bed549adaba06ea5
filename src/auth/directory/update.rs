//! Update of a directory by committed rows: replaces the rows, and rebuilds the callers of those keys that a row concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::directory::{Above, Caller, Directory, LastUse, OwnerLimits};
use crate::domain::budget::{Budget, Owner};
use crate::domain::capture::CaptureSetting;
use crate::domain::id::{BudgetId, KeyId, LimitId};
use crate::domain::limit::RateLimit;
use crate::domain::tenant::{AdminKey, PARENTS_MAX, SecretHash, VirtualKey};
use crate::store::RowChange;

/// Keys whose callers are to be rebuilt, with the new row of a changed key. In the order of ids a parent comes before its children.
type Concerned = BTreeMap<KeyId, Option<VirtualKey>>;

impl Directory {
    pub(super) fn update(&mut self, rows: impl IntoIterator<Item = RowChange>) {
        let mut concerned = Concerned::new();
        for row in rows {
            self.put(row, &mut concerned);
        }
        for (id, row) in concerned {
            let key = row.or_else(|| self.keys.get(&id).map(|caller| caller.key.clone()));
            if let Some(key) = key {
                self.put_caller(key);
            }
        }
    }

    fn put(&mut self, row: RowChange, concerned: &mut Concerned) {
        match row {
            RowChange::Organization(organization) => {
                self.concern(Above::Organization(organization.id), concerned);
                self.organizations
                    .insert(organization.id, Arc::new(organization));
            }
            RowChange::Team(team) => {
                self.concern(Above::Team(team.id), concerned);
                self.teams.insert(team.id, Arc::new(team));
            }
            RowChange::User(user) => {
                self.concern(Above::User(user.id), concerned);
                self.users.insert(user.id, Arc::new(user));
            }
            RowChange::Key(key) => {
                self.concern_children(key.id, concerned);
                concerned.insert(key.id, Some(key));
            }
            RowChange::AdminKey(admin) => self.put_admin(admin),
            RowChange::Budget(budget) => self.put_budget(budget, concerned),
            RowChange::BudgetRemoved(id) => self.remove_budget(id, concerned),
            RowChange::Limit(limit) => self.put_limit(limit, concerned),
            RowChange::LimitRemoved(id) => self.remove_limit(id, concerned),
            RowChange::Capture(setting) => self.put_capture(setting, concerned),
            // amounts belong to the ledger
            RowChange::OpeningBalance(..) => {}
            RowChange::Prices(_) => {}
        }
    }

    fn concern(&self, above: Above, concerned: &mut Concerned) {
        for id in self.below(above) {
            concerned.entry(id).or_default();
        }
    }

    fn concern_children(&self, parent: KeyId, concerned: &mut Concerned) {
        for id in self.below(Above::Parent(parent)) {
            concerned.entry(id).or_default();
            self.concern_children(id, concerned);
        }
    }

    fn concern_owner(&self, owner: Owner, concerned: &mut Concerned) {
        match owner {
            Owner::Organization(id) => self.concern(Above::Organization(id), concerned),
            Owner::Team(id) => self.concern(Above::Team(id), concerned),
            Owner::Key(id) => {
                concerned.entry(id).or_default();
                self.concern_children(id, concerned);
            }
        }
    }

    fn put_admin(&mut self, admin: AdminKey) {
        if let Some(old) = self.admin_keys.get(&admin.id) {
            self.admins.remove(&old.secret_hash);
        }
        let admin = Arc::new(admin);
        if admin.deleted_ms.is_none() {
            self.admins.insert(admin.secret_hash, admin.clone());
        }
        self.admin_keys.insert(admin.id, admin);
    }

    fn edit_limits(&mut self, owner: Owner, edit: impl FnOnce(&mut OwnerLimits)) {
        let mut limits = self.limits_of(owner);
        edit(&mut limits);
        if limits == OwnerLimits::default() {
            self.limits.remove(&owner);
        } else {
            self.limits.insert(owner, Arc::new(limits));
        }
    }

    fn put_budget(&mut self, budget: Budget, concerned: &mut Concerned) {
        let (id, owner) = (budget.id, budget.owner);
        if self.budget_owners.get(&id).is_none() {
            self.budget_owners.insert(id, owner);
            self.concern_owner(owner, concerned);
        }
        self.edit_limits(owner, |limits| {
            limits.budgets.retain(|other| other.id != id);
            limits.budgets.push(budget);
            limits.budgets.sort_by_key(|budget| budget.id);
        });
    }

    fn remove_budget(&mut self, id: BudgetId, concerned: &mut Concerned) {
        if let Some(owner) = self.budget_owners.remove(&id) {
            self.edit_limits(owner, |limits| {
                limits.budgets.retain(|budget| budget.id != id);
            });
            self.concern_owner(owner, concerned);
        }
    }

    fn put_limit(&mut self, limit: RateLimit, concerned: &mut Concerned) {
        let (id, owner) = (limit.id, limit.owner);
        if self.limit_owners.get(&id).is_none() {
            self.limit_owners.insert(id, owner);
            self.concern_owner(owner, concerned);
        }
        self.edit_limits(owner, |limits| {
            limits.limits.retain(|other| other.id != id);
            limits.limits.push(limit);
            limits.limits.sort_by_key(|limit| limit.id);
        });
    }

    fn remove_limit(&mut self, id: LimitId, concerned: &mut Concerned) {
        if let Some(owner) = self.limit_owners.remove(&id) {
            self.edit_limits(owner, |limits| {
                limits.limits.retain(|limit| limit.id != id);
            });
            self.concern_owner(owner, concerned);
        }
    }

    fn put_capture(&mut self, setting: CaptureSetting, concerned: &mut Concerned) {
        self.concern_owner(setting.owner, concerned);
        if setting.is_empty() {
            self.captures.remove(&setting.owner);
        } else {
            self.captures.insert(setting.owner, Arc::new(setting));
        }
    }

    /// Replaces a caller. A key without its ancestors, team or organization cannot be charged, so it is left out and refused.
    fn put_caller(&mut self, key: VirtualKey) {
        let old = self.keys.remove(&key.id);
        for (hash, imported) in old.iter().flat_map(|old| hashes(&old.key)) {
            match imported {
                true => self.imported.remove(&hash),
                false => drop(self.callers.remove(&hash)),
            }
        }
        let last_use = old.map_or_else(|| self.stored_use(key.id), |old| old.last_use.clone());
        let Some(caller) = self.caller_of(key, last_use) else {
            return;
        };
        let (key, caller) = (caller.key.clone(), Arc::new(caller));
        if key.deleted_ms.is_none() {
            for (hash, imported) in hashes(&key) {
                match imported {
                    true => self.imported.insert(hash, caller.clone()),
                    false => self.callers.insert(hash, caller.clone()),
                }
            }
        }
        self.keys.insert(key.id, caller);
        let above = [
            Some(Above::Organization(key.organization)),
            Some(Above::Team(key.team)),
            key.user.map(Above::User),
            key.parent.map(Above::Parent),
        ];
        for above in above.into_iter().flatten() {
            if self.below.get(&(above, key.id)).is_none() {
                self.below.insert((above, key.id), ());
            }
        }
    }

    fn stored_use(&self, id: KeyId) -> Arc<LastUse> {
        let at_ms = self.stored_uses.get(&id).copied().unwrap_or_default();
        Arc::new(LastUse::stored(at_ms))
    }

    fn caller_of(&self, key: VirtualKey, last_use: Arc<LastUse>) -> Option<Caller> {
        let Some(parents) = self.parents_of(&key) else {
            tracing::error!(key = %key.id, "key refused: stored without its parent or with too many ancestors");
            return None;
        };
        let (Some(team), Some(organization)) =
            (self.team(key.team), self.organization(key.organization))
        else {
            tracing::error!(key = %key.id, team = %key.team, organization = %key.organization, "key refused: stored without its team or organization");
            return None;
        };
        let user = match key.user.map(|id| self.user(id)) {
            Some(None) => {
                tracing::error!(key = %key.id, "key refused: stored without its user");
                return None;
            }
            user => user.flatten().cloned(),
        };
        let mut caller = Caller {
            team: team.clone(),
            organization: organization.clone(),
            user,
            parents,
            key,
            budgets: Vec::new(),
            limits: Vec::new(),
            last_use,
            capture: None,
        };
        let owners: Vec<Owner> = caller.owners().collect();
        // the nearest setting counts: of the key, its ancestors, the team
        caller.capture = owners
            .iter()
            .find_map(|owner| self.captures.get(owner)?.keep);
        for limits in owners.iter().filter_map(|owner| self.limits.get(owner)) {
            caller
                .budgets
                .extend(limits.budgets.iter().map(|budget| budget.id));
            caller
                .limits
                .extend(limits.limits.iter().map(|limit| limit.id));
        }
        Some(caller)
    }

    /// Ancestors of a key, nearest first; `None` if one is missing or there are more than `PARENTS_MAX`.
    fn parents_of(&self, key: &VirtualKey) -> Option<Vec<VirtualKey>> {
        let Some(id) = key.parent else {
            return Some(Vec::new());
        };
        let parent = self
            .keys
            .get(&id)
            .filter(|parent| parent.key.team == key.team && parent.parents.len() < PARENTS_MAX)?;
        Some(parent.keys().cloned().collect())
    }
}

/// Hash of the secret and of the one before the last rotation, each with its origin: `true` for an imported secret.
fn hashes(key: &VirtualKey) -> impl Iterator<Item = (SecretHash, bool)> + use<> {
    let previous = key.previous.as_ref();
    let previous = previous.map(|previous| (previous.secret_hash, previous.imported));
    std::iter::once((key.secret_hash, key.imported)).chain(previous)
}
