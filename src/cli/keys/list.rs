//! The table of `gatekeeper keys list`: for each key what holds, its own or inherited: the allow-list, and of the budgets
//! above it the one with the least left. Reads the server's lists; decides nothing.

use std::collections::HashMap;

use serde_json::Value;

use super::owner::{BudgetRow, OwnerRow, rows_of};
use crate::cli::admin::AdminClient;
use crate::cli::failure::Failure;
use crate::cli::resolve;
use crate::cli::style::{Style, Tone, fill_tone, percent_of};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::values::{cell, limits, models, rows};
use crate::domain::money::Money;

/// State of a key, which decides whether calls with it are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyState {
    Active,
    Disabled,
    Expired,
}

pub fn state_of(key: &OwnerRow<'_>, style: &Style) -> KeyState {
    let is_past = |at: &str| style.is_past(at);
    if key.disabled {
        KeyState::Disabled
    } else if key.expires_at.as_deref().is_some_and(is_past) {
        KeyState::Expired
    } else {
        KeyState::Active
    }
}

/// Pages of the server's lists.
#[derive(Debug, Default)]
pub struct KeyPages {
    keys: Vec<String>,
    teams: Vec<String>,
    organizations: Vec<String>,
    /// cost of this month by key
    usage: Value,
}

impl KeyPages {
    /// All keys, or those of one team, and the owners above them.
    pub async fn fetch(admin: &AdminClient, team: Option<&str>) -> Result<KeyPages, Failure> {
        let of_team = match team {
            Some(team) => {
                let team = resolve::team(admin, team).await?;
                format!("/v1/keys?team={}", cell(&team["id"]))
            }
            None => "/v1/keys".to_owned(),
        };
        let (keys, teams, organizations, usage) = tokio::try_join!(
            admin.pages(&of_team),
            admin.pages("/v1/teams"),
            admin.pages("/v1/organizations"),
            admin.get("/v1/usage?group_by=key"),
        )?;
        Ok(KeyPages {
            keys,
            teams,
            organizations,
            usage,
        })
    }

    pub fn tenants(&self) -> Result<KeyTenants<'_>, Failure> {
        let (keys, mut owners) = (rows_of(&self.keys)?, rows_of(&self.teams)?);
        owners.extend(rows_of(&self.organizations)?);
        let cost = |row: &Value| (cell(&row["key"]), row["cost_usd"].clone());
        Ok(KeyTenants {
            spent: rows(&self.usage["data"]).iter().map(cost).collect(),
            ..KeyTenants::of(keys, owners)
        })
    }

    /// Keys as the server gave them, of these positions in the order of the list.
    pub fn objects(&self, keys: &[&OwnerRow<'_>]) -> Value {
        let mut shown = keys.iter().map(|key| key.id.as_ref()).peekable();
        let mut objects = Vec::new();
        for page in &self.keys {
            let mut page: Value = serde_json::from_str(page).unwrap_or(Value::Null);
            for key in page["data"].as_array_mut().into_iter().flatten() {
                if shown.next_if(|id| key["id"] == **id).is_some() {
                    objects.push(key.take());
                }
            }
        }
        objects.into()
    }
}

/// Keys, and the owners above them.
pub struct KeyTenants<'p> {
    keys: Vec<OwnerRow<'p>>,
    /// teams and organizations
    owners: Vec<OwnerRow<'p>>,
    /// positions of keys, and those of owners after them, by id
    positions: HashMap<String, usize>,
    /// cost of this month by key
    spent: HashMap<String, Value>,
}

