//! The race through organization, team, parent key, child keys and a model pattern: the seed says which of them has room for
//! twenty calls, and in which window; all others have more. Never is one overspent, and the tight one is used up.

use gatekeeper::domain::id::BudgetId;
use serde_json::{Value, json};

use super::race::{AT_ONCE, REQUESTS, Race, cost_of, house, raced, served, spent};
use super::sampler::{Looks, budgets};
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Key, text};
use crate::harness::upstream::{BillLine, Upstream};
use crate::harness::{print_figure, repetitions, usd};

/// What the tight budgets have room for, in calls, and the others.
const TIGHT: i128 = 20;
const ROOMY: i128 = 45;
/// The chat calls, about half of all.
const PATTERN: &str = "m-*";

/// Whose budget is tight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Organization,
    Team,
    Parent,
    Children,
    /// the parent's for the chat models alone
    Pattern,
}

const LEVELS: [Level; 5] = [
    Level::Organization,
    Level::Team,
    Level::Parent,
    Level::Children,
    Level::Pattern,
];
const WINDOWS: [&str; 2] = ["total", "daily"];

/// What binds in a race: after ten seeds every level did in both windows.
#[derive(Clone, Copy, Debug)]
struct Tight {
    level: Level,
    window: &'static str,
}

impl Tight {
    fn seeded(seed: u64) -> Tight {
        Tight {
            level: LEVELS[(seed % 5) as usize],
            window: WINDOWS[(seed % 2) as usize],
        }
    }

    /// The budgets of one level: one a window, and the parent's for a pattern.
    fn budgets(self, level: Level, cost: i128) -> Value {
        // what the pattern does not count must not use up the others' room before the pattern's is
        let roomy = if self.level == Level::Pattern {
            REQUESTS as i128 + ROOMY
        } else {
            ROOMY
        };
        let limit = |level, window| if self.level == level && self.window == window { TIGHT } else { roomy } * cost;
        let mut budgets: Vec<Value> = WINDOWS
            .into_iter()
            .map(|window| json!({"limit": usd(limit(level, window)), "period": window}))
            .collect();
        if level == Level::Parent {
            let limit = usd(limit(Level::Pattern, self.window));
            budgets.push(json!({"limit": limit, "period": self.window, "model": PATTERN}));
        }
        json!(budgets)
    }
}

/// Organization, team, parent key and two children, each with its budgets.
struct Family {
    organization: String,
    team: String,
    parent: Key,
    children: [Key; 2],
}

impl Family {
    fn made(gateway: &mut InProcessGateway, name: &str, tight: Tight, cost: i128) -> Family {
        let of = |level| tight.budgets(level, cost);
        let organization = json!({"name": name, "budgets": of(Level::Organization)});
        let organization = text(
            &gateway
                .admin()
                .post("/v1/organizations", &organization)
                .assert_status(201)
                .json(),
            "id",
        );
        let team = gateway
            .team(&json!({"name": name, "organization": organization, "budgets": of(Level::Team)}));
        let parent =
            gateway.key(&json!({"name": "parent", "team": team.id, "budgets": of(Level::Parent)}));
        let child = |name| {
            gateway.key(&json!({"name": name, "parent": parent.id, "budgets": of(Level::Children)}))
        };
        let children = ["a", "b"].map(child);
        Family {
            organization,
            team: team.id,
            parent,
            children,
        }
    }

    /// As the API shows them: the organization, the team, the parent, the children.
    fn shown(&self, gateway: &InProcessGateway) -> Vec<Value> {
        let found = gateway
            .admin()
            .get("/v1/organizations")
            .assert_status(200)
            .json();
        let of_id = |one: &&Value| one["id"] == json!(self.organization);
        let organization = found["data"]
            .as_array()
            .expect("a list")
            .iter()
            .find(of_id)
            .expect("the organization")
            .clone();
        let keys = [&self.parent, &self.children[0], &self.children[1]]
            .map(|key| format!("/v1/keys/{}", key.id));
        let paths = [format!("/v1/teams/{}", self.team)].into_iter().chain(keys);
        [organization]
            .into_iter()
            .chain(paths.map(|path| gateway.admin().get(&path).assert_status(200).json()))
            .collect()
    }
}

