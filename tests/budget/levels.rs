//! Race through organization, team, parent key, child keys and a model pattern: one of them, by seed, has room for twenty
//! calls in one window, all others have more. No budget is overspent, and the tight one is used up. Backups are taken meanwhile.

use gatekeeper::domain::id::BudgetId;
use serde_json::{Value, json};

use super::backups::{Backup, BackupCounts, assert_restored_budgets, back_up_while};
use super::race::{
    CONCURRENCY, REQUESTS, Race, cost_of, count_served, run_sampled, spent, start_gateway,
};
use super::sampler::{SampleCounts, budgets};
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Key, text};
use crate::harness::upstream::{BillLine, Upstream};
use crate::harness::{print_figure, repetitions, usd};

/// Room of tight budgets and of all others, in calls.
const TIGHT: i128 = 20;
const ROOMY: i128 = 45;
/// Models of the chat calls, about half of all calls.
const PATTERN: &str = "m-*";

/// Owner of the tight budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Organization,
    Team,
    Parent,
    Children,
    /// parent key, for the chat models only
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

/// The tight budget of a race; ten seeds cover every level in both windows.
#[derive(Clone, Copy, Debug)]
struct TightBudget {
    level: Level,
    window: &'static str,
}

impl TightBudget {
    fn from_seed(seed: u64) -> TightBudget {
        TightBudget {
            level: LEVELS[(seed % 5) as usize],
            window: WINDOWS[(seed % 2) as usize],
        }
    }

    /// Budgets of one level: one per window, and the pattern budget of the parent key.
    fn budgets(self, level: Level, cost: i128) -> Value {
        // calls outside the pattern must not use up the other budgets first
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

/// Organization, team, parent key and two child keys, each with its budgets.
struct OwnerTree {
    organization: String,
    team: String,
    parent: Key,
    children: [Key; 2],
}

impl OwnerTree {
    fn create(
        gateway: &mut InProcessGateway,
        name: &str,
        tight: TightBudget,
        cost: i128,
    ) -> OwnerTree {
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
        OwnerTree {
            organization,
            team: team.id,
            parent,
            children,
        }
    }

    /// Responses of the API in order: organization, team, parent, children.
    fn shown(&self, gateway: &InProcessGateway) -> Vec<Value> {
        let keys = [&self.parent, &self.children[0], &self.children[1]]
            .map(|key| format!("/v1/keys/{}", key.id));
        let owners = [
            format!("/v1/organizations/{}", self.organization),
            format!("/v1/teams/{}", self.team),
        ];
        let paths = owners.into_iter().chain(keys);
        paths
            .map(|path| gateway.admin().get(&path).assert_status(200).json())
            .collect()
    }
}

/// Races on one gateway.
const RACES: usize = 10;

#[test]
fn race_through_all_levels_overspends_no_budget() {
    let upstream = Upstream::start();
    let seeds: Vec<u64> = (0..repetitions("GK_RACE_SEEDS", 5) as u64).collect();
    let (mut samples_total, mut backups_total) = (SampleCounts::default(), BackupCounts::default());
    for seeds in seeds.chunks(RACES) {
        let mut gateway = start_gateway(&upstream);
        for seed in seeds {
            let (samples, backups) = race_through_all_levels(*seed, &upstream, &mut gateway);
            samples_total.add(samples);
            backups_total.add(backups);
        }
    }
    let SampleCounts { all, held } = samples_total;
    let BackupCounts { backups, in_flight } = backups_total;
    print_figure(
        "race through all levels",
        &format!(
            "{} seeds, {REQUESTS} requests each, {CONCURRENCY} at once: never over, {held} of {all} looks saw holds, \
             {backups} backups restored with {in_flight} calls in flight",
            seeds.len()
        ),
    );
    assert!(in_flight > 0, "no backup was taken while calls ran");
}

fn race_through_all_levels(
    seed: u64,
    upstream: &Upstream,
    gateway: &mut InProcessGateway,
) -> (SampleCounts, BackupCounts) {
    let (race, from, tight) = (
        Race::from_seed(seed, upstream),
        upstream.bill().len(),
        TightBudget::from_seed(seed),
    );
    let owners = OwnerTree::create(gateway, &format!("levels-{seed}"), tight, race.cost);
    let all: Vec<BudgetId> = owners.shown(gateway).iter().flat_map(budgets).collect();
    assert_eq!(
        all.len(),
        11,
        "two windows for each of five owners, and a pattern"
    );
    let folder = tempfile::tempdir().expect("a folder for backups");
    let ((responses, samples), backups) = back_up_while(gateway, upstream, &race, &folder, || {
        run_sampled(&race, gateway, &owners.children, &all)
    });
    let lines = upstream.wait_until_idle().bill().split_off(from);
    assert_eq!(
        count_served(&responses),
        lines.len() as i128,
        "seed {seed}: {tight:?}"
    );
    let shown = owners.shown(gateway);
    let when = format!("seed {seed}: {tight:?}");
    assert_spent_equals_bill(&shown, &lines, &when);
    for budget in tight_budgets(&shown, tight) {
        let (calls, least) = (
            spent(budget) / race.cost,
            race.served_min(TIGHT * race.cost),
        );
        assert!(
            (least..=TIGHT).contains(&calls),
            "{when}: {calls} calls, at least {least} expected"
        );
    }
    let counts = assert_backups(&backups, &owners, gateway, upstream, &when);
    (samples, counts)
}

/// Restores every backup of a race and checks its books against the running ones.
fn assert_backups(
    backups: &[Backup],
    owners: &OwnerTree,
    gateway: &InProcessGateway,
    upstream: &Upstream,
    when: &str,
) -> BackupCounts {
    // only the usage report waits until the books are up to date
    gateway.usage();
    let running = gateway.requests();
    let in_flight = backups.iter().map(|backup| {
        let restored = backup.verify_and_restore(gateway, upstream);
        restored.usage();
        let rows = restored.requests();
        assert_restored_budgets(&owners.shown(&restored), &rows, when);
        backup.assert_is_a_cut(&rows, &running)
    });
    BackupCounts {
        in_flight: in_flight.sum(),
        backups: backups.len(),
    }
}

/// Checks every budget, and the sum over the children, against the upstream's bill.
fn assert_spent_equals_bill(shown: &[Value], lines: &[BillLine], when: &str) {
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

/// The tight budgets: one, or one per child.
fn tight_budgets(shown: &[Value], tight: TightBudget) -> Vec<&Value> {
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