impl<'p> KeyTenants<'p> {
    fn of(keys: Vec<OwnerRow<'p>>, owners: Vec<OwnerRow<'p>>) -> KeyTenants<'p> {
        let all = keys.iter().chain(&owners).enumerate();
        KeyTenants {
            positions: all.map(|(at, owner)| (owner.id.to_string(), at)).collect(),
            keys,
            owners,
            spent: HashMap::new(),
        }
    }

    /// Keys of the list.
    pub fn keys(&self) -> impl Iterator<Item = &OwnerRow<'p>> {
        self.keys.iter()
    }

    fn owner(&self, id: Option<&str>) -> Option<&OwnerRow<'p>> {
        let at = *self.positions.get(id?)?;
        self.keys
            .get(at)
            .or_else(|| self.owners.get(at - self.keys.len()))
    }

    pub fn render(&self, keys: &[&OwnerRow<'p>], style: &Style) -> String {
        let mut table = Table::new([
            Column::text("KEY").flexible(),
            Column::text("ID"),
            Column::text("ENDS").hidden_at(5),
            Column::text("STATE"),
            Column::text("MODELS").flexible().hidden_at(2),
            Column::number("MONTH"),
            Column::number("LEFT"),
            Column::text("OF BUDGET").flexible().hidden_at(1),
            Column::text("LIMITS").flexible().sparse().hidden_at(7),
            Column::text("EXPIRES").sparse().hidden_at(4),
            Column::text("CREATED").hidden_at(6),
        ]);
        for key in keys {
            table.row(self.row(key, style));
        }
        table.render(style)
    }

    fn row(&self, key: &OwnerRow<'p>, style: &Style) -> Vec<Cell> {
        let chain = self.chain(key);
        let (left, budget) = match tightest(&chain) {
            Some((owner, budget)) => budget_cells(key, owner, budget, style),
            None => (Cell::default(), Cell::toned(Tone::Dim, "none")),
        };
        let spent = self.spent.get(key.id.as_ref());
        let limits = match rows(&key.limits) {
            [] => String::new(),
            _ => limits(&key.limits),
        };
        let day = |at: &Option<_>| at.as_deref().map_or(String::new(), |at| style.day_text(at));
        vec![
            self.name(key).into(),
            Cell::toned(Tone::Dim, key.id.as_ref()),
            Cell::toned(
                Tone::Dim,
                format!("…{}", key.hint.as_deref().unwrap_or("-")),
            ),
            match state_of(key, style) {
                KeyState::Active if key.imported => "active, imported".into(),
                KeyState::Active => "active".into(),
                KeyState::Disabled => Cell::toned(Tone::Bad, "disabled"),
                KeyState::Expired => Cell::toned(Tone::Warning, "expired"),
            },
            allow_list(&chain).into(),
            spent
                .map_or("$0.00".to_owned(), |cost| style.money(cost))
                .into(),
            left,
            budget,
            limits.into(),
            day(&key.expires_at).into(),
            day(&key.created_at).into(),
        ]
    }

    /// `team/key`, and the parent of a child key: `eng/laptop < eng/shared`.
    fn name(&self, key: &OwnerRow<'p>) -> String {
        let team = key.team.as_deref();
        let team_name = self.owner(team).map(|owner| owner.name.as_ref());
        let own = format!("{}/{}", team_name.or(team).unwrap_or("-"), key.name);
        match self.owner(key.parent.as_deref()) {
            Some(parent) => format!("{own} (below {})", parent.name),
            None => own,
        }
    }

    /// The key, its parents, its team and its organization.
    fn chain<'a>(&'a self, key: &'a OwnerRow<'p>) -> Vec<&'a OwnerRow<'p>> {
        let mut chain = vec![key];
        let mut next = key;
        while let Some(parent) = self.owner(next.parent.as_deref()) {
            // a list of the server has no cycle; the bound only makes the loop end in any case
            if chain.len() > self.positions.len() {
                break;
            }
            chain.push(parent);
            next = parent;
        }
        chain.extend(self.owner(key.team.as_deref()));
        chain.extend(self.owner(key.organization.as_deref()));
        chain
    }
}

/// The allow-list of the key; without one, that of the next owner above it which has one.
fn allow_list(chain: &[&OwnerRow<'_>]) -> String {
    let mut listed = chain.iter().enumerate();
    match listed.find(|(_, owner)| owner.models.is_array()) {
        Some((0, owner)) => models(&owner.models),
        Some((_, owner)) => format!("{} ({})", models(&owner.models), kind(owner)),
        None => "all".to_owned(),
    }
}

/// The blocking budget above the key with the least left, and its owner.
fn tightest<'a, 'p>(chain: &[&'a OwnerRow<'p>]) -> Option<(&'a OwnerRow<'p>, &'a BudgetRow<'p>)> {
    let left = |budget: &BudgetRow<'_>| {
        let left = Money::parse_signed(budget.remaining.as_deref()?).ok()?;
        Some(left.pico())
    };
    let budgets = chain.iter().flat_map(|owner| {
        let budgets = owner.budgets.iter();
        budgets.map(move |budget| (*owner, budget))
    });
    budgets
        .filter(|(_, budget)| budget.action == "block")
        .min_by_key(|(_, budget)| left(budget).unwrap_or(i128::MAX))
}

