//! `gatekeeper providers keys`: lists, adds, changes and removes the API keys of a provider that has several. A secret is read from standard
//! input and stored sealed; no command shows one.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use crate::cli::admin::percent_encode;
use crate::cli::changes::require_change;
use crate::cli::declared::secret_from_stdin;
use crate::cli::parse::{LimitChange, limit_change};
use crate::cli::resource::ResourceArgs;
use crate::cli::style::Style;
use crate::cli::table::{Column, Table};
use crate::cli::values::{cell, rows};

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the keys of a provider, those of the configuration file too
    List(ListArgs),
    /// Add a key, read from standard input; calls are spread over all keys by their weight
    Add(KeyArgs),
    /// Change a key of a provider that was added here
    Update(UpdateArgs),
    /// Remove a key
    Remove(NamesArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// Name of the provider
    provider: String,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct NamesArgs {
    /// Name of the provider
    provider: String,
    /// Name of the key
    name: String,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct KeyArgs {
    #[command(flatten)]
    names: NamesArgs,
    #[command(flatten)]
    terms: TermArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct UpdateArgs {
    /// Read a new secret from standard input
    #[arg(long)]
    key_stdin: bool,
    #[command(flatten)]
    key: KeyArgs,
}

/// Share and bounds of a key.
#[derive(Clone, Debug, clap::Args)]
struct TermArgs {
    /// Share of the calls, 1 to 1000 (default 1)
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// Requests per minute of each model, or `none`
    #[arg(long, value_name = "N", value_parser = limit_change)]
    rpm: Option<LimitChange>,
    /// Tokens per minute of each model, or `none`
    #[arg(long, value_name = "N", value_parser = limit_change)]
    tpm: Option<LimitChange>,
}

impl TermArgs {
    fn entry(&self) -> Map<String, Value> {
        let bound = |change: Option<LimitChange>| change.map(|LimitChange(bound)| json!(bound));
        let given = [
            ("weight", self.weight.map(Value::from)),
            ("rpm", bound(self.rpm)),
            ("tpm", bound(self.tpm)),
        ];
        let given = given.into_iter();
        given
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}

pub async fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args).await,
        Command::Add(args) => {
            let mut entry = args.terms.entry();
            entry.insert("key".to_owned(), secret_from_stdin()?.into());
            change(&args.names, entry.into(), "added").await
        }
        Command::Update(args) => {
            let mut entry = args.key.terms.entry();
            if args.key_stdin {
                entry.insert("key".to_owned(), secret_from_stdin()?.into());
            }
            let entry = Value::Object(entry);
            require_change(&entry, "--weight, --rpm, --tpm or --key-stdin")?;
            change(&args.key.names, entry, "changed").await
        }
        Command::Remove(args) => change(args, Value::Null, "removed").await,
    }
}

async fn list(args: &ListArgs) -> Result<(), Failure> {
    let path = format!("/v1/providers/{}", percent_encode(&args.provider));
    let mut provider = args.server.admin()?.get(&path).await?;
    let keys = provider["api_keys"].take();
    args.server.show_list(&keys, |style| match rows(&keys) {
        [] => format!(
            "no API keys; add one with `gatekeeper providers keys add {} NAME`\n",
            args.provider
        ),
        keys => table(keys, style),
    })
}

async fn change(names: &NamesArgs, entry: Value, done: &str) -> Result<(), Failure> {
    let (provider, name) = (&names.provider, &names.name);
    let path = format!("/v1/providers/{}", percent_encode(provider));
    let body = json!({ "api_keys": { name: entry } });
    let mut changed = names.server.admin()?.patch(&path, &body).await?;
    let keys = changed["api_keys"].take();
    names.server.show_list(&keys, |style| {
        let table = table(rows(&keys), style);
        format!("{done} key {name} of provider {provider}, in force now\n{table}")
    })
}

fn table(keys: &[Value], style: &Style) -> String {
    let mut table = Table::new([
        Column::text("KEY").flexible(),
        Column::number("WEIGHT"),
        Column::number("RPM").sparse(),
        Column::number("TPM").sparse(),
    ]);
    for key in keys {
        let text = |member: &str| match &key[member] {
            Value::Null => String::new(),
            value => cell(value),
        };
        let texts = ["name", "weight", "rpm", "tpm"].map(text);
        table.row(texts.map(Into::into).into());
    }
    table.render(style)
}
