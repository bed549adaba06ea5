//! Sample directory for tests: one organization, one team, keys of each kind, a budget at each level.

use crate::auth::directory::Directory;
use crate::auth::key::{GeneratedKey, generate, generate_owner};
use crate::domain::allow_list::AllowList;
use crate::domain::budget::{Action, Budget, Owner, Period};
use crate::domain::id::{AdminKeyId, BudgetId, KeyId, LimitId, OrganizationId, TeamId};
use crate::domain::limit::RateLimit;
use crate::domain::money::Money;
use crate::domain::role::Membership;
use crate::domain::secret::Secret;
use crate::domain::tenant::{
    AdminAccess, AdminKey, Labels, MemberKeyRules, Organization, Team, VirtualKey,
};
use crate::store::Tenants;

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
        user: None,
        name: name.into(),
        secret_hash: generated.hash,
        imported: false,
        hint: generated.hint.clone(),
        previous: None,
        models: AllowList::All,
        labels: Labels::default(),
        endpoints: None,
        max_cost: None,
        expires_ms: None,
        disabled: false,
        created_ms: 0,
        deleted_ms: None,
    }
}

fn admin(id: u64, name: &str, generated: &GeneratedKey) -> AdminKey {
    let (secret_hash, hint) = (generated.hash, generated.hint.clone());
    AdminKey {
        id: AdminKeyId(id),
        name: name.into(),
        access: AdminAccess::Role(Membership::OWNER),
        secret_hash,
        hint,
        expires_ms: None,
        disabled: false,
        created_ms: 0,
        deleted_ms: None,
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

fn organization() -> Organization {
    Organization {
        id: OrganizationId(1),
        name: "default".into(),
        models: AllowList::All,
        created_ms: 0,
        deleted_ms: None,
    }
}

fn team() -> Team {
    Team {
        id: TeamId(2),
        organization: OrganizationId(1),
        name: "engineering".into(),
        models: AllowList::All,
        labels: Labels::default(),
        endpoints: None,
        max_cost: None,
        member_keys: MemberKeyRules::default(),
        created_ms: 0,
        deleted_ms: None,
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
    let [ci, off, brief] = ["ci", "off", "brief"].map(|name| generate(name).expect("randomness"));
    let children =
        ["grandchild", "of-off", "of-brief"].map(|name| generate(name).expect("randomness"));
    let child = |id: u64, parent: u64, generated: &GeneratedKey| VirtualKey {
        parent: Some(KeyId(parent)),
        ..key(id, &format!("child-{id}"), generated)
    };
    let [first, old] = [(); 2].map(|()| generate_owner().expect("randomness"));
    let expires_ms = 5_000_000_000;
    let tenants = Tenants {
        captures: Vec::new(),
        organizations: vec![organization()],
        teams: vec![team()],
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
        users: Vec::new(),
        key_uses: Vec::new(),
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

#[cfg(test)]
mod tests {
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