fn budget_cells(
    key: &OwnerRow<'_>,
    owner: &OwnerRow<'_>,
    budget: &BudgetRow<'_>,
    style: &Style,
) -> (Cell, Cell) {
    let used = budget.spent.as_deref();
    let used = used.and_then(|spent| percent_of(spent, &budget.limit));
    let inherited = if owner.id == key.id {
        String::new()
    } else {
        format!(" ({})", kind(owner))
    };
    let left = budget.remaining.as_deref();
    (
        Cell::toned(
            used.map_or(Tone::Plain, fill_tone),
            left.map_or("-".to_owned(), |left| style.money_text(left)),
        ),
        format!("{}{inherited}", budget.words().render(style)).into(),
    )
}

fn kind(owner: &OwnerRow<'_>) -> String {
    match owner.object.as_ref() {
        "key" => format!("key {}", owner.name),
        kind => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pages() -> KeyPages {
        let budget = |limit: &str, left: &str| {
            json!([{"limit": limit, "period": "monthly", "action": "block", "model": null,
                "spent": "1", "remaining": left}])
        };
        let key = json!({"id": "key_1", "object": "key", "name": "lap\"top", "team": "team_1", "hint": "k3Xz",
            "organization": "org_1", "models": null, "budgets": budget("50", "49"), "limits": [],
            "disabled": false, "created_at": "2026-11-02T00:00:00Z"});
        let mut other = key.clone();
        other["id"] = json!("key_2");
        let team = json!({"id": "team_1", "object": "team", "name": "eng", "models": ["gpt-5*"],
            "budgets": budget("10", "2.5")});
        let page = |rows: Value| vec![json!({"data": rows, "next": null}).to_string()];
        KeyPages {
            keys: page(json!([key, other])),
            teams: page(json!([team])),
            organizations: Vec::new(),
            usage: json!({"data": [{"key": "key_1", "cost_usd": "7.5"}]}),
        }
    }

    #[test]
    fn key_row_shows_inherited_models_and_the_tightest_budget() {
        let pages = pages();
        let tenants = pages.tenants().expect("valid");
        let keys: Vec<_> = tenants.keys().collect();
        let text = tenants.render(&keys, &Style::default());
        for expected in [
            "eng/lap\"top",
            "…k3Xz",
            "active",
            "gpt-5* (team)",
            "$7.50  $2.50  $10.00/month (team)",
            "2 Nov 2026",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }

    #[test]
    fn key_objects_are_those_of_the_rows_as_the_server_gave_them() {
        let pages = pages();
        let tenants = pages.tenants().expect("valid");
        let second = tenants.keys().nth(1).expect("a key");
        let objects = pages.objects(&[second]);
        assert_eq!(rows(&objects).len(), 1);
        assert_eq!(objects[0]["id"], "key_2");
        assert_eq!(objects[0]["budgets"][0]["spent"], "1");
    }

    #[test]
    fn key_state_follows_disabled_then_expiry() {
        let state = |members: Value| {
            let mut key = json!({"id": "key_1", "name": "k"});
            let members = members.as_object().expect("an object").clone();
            key.as_object_mut().expect("an object").extend(members);
            let text = key.to_string();
            let row = serde_json::from_str(&text).expect("a row");
            state_of(
                &row,
                &Style {
                    now_ms: 1,
                    ..Style::default()
                },
            )
        };
        let past = "1970-01-01T00:00:00Z";
        assert_eq!(
            state(json!({"disabled": true, "expires_at": past})),
            KeyState::Disabled
        );
        assert_eq!(state(json!({"disabled": false})), KeyState::Active);
        assert_eq!(state(json!({"expires_at": past})), KeyState::Expired);
        assert_eq!(
            state(json!({"expires_at": "2099-01-01T00:00:00Z"})),
            KeyState::Active
        );
    }
}
