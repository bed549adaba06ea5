//! The table of `gatekeeper keys list`: for each key what holds, its own or inherited: the allow-list, and of the budgets
//! above it the one with the least left. Reads the server's lists; decides nothing.

use std::collections::HashMap;

use serde_json::Value;

use crate::cli::admin::AdminClient;
use crate::cli::failure::Failure;
use crate::cli::resolve;
use crate::cli::style::{Style, Tone, fill_tone, percent};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::values::{budget_terms, cell, limits, models, rows};
use crate::domain::money::Money;

/// State of a key, which decides whether calls with it are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyState {
    Active,
    Disabled,
    Expired,
}

pub fn state_of(key: &Value, style: &Style) -> KeyState {
    if key["disabled"] == true {
        KeyState::Disabled
    } else if style.is_past(&key["expires_at"]) {
        KeyState::Expired
    } else {
        KeyState::Active
    }
}

/// Keys, and the owners above them.
pub struct KeyTenants {
    /// all keys, teams and organizations
    objects: Vec<Value>,
    /// positions of the keys of the list
    keys: Vec<usize>,
    /// positions by id
    owners: HashMap<String, usize>,
    /// cost of this month by key
    spent: HashMap<String, Value>,
}

impl KeyTenants {
    /// All keys, or those of one team.
    pub async fn fetch(admin: &AdminClient, team: Option<&str>) -> Result<KeyTenants, Failure> {
        let mut objects = admin.list("/v1/keys").await?;
        let mut keys: Vec<usize> = (0..objects.len()).collect();
        let teams = admin.list("/v1/teams").await?;
        if let Some(team) = team {
            let team = resolve::find("team", &resolve::named(teams.clone()), team)?;
            keys.retain(|index| objects[*index]["team"] == team["id"]);
        }
        objects.extend(teams);
        objects.extend(admin.list("/v1/organizations").await?);
        let usage = admin.get("/v1/usage?group_by=key").await?;
        let cost = |row: &Value| (cell(&row["key"]), row["cost_usd"].clone());
        Ok(KeyTenants {
            spent: rows(&usage["data"]).iter().map(cost).collect(),
            ..KeyTenants::of(objects, keys)
        })
    }

    fn of(objects: Vec<Value>, keys: Vec<usize>) -> KeyTenants {
        let positions = objects.iter().enumerate();
        KeyTenants {
            owners: positions
                .map(|(index, owner)| (cell(&owner["id"]), index))
                .collect(),
            objects,
            keys,
            spent: HashMap::new(),
        }
    }

    /// Keys of the list.
    pub fn keys(&self) -> impl Iterator<Item = &Value> {
        self.keys.iter().map(|index| &self.objects[*index])
    }

    fn owner(&self, id: &Value) -> Option<&Value> {
        let index = self.owners.get(id.as_str()?)?;
        self.objects.get(*index)
    }

