//! The life that organizations, teams, users and keys have in common on the command line: their arguments, and how an answer of the
//! server is shown: as a sentence or a table, as JSON, or with --quiet as ids.

use std::ops::Deref;

use serde_json::Value;

use crate::cli::admin::ServerArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::parse::{BudgetArgument, LimitArguments};
use crate::cli::style::Style;
use crate::cli::values::{budgets, cell, limits, rows};

/// Flags of a command that shows organizations, teams, users or keys.
#[derive(Clone, Debug, clap::Args)]
pub struct ResourceArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print ids only, one on a line; of a new secret only the secret
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

impl Deref for ResourceArgs {
    type Target = ServerArgs;

    fn deref(&self) -> &ServerArgs {
        &self.server
    }
}

impl ResourceArgs {
    /// Shows one object; `text` is for people.
    pub fn show(&self, object: &Value, text: impl FnOnce(&Style) -> String) -> Result<(), Failure> {
        if self.server.json {
            return print_json(object);
        }
        if self.quiet {
            let secret = object["key"].as_str();
            let line = secret.map_or_else(|| cell(&object["id"]), str::to_owned);
            return print(&format!("{line}\n"));
        }
        print(&text(&self.server.style()))
    }

    /// Shows a list; `text` is for people.
    pub fn show_list(
        &self,
        list: &Value,
        text: impl FnOnce(&Style) -> String,
    ) -> Result<(), Failure> {
        if self.server.json {
            return print_json(list);
        }
        if self.quiet {
            let line = |object: &Value| format!("{}\n", cell(&object["id"]));
            return print(&rows(list).iter().map(line).collect::<String>());
        }
        print(&text(&self.server.style()))
    }

    /// Shows the rows of a long list; `objects` are the rows as the server gave them, for scripts.
    pub fn show_rows<'i>(
        &self,
        ids: impl Iterator<Item = &'i str>,
        objects: impl FnOnce() -> Value,
        text: impl FnOnce(&Style) -> String,
    ) -> Result<(), Failure> {
        if self.server.json {
            return print_json(&objects());
        }
        if self.quiet {
            return print(&ids.map(|id| format!("{id}\n")).collect::<String>());
        }
        print(&text(&self.server.style()))
    }

    /// Reports a deletion, to people only.
    pub fn show_deleted(&self, text: &str) -> Result<(), Failure> {
        match self.server.json || self.quiet {
            true => Ok(()),
            false => print(text),
        }
    }
}

/// Budgets and limits of a new organization or team.
#[derive(Clone, Debug, clap::Args)]
pub struct NewLimitsArgs {
    /// Budget: '$10' in total, '$10/day', '$10/week' or '$10/month'; may be repeated
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    budget: Vec<BudgetArgument>,
    #[command(flatten)]
    limits: LimitArguments,
}

impl NewLimitsArgs {
    pub fn add_to(&self, body: &mut Value) {
        body["budgets"] = self.budget.iter().map(BudgetArgument::json).collect();
        self.limits.add_to(body);
    }
}

/// Kind of object.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    pub noun: &'static str,
    pub path: &'static str,
    /// member by which people know the object
    pub name: &'static str,
    /// lines below the first one
    pub terms: fn(&Value, &Style) -> String,
    pub table: fn(&[Value], &Style) -> String,
}

impl Resource {
    pub async fn create(&self, args: &ResourceArgs, body: &Value) -> Result<(), Failure> {
        let object = args.admin()?.post(self.path, body).await?;
        self.show(args, "created", &object)
    }

    pub async fn update(
        &self,
        args: &ResourceArgs,
        object: &Value,
        body: &Value,
    ) -> Result<(), Failure> {
        let path = format!("{}/{}", self.path, cell(&object["id"]));
        let object = args.admin()?.patch(&path, body).await?;
        self.show(args, "changed", &object)
    }

    /// `cascade`: what depends on the object goes with it.
    pub async fn delete(
        &self,
        args: &ResourceArgs,
        object: &Value,
        cascade: bool,
    ) -> Result<(), Failure> {
        let id = cell(&object["id"]);
        let path = format!("{}/{id}?cascade={cascade}", self.path);
        args.admin()?.delete(&path).await?;
        let (noun, name) = (self.noun, cell(&object[self.name]));
        args.show_deleted(&format!("deleted {noun} {name} ({id})\n"))
    }

    pub async fn list(&self, args: &ResourceArgs) -> Result<(), Failure> {
        let objects = args.admin()?.list(self.path).await?;
        let list = Value::Array(objects);
        args.show_list(&list, |style| match rows(&list) {
            [] => {
                let Resource { noun, name, .. } = self;
                let name = name.to_uppercase();
                format!("no {noun}s yet; create one with `gatekeeper {noun}s create {name}`\n")
            }
            objects => (self.table)(objects, style),
        })
    }

    pub fn show(&self, args: &ResourceArgs, done: &str, object: &Value) -> Result<(), Failure> {
        args.show(object, |style| {
            let (noun, name) = (self.noun, cell(&object[self.name]));
            let terms = (self.terms)(object, style);
            format!("{done} {noun} {name} ({})\n{terms}", cell(&object["id"]))
        })
    }
}

/// Lines of an owner's budgets and limits.
pub fn limit_terms(owner: &Value, style: &Style) -> String {
    format!(
        "  budgets  {}\n  limits   {}\n",
        budgets(&owner["budgets"], style),
        limits(&owner["limits"])
    )
}
