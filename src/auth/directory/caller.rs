//! `Caller`: a virtual key with all that its calls depend on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::budget::Owner;
use crate::domain::capture::KeepDays;
use crate::domain::id::{BudgetId, LimitId};
use crate::domain::money::Money;
use crate::domain::tenant::{Organization, Team, User, VirtualKey};

/// A virtual key with its ancestors, team and organization.
#[derive(Debug)]
pub struct Caller {
    pub key: VirtualKey,
    /// ancestor keys, nearest first
    pub parents: Vec<VirtualKey>,
    pub team: Team,
    pub organization: Organization,
    /// owner of a personal key
    pub user: Option<User>,
    /// budgets of the key, then of its ancestors, team and organization
    pub budgets: Vec<BudgetId>,
    /// rate limits, in the same order
    pub limits: Vec<LimitId>,
    pub last_use: Arc<LastUse>,
    /// retention of the captured calls; `None`: nothing is captured
    pub capture: Option<KeepDays>,
}

/// Time of the last call of a key, shared by all snapshots of the directory.
#[derive(Debug, Default)]
pub struct LastUse {
    at_ms: AtomicU64,
    stored_ms: AtomicU64,
}

impl LastUse {
    pub(super) fn stored(at_ms: u64) -> LastUse {
        LastUse {
            at_ms: AtomicU64::new(at_ms),
            stored_ms: AtomicU64::new(at_ms),
        }
    }

    pub fn note(&self, now_ms: u64) {
        self.at_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// `None`: never used.
    pub fn at_ms(&self) -> Option<u64> {
        Some(self.at_ms.load(Ordering::Relaxed)).filter(|at_ms| *at_ms > 0)
    }

    /// Time of the last use if it is not stored yet.
    pub fn unstored_ms(&self) -> Option<u64> {
        let stored_ms = self.stored_ms.load(Ordering::Relaxed);
        self.at_ms().filter(|at_ms| *at_ms > stored_ms)
    }

    pub fn mark_stored(&self, at_ms: u64) {
        self.stored_ms.fetch_max(at_ms, Ordering::Relaxed);
    }
}

impl Caller {
    /// Describes the owner of a budget or limit in a refusal message.
    pub fn describe_owner(&self, owner: Owner) -> String {
        match owner {
            Owner::Organization(_) => format!("organization {}", self.organization.name),
            Owner::Team(_) => format!("team {}", self.team.name),
            Owner::Key(id) if id == self.key.id => "this key".to_owned(),
            Owner::Key(id) => match self.parents.iter().find(|parent| parent.id == id) {
                Some(parent) => format!("key {} above this one", parent.name),
                None => format!("key {id} above this one"),
            },
        }
    }

    /// The key and its ancestors; a restriction of any of them applies to the key.
    pub fn keys(&self) -> impl Iterator<Item = &VirtualKey> + Clone {
        std::iter::once(&self.key).chain(&self.parents)
    }

    /// Most that one request may cost by the settings of the key, its ancestors and its team.
    pub fn max_cost(&self) -> Option<Money> {
        let keys = self.keys().filter_map(|key| key.max_cost);
        keys.chain(self.team.max_cost).min()
    }

    /// The key, its ancestors, its team and its organization as owners of budgets and limits, in this order.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        self.keys().map(|key| Owner::Key(key.id)).chain([
            Owner::Team(self.team.id),
            Owner::Organization(self.organization.id),
        ])
    }
}
