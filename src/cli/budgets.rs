//! `gatekeeper budgets`: lists all budgets with what is spent, held and left, sets and raises one, removes one. An owner is an
//! organization, a team or a key, by id or name. The server has the last word on every amount.

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::{AdminClient, ServerArgs};
use super::failure::Failure;
use super::resolve::{self, Candidate};
use crate::cli::output::{print, print_json};
use crate::cli::parse::{BudgetArgument, Raise, raise};
use crate::cli::style::{Style, Tone, bar, fill_tone, percent};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::values::{budget_terms, cell, rows};
use crate::domain::money::Money;
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List budgets with what is spent, held and left
    List(ListArgs),
    /// Set the budget of an owner for a period, and for one model pattern if wanted
    Set(SetArgs),
    /// Raise the limit of a budget to '$20' or by '+$5'
    Raise(RaiseArgs),
    /// Remove a budget
    Remove(RemoveArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// Only budgets of this owner: organization, team or key, by id or name
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct SetArgs {
    /// Organization, team or key, by id or name; `team/key` for a key of a team
    owner: String,
    /// '$10' in total, '$10/day', '$10/week' or '$10/month'
    #[arg(allow_hyphen_values = true)]
    amount: BudgetArgument,
    /// Count only calls of these models, e.g. 'gpt-5*'
    #[arg(long, value_name = "PATTERN")]
    model: Option<String>,
    /// Only warn when the budget is used up, never refuse
    #[arg(long)]
    warn: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RaiseArgs {
    /// Budget by id, e.g. bud_8, or its owner if that has only one
    budget: String,
    /// New limit, '$20', or the amount to add, '+$5'
    #[arg(allow_hyphen_values = true, value_parser = raise)]
    amount: Raise,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RemoveArgs {
    /// Budget by id, e.g. bud_8, or its owner if that has only one
    budget: String,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => process::block_on(list(args)),
        Command::Set(args) => process::block_on(set(args)),
        Command::Raise(args) => process::block_on(raise_limit(args)),
        Command::Remove(args) => process::block_on(remove(args)),
    }
}

/// Organizations, teams and keys with their budgets, in this order; labels as `team eng`.
struct Owners(Vec<Candidate>);

impl Owners {
    async fn fetch(admin: &AdminClient) -> Result<Owners, Failure> {
        let organizations = admin.list("/v1/organizations").await?;
        let teams = admin.list("/v1/teams").await?;
        let keys = resolve::qualified_keys(admin.list("/v1/keys").await?, &teams);
        let mut owners = resolve::named(organizations);
        owners.extend(resolve::named(teams));
        owners.extend(keys);
        Ok(Owners(owners))
    }

    /// Owner with this id or name. A bare name is first sought among organizations and teams: a key is `team/key`.
    fn find(&self, text: &str) -> Result<&Candidate, Failure> {
        let is_key = |owner: &&Candidate| kind_of(owner) == "key";
        let (keys, above): (Vec<&Candidate>, Vec<&Candidate>) = self.0.iter().partition(is_key);
        let owned = |owners: &[&Candidate]| owners.iter().copied().cloned().collect::<Vec<_>>();
        let named = |owner: &&&Candidate| owner.resource["name"] == text;
        let candidates = match above.iter().filter(named).count() {
            0 => owned(&[above, keys].concat()),
            _ => owned(&above),
        };
        let found = resolve::find("organization, team or key", &candidates, text)?;
        let is_found = |owner: &&Candidate| owner.resource["id"] == found["id"];
        self.0
            .iter()
            .find(is_found)
            .ok_or_else(|| Failure::runtime("owner disappeared; try again"))
    }

    /// Owner and budget by the id of the budget, or by an owner that has only one.
    fn find_budget(&self, text: &str) -> Result<(&Candidate, &Value), Failure> {
        let all = || {
            self.0.iter().flat_map(|owner| {
                let budgets = rows(&owner.resource["budgets"]).iter();
                budgets.map(move |budget| (owner, budget))
            })
        };
        if let Some(found) = all().find(|(_, budget)| budget["id"] == text) {
            return Ok(found);
        }
        if text.starts_with("bud_") {
            return Err(Failure::runtime(format!(
                "unknown budget `{text}`; `gatekeeper budgets list` shows all"
            )));
        }
        let owner = self.find(text)?;
        match rows(&owner.resource["budgets"]) {
            [only] => Ok((owner, only)),
            [] => Err(Failure::runtime(format!(
                "{} {} has no budget; give it one with `gatekeeper budgets set {text} '$10/month'`",
                kind_of(owner),
                owner.label
            ))),
            several => {
                let style = Style::default();
                let listed = several.iter().map(|budget| {
                    format!("{} ({})", cell(&budget["id"]), budget_terms(budget, &style))
                });
                Err(Failure::usage(format!(
                    "{} {} has several budgets; name one by its id: {}",
                    kind_of(owner),
                    owner.label,
                    listed.collect::<Vec<_>>().join(", ")
                )))
            }
        }
    }
}

fn kind_of(owner: &Candidate) -> &str {
    owner.resource["object"].as_str().unwrap_or("owner")
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let owners = Owners::fetch(&args.server.admin()?).await?;
    let shown: Vec<&Candidate> = match &args.owner {
        Some(owner) => vec![owners.find(owner)?],
        None => owners.0.iter().collect(),
    };
    if args.server.json {
        let rows_of = |owner: &&Candidate| {
            let (id, name) = (owner.resource["id"].clone(), owner.label.clone());
            let with_owner = move |budget: &Value| {
                let mut budget = budget.clone();
                budget["owner"] = id.clone();
                budget["owner_name"] = json!(name);
                budget
            };
            rows(&owner.resource["budgets"])
                .iter()
                .map(with_owner)
                .collect::<Vec<_>>()
        };
        return print_json(&shown.iter().flat_map(rows_of).collect());
    }
    print(&render(&shown, &args.server.style()))
}

fn render(owners: &[&Candidate], style: &Style) -> String {
    let mut table = Table::new([
        Column::text("OWNER").flexible(),
        Column::text("ID"),
        Column::text("BUDGET").flexible(),
        Column::number("SPENT"),
        Column::number("HELD").sparse().hidden_at(2),
        Column::number("LEFT"),
        Column::text("USED"),
        Column::text("WOULD REFUSE").sparse().hidden_at(3),
        Column::text("RESETS").hidden_at(1),
    ]);
    let mut is_empty = true;
    for owner in owners {
        for budget in rows(&owner.resource["budgets"]) {
            table.row(budget_row(owner, budget, style));
            is_empty = false;
        }
    }
    if is_empty {
        return "no budgets yet; set one with `gatekeeper budgets set TEAM '$10/month'`\n"
            .to_owned();
    }
    table.render(style)
}

fn budget_row(owner: &Candidate, budget: &Value, style: &Style) -> Vec<Cell> {
    let used = percent(&budget["spent"], &budget["limit"]);
    let tone = used.map_or(Tone::Plain, fill_tone);
    let held = match budget["held"].as_str() {
        Some("0") | None => String::new(),
        Some(_) => style.money(&budget["held"]),
    };
    let resets = match &budget["resets_at"] {
        Value::Null => Cell::toned(Tone::Dim, "never"),
        at => style.date(at).into(),
    };
    vec![
        format!("{} {}", kind_of(owner), owner.label).into(),
        Cell::toned(Tone::Dim, cell(&budget["id"])),
        budget_terms(budget, style).into(),
        style.money(&budget["spent"]).into(),
        held.into(),
        Cell::toned(tone, style.money(&budget["remaining"])),
        Cell::toned(tone, used.map(bar).unwrap_or_default()),
        would_refuse(budget, style).into(),
        resets,
    ]
}

/// Requests that a budget which warns would have refused if it blocked, with their cost.
fn would_refuse(budget: &Value, style: &Style) -> String {
    match budget["would_refuse_requests"].as_u64() {
        None | Some(0) => String::new(),
        Some(requests) => format!("{requests}, {}", style.money(&budget["would_refuse"])),
    }
}

/// Terms of a budget as a request body has them.
fn terms(budget: &Value) -> Value {
    json!({
        "limit": budget["limit"],
        "period": budget["period"],
        "action": budget["action"],
        "model": budget["model"],
    })
}

async fn set(args: SetArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let owners = Owners::fetch(&admin).await?;
    let owner = owners.find(&args.owner)?;
    let mut wanted = args.amount.json();
    wanted["action"] = json!(if args.warn { "warn" } else { "block" });
    wanted["model"] = json!(args.model);
    let counts_the_same = |budget: &&Value| {
        budget["period"] == wanted["period"] && budget["model"] == wanted["model"]
    };
    let present = rows(&owner.resource["budgets"]).iter();
    let mut budgets: Vec<Value> = present
        .filter(|budget| !counts_the_same(budget))
        .map(terms)
        .collect();
    budgets.push(wanted.clone());
    let changed = patch(&admin, owner, budgets).await?;
    let stored = rows(&changed["budgets"]).iter().find(counts_the_same);
    show(&args.server, owner, stored.unwrap_or(&wanted), "set budget")
}

async fn raise_limit(args: RaiseArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let owners = Owners::fetch(&admin).await?;
    let (owner, budget) = owners.find_budget(&args.budget)?;
    let present = budget["limit"].as_str().unwrap_or_default();
    let present = Money::parse(present)
        .map_err(|error| Failure::runtime(format!("limit of the budget unreadable: {error}")))?;
    let limit = match args.amount {
        Raise::To(limit) if limit <= present => {
            return Err(Failure::usage(format!(
                "the budget has a limit of ${present} already; to lower it, use `gatekeeper budgets set`"
            )));
        }
        Raise::To(limit) => limit,
        Raise::By(amount) => present.plus(amount),
    };
    let raised = |other: &Value| {
        let mut terms = terms(other);
        if other["id"] == budget["id"] {
            terms["limit"] = json!(limit.to_string());
        }
        terms
    };
    let budgets = rows(&owner.resource["budgets"])
        .iter()
        .map(raised)
        .collect();
    let changed = patch(&admin, owner, budgets).await?;
    let stored = rows(&changed["budgets"])
        .iter()
        .find(|other| other["id"] == budget["id"]);
    show(
        &args.server,
        owner,
        stored.unwrap_or(budget),
        "raised budget",
    )
}

async fn remove(args: RemoveArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let owners = Owners::fetch(&admin).await?;
    let (owner, budget) = owners.find_budget(&args.budget)?;
    let kept = rows(&owner.resource["budgets"]).iter();
    let kept = kept
        .filter(|other| other["id"] != budget["id"])
        .map(terms)
        .collect();
    patch(&admin, owner, kept).await?;
    if args.server.json {
        return print_json(budget);
    }
    print(&format!(
        "removed budget {} of {} {}: {}\n",
        cell(&budget["id"]),
        kind_of(owner),
        owner.label,
        budget_terms(budget, &args.server.style())
    ))
}

/// Replaces the budgets of an owner; the server keeps the spend of each that counts the same.
async fn patch(
    admin: &AdminClient,
    owner: &Candidate,
    budgets: Vec<Value>,
) -> Result<Value, Failure> {
    let path = format!("/v1/{}s/{}", kind_of(owner), cell(&owner.resource["id"]));
    admin.patch(&path, &json!({ "budgets": budgets })).await
}

fn show(server: &ServerArgs, owner: &Candidate, budget: &Value, done: &str) -> Result<(), Failure> {
    if server.json {
        return print_json(budget);
    }
    let style = server.style();
    print(&format!(
        "{done} {} of {} {}: {}, {} spent, {} left\n",
        cell(&budget["id"]),
        kind_of(owner),
        owner.label,
        budget_terms(budget, &style),
        style.money(&budget["spent"]),
        style.money(&budget["remaining"]),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners() -> Owners {
        let budget = |id: &str, period: &str| {
            json!({"id": id, "limit": "10", "period": period, "action": "block", "model": null,
                "spent": "7.5", "held": "0", "remaining": "2.5", "resets_at": null})
        };
        let team = json!({"id": "team_1", "object": "team", "name": "eng", "budgets": [budget("bud_1", "monthly")]});
        let other = json!({"id": "team_2", "object": "team", "name": "ops",
            "budgets": [budget("bud_2", "monthly"), budget("bud_3", "daily")]});
        let key =
            json!({"id": "key_4", "object": "key", "name": "eng", "team": "team_2", "budgets": []});
        let teams = vec![team, other];
        let keys = resolve::qualified_keys(vec![key], &teams);
        let mut all = resolve::named(teams);
        all.extend(keys);
        Owners(all)
    }

    #[test]
    fn budget_is_found_by_id_or_by_its_only_owner() {
        let owners = owners();
        let id = |text: &str| {
            let found = owners.find_budget(text);
            found
                .map(|(_, budget)| cell(&budget["id"]))
                .map_err(|failure| failure.to_string())
        };
        assert_eq!(id("bud_3").as_deref(), Ok("bud_3"));
        assert_eq!(id("team_1").as_deref(), Ok("bud_1"));
        let several = id("ops").expect_err("two");
        assert!(
            several.contains("bud_2 ($10.00/month), bud_3 ($10.00/day)"),
            "{several}"
        );
        assert_eq!(id("eng").as_deref(), Ok("bud_1"), "the team, not the key");
        assert!(id("bud_9").expect_err("none").contains("budgets list"));
        assert!(
            id("ops/eng")
                .expect_err("none")
                .contains("budgets set ops/eng")
        );
    }

    #[test]
    fn budget_row_has_a_bar_and_its_reset() {
        let owners = owners();
        let shown: Vec<&Candidate> = owners.0.iter().collect();
        let text = render(&shown, &Style::default());
        assert!(text.starts_with("OWNER     ID     BUDGET"), "{text}");
        assert!(!text.contains("HELD"), "{text}");
        assert!(text.contains("▓▓▓▓▓▓░░  75%"), "{text}");
    }
}