    pub fn render(&self, keys: &[&Value], style: &Style) -> String {
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

    fn row(&self, key: &Value, style: &Style) -> Vec<Cell> {
        let (left, budget) = match self.tightest(key) {
            Some((owner, budget)) => self.budget_cells(key, owner, budget, style),
            None => (Cell::default(), Cell::toned(Tone::Dim, "none")),
        };
        let spent = key["id"].as_str().and_then(|id| self.spent.get(id));
        let (expires, limits) = (&key["expires_at"], limits(&key["limits"]));
        vec![
            self.name(key).into(),
            Cell::toned(Tone::Dim, cell(&key["id"])),
            Cell::toned(Tone::Dim, format!("…{}", cell(&key["hint"]))),
            match state_of(key, style) {
                KeyState::Active if key["imported"] == true => "active, imported".into(),
                KeyState::Active => "active".into(),
                KeyState::Disabled => Cell::toned(Tone::Bad, "disabled"),
                KeyState::Expired => Cell::toned(Tone::Warning, "expired"),
            },
            self.models(key).into(),
            spent
                .map_or("$0.00".to_owned(), |cost| style.money(cost))
                .into(),
            left,
            budget,
            if limits == "none" {
                "".into()
            } else {
                limits.into()
            },
            if expires.is_null() {
                "".into()
            } else {
                style.day(expires).into()
            },
            style.day(&key["created_at"]).into(),
        ]
    }

    /// `team/key`, and the parent of a child key: `eng/laptop < eng/shared`.
    fn name(&self, key: &Value) -> String {
        let name = |id: &Value| self.owner(id).map(|owner| cell(&owner["name"]));
        let team = name(&key["team"]).unwrap_or_else(|| cell(&key["team"]));
        let own = format!("{team}/{}", cell(&key["name"]));
        match name(&key["parent"]) {
            Some(parent) => format!("{own} (below {parent})"),
            None => own,
        }
    }

    /// The allow-list of the key; without one, that of the next owner above it which has one.
    fn models(&self, key: &Value) -> String {
        let listed = |owner: &&Value| owner["models"].is_array();
        match self.chain(key).into_iter().find(listed) {
            Some(owner) if owner["id"] == key["id"] => models(&owner["models"]),
            Some(owner) => format!("{} ({})", models(&owner["models"]), kind(owner)),
            None => "all".to_owned(),
        }
    }

    /// The key, its parents, its team and its organization.
    fn chain<'a>(&'a self, key: &'a Value) -> Vec<&'a Value> {
        let mut chain = vec![key];
        let mut next = key;
        while let Some(parent) = self.owner(&next["parent"]) {
            // a list of the server has no cycle; the bound only makes the loop end in any case
            if chain.len() > self.owners.len() {
                break;
            }
            chain.push(parent);
            next = parent;
        }
        chain.extend(self.owner(&key["team"]));
        chain.extend(self.owner(&key["organization"]));
        chain
    }

    /// The blocking budget above the key with the least left, and its owner.
    fn tightest<'a>(&'a self, key: &'a Value) -> Option<(&'a Value, &'a Value)> {
        let left = |budget: &Value| {
            let left = Money::parse_signed(budget["remaining"].as_str()?).ok()?;
            Some(left.pico())
        };
        let budgets = self.chain(key).into_iter().flat_map(|owner| {
            let budgets = rows(&owner["budgets"]).iter();
            budgets.map(move |budget| (owner, budget))
        });
        budgets
            .filter(|(_, budget)| budget["action"] == "block")
            .min_by_key(|(_, budget)| left(budget).unwrap_or(i128::MAX))
    }

    fn budget_cells(
        &self,
        key: &Value,
        owner: &Value,
        budget: &Value,
        style: &Style,
    ) -> (Cell, Cell) {
        let tone = percent(&budget["spent"], &budget["limit"]).map_or(Tone::Plain, fill_tone);
        let inherited = if owner["id"] == key["id"] {
            String::new()
        } else {
            format!(" ({})", kind(owner))
        };
        (
            Cell::toned(tone, style.money(&budget["remaining"])),
            format!("{}{inherited}", budget_terms(budget, style)).into(),
        )
    }
}

fn kind(owner: &Value) -> String {
    match owner["object"].as_str() {
        Some("key") => format!("key {}", cell(&owner["name"])),
        _ => cell(&owner["object"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tenants() -> KeyTenants {
        let budget = |limit: &str, left: &str| {
            json!([{"limit": limit, "period": "monthly", "action": "block", "model": null,
                "spent": "1", "remaining": left}])
        };
        let key = json!({"id": "key_1", "object": "key", "name": "laptop", "team": "team_1", "hint": "k3Xz",
            "organization": "org_1", "models": null, "budgets": budget("50", "49"), "limits": [],
            "disabled": false, "created_at": "2026-11-02T00:00:00Z"});
        let team = json!({"id": "team_1", "object": "team", "name": "eng", "models": ["gpt-5*"],
            "budgets": budget("10", "2.5")});
        KeyTenants {
            spent: HashMap::from([("key_1".to_owned(), json!("7.5"))]),
            ..KeyTenants::of(vec![key, team], vec![0])
        }
    }

    #[test]
    fn key_row_shows_inherited_models_and_the_tightest_budget() {
        let tenants = tenants();
        let keys: Vec<&Value> = tenants.keys().collect();
        let text = tenants.render(&keys, &Style::default());
        for expected in [
            "eng/laptop",
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
    fn key_state_follows_disabled_then_expiry() {
        let state = |key: Value| state_of(&key, &Style::default());
        assert_eq!(state(json!({"disabled": true})), KeyState::Disabled);
        assert_eq!(state(json!({"disabled": false})), KeyState::Active);
    }
}