#[test]
fn no_level_is_overspent_whichever_has_the_least_room() {
    let upstream = Upstream::start();
    let mut gateway = house(&upstream);
    let seeds = repetitions("GK_RACE_SEEDS", 5);
    let mut looked = Looks::default();
    for seed in 0..seeds as u64 {
        looked.add(race_through_all_levels(seed, &upstream, &mut gateway));
    }
    let Looks { all, held } = looked;
    print_figure(
        "race through all levels",
        &format!(
            "{seeds} seeds, {REQUESTS} requests each, {AT_ONCE} at once: never over, {held} of {all} looks saw holds"
        ),
    );
}

fn race_through_all_levels(
    seed: u64,
    upstream: &Upstream,
    gateway: &mut InProcessGateway,
) -> Looks {
    let (race, from, tight) = (
        Race::seeded(seed, upstream),
        upstream.bill().len(),
        Tight::seeded(seed),
    );
    let family = Family::made(gateway, &format!("levels-{seed}"), tight, race.cost);
    let all: Vec<BudgetId> = family.shown(gateway).iter().flat_map(budgets).collect();
    assert_eq!(
        all.len(),
        11,
        "two windows at each of five owners, and a pattern"
    );
    let (answers, looks) = raced(&race, gateway, &family.children, &all);
    let lines = upstream.wait_until_idle().bill().split_off(from);
    assert_eq!(
        served(&answers),
        lines.len() as i128,
        "seed {seed}: {tight:?}"
    );
    let shown = family.shown(gateway);
    is_what_was_billed(&shown, &lines, &format!("seed {seed}: {tight:?}"));
    for budget in tight_ones(&shown, tight) {
        let (calls, least) = (spent(budget) / race.cost, race.least(TIGHT * race.cost));
        assert!(
            (least..=TIGHT).contains(&calls),
            "seed {seed}: {tight:?}: {calls} calls, at least {least} expected"
        );
    }
    looks
}

/// Every budget stands at the upstream's own bill, and the children's together do.
fn is_what_was_billed(shown: &[Value], lines: &[BillLine], when: &str) {
    let chat: Vec<BillLine> = lines
        .iter()
        .filter(|line| line.model.starts_with("m-"))
        .cloned()
        .collect();
    let (bill, of_chat) = (cost_of(lines), cost_of(&chat));
    let (shared, children) = shown.split_at(3);
    for budget in shared
        .iter()
        .flat_map(|owner| owner["budgets"].as_array().expect("budgets"))
    {
        let expected = if budget["model"].is_null() {
            bill
        } else {
            of_chat
        };
        assert_eq!(usd(spent(budget)), usd(expected), "{when}: {budget}");
    }
    let of_children: i128 = children
        .iter()
        .map(|child| spent(&child["budgets"][0]))
        .sum();
    assert_eq!(usd(of_children), usd(bill), "{when}");
    assert!(
        children
            .iter()
            .all(|child| child["budgets"][0]["spent"] == child["budgets"][1]["spent"]),
        "{when}"
    );
}

/// The budgets that bind: one, or one of each child.
fn tight_ones(shown: &[Value], tight: Tight) -> Vec<&Value> {
    let owners = match tight.level {
        Level::Organization => &shown[..1],
        Level::Team => &shown[1..2],
        Level::Parent | Level::Pattern => &shown[2..3],
        Level::Children => &shown[3..],
    };
    let is_tight = |budget: &&Value| {
        budget["period"] == tight.window
            && budget["model"].is_null() == (tight.level != Level::Pattern)
    };
    owners
        .iter()
        .flat_map(|owner| {
            owner["budgets"]
                .as_array()
                .expect("budgets")
                .iter()
                .filter(is_tight)
        })
        .collect()
}
