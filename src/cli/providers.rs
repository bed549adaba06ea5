//! `gatekeeper providers`: lists, adds, changes, tests and removes providers of the running server. Credentials are read from standard
//! input and stored sealed.

use clap::Subcommand;
use serde_json::{Value, json};

use super::failure::Failure;
use crate::cli::changes::require_change;
use crate::cli::declared::{
    MemberArgs, add, fault, members_from_stdin, path, place, secret_from_stdin, unset, visible,
};
use crate::cli::provider_keys;
use crate::cli::resource::ResourceArgs;
use crate::cli::style::Style;
use crate::cli::table::{Column, Table};
use crate::cli::values::{cell, rows};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List providers, those of the configuration file too
    List(ResourceArgs),
    /// Add a provider; it is in force at once
    Add(AddArgs),
    /// Change a provider that was added here
    Update(UpdateArgs),
    /// Call a provider without a model, to test its address and credential
    Test(NameArgs),
    /// Several API keys of a provider, among which its calls are spread
    #[command(subcommand)]
    Keys(provider_keys::Command),
    /// Remove a provider that was added here
    Remove(NameArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct AddArgs {
    /// Name, which prefixes models; also the type unless --type names another
    name: String,
    /// Type of the provider, such as openai, anthropic or openai_compatible
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    #[command(flatten)]
    terms: TermArgs,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct UpdateArgs {
    /// Name of the provider
    name: String,
    #[command(flatten)]
    terms: TermArgs,
    /// Key of the section to take away; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct NameArgs {
    /// Name of the provider
    name: String,
    #[command(flatten)]
    server: ResourceArgs,
}

/// Terms of a provider.
#[derive(Clone, Debug, clap::Args)]
struct TermArgs {
    /// Read the API key from standard input
    #[arg(long)]
    key_stdin: bool,
    /// Read keys of the section from standard input, a JSON object; for credentials of several parts
    #[arg(long, conflicts_with = "key_stdin")]
    members_stdin: bool,
    /// Scheme, host, port and path
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Models that it serves, in addition to those of the price sheet
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// `sheet`, `free` or `reported`, or dollars per million input and output tokens as IN/OUT
    #[arg(long, value_name = "PRICE")]
    price: Option<String>,
    /// Region of AWS
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    #[command(flatten)]
    members: MemberArgs,
}

impl TermArgs {
    fn add_to(&self, body: &mut Value) -> Result<(), Failure> {
        add(body, "base_url", &self.base_url);
        add(body, "models", &self.models);
        add(body, "region", &self.region);
        if let Some(price) = &self.price {
            body["price"] = match price.split_once('/') {
                Some((input, output)) => json!({ "input": input, "output": output }),
                None => json!(price),
            };
        }
        self.members.add_to(body)?;
        if self.members_stdin {
            members_from_stdin(body)?;
        }
        if self.key_stdin {
            body["api_key"] = json!(secret_from_stdin()?);
        }
        Ok(())
    }
}

pub fn run(command: Command) -> Result<(), Failure> {
    process::block_on(async {
        match command {
            Command::List(args) => list(&args).await,
            Command::Add(args) => create(&args).await,
            Command::Update(args) => update(&args).await,
            Command::Test(args) => test(&args).await,
            Command::Keys(command) => provider_keys::run(&command).await,
            Command::Remove(args) => remove(&args).await,
        }
    })
}

async fn list(args: &ResourceArgs) -> Result<(), Failure> {
    let mut page = args.admin()?.get("/v1/providers").await?;
    let list = page["data"].take();
    args.show_list(&list, |style| match rows(&list) {
        [] => "no providers yet; add one with `gatekeeper providers add openai --key-stdin`\n"
            .to_owned(),
        providers => table(providers, style),
    })
}

async fn create(args: &AddArgs) -> Result<(), Failure> {
    let mut body = json!({ "name": args.name });
    add(&mut body, "type", &args.kind);
    args.terms.add_to(&mut body)?;
    let provider = args.server.admin()?.post("/v1/providers", &body).await?;
    args.server.show(&provider, |_| {
        let name = cell(&provider["name"]);
        format!(
            "added provider {name}, in force now\n{}  test it  gatekeeper providers test {name}\n",
            terms(&provider)
        )
    })
}

async fn update(args: &UpdateArgs) -> Result<(), Failure> {
    let mut body = json!({});
    args.terms.add_to(&mut body)?;
    unset(&mut body, &args.unset);
    require_change(
        &body,
        "--key-stdin, --base-url, --models, --price, --region, --set or --unset",
    )?;
    let admin = args.server.admin()?;
    let provider = admin.patch(&path("providers", &args.name), &body).await?;
    args.server.show(&provider, |_| {
        let name = cell(&provider["name"]);
        format!(
            "changed provider {name}, in force now\n{}",
            terms(&provider)
        )
    })
}

async fn test(args: &NameArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let path = format!("{}/test", path("providers", &args.name));
    let tested = admin.post(&path, &json!({})).await?;
    let is_ok = tested["ok"] == true;
    args.server.show(&tested, |_| {
        let (name, verdict) = (cell(&tested["provider"]), cell(&tested["verdict"]));
        let status = match &tested["status"] {
            Value::Null => String::new(),
            status => format!(", status {status}"),
        };
        let reason = match &tested["reason"] {
            Value::Null => String::new(),
            reason => format!(": {}", cell(reason)),
        };
        let ms = cell(&tested["total_ms"]);
        format!("{name}: {verdict}{reason}{status}, {ms} ms\n")
    })?;
    match is_ok {
        true => Ok(()),
        false => Err(Failure::runtime(
            "the test failed; the line above names the cause",
        )),
    }
}

async fn remove(args: &NameArgs) -> Result<(), Failure> {
    args.server
        .admin()?
        .delete(&path("providers", &args.name))
        .await?;
    let text = format!("removed provider {}\n", args.name);
    args.server.show_deleted(&text)
}

fn credential(provider: &Value) -> String {
    let is_sealed = !rows(&provider["credentials"]).is_empty();
    let kept = match (is_sealed, provider["has_credential"] == true) {
        (true, _) => "sealed",
        (false, true) => "by reference",
        (false, false) => "none",
    };
    match rows(&provider["api_keys"]).len() {
        0 | 1 => kept.to_owned(),
        count => format!("{count}, {kept}"),
    }
}

fn terms(provider: &Value) -> String {
    format!(
        "  type     {}\n  url      {}\n  key      {}\n",
        cell(&provider["type"]),
        cell(&provider["base_url"]),
        credential(provider)
    )
}

fn table(providers: &[Value], style: &Style) -> String {
    let mut table = Table::new([
        Column::text("PROVIDER"),
        Column::text("TYPE").sparse(),
        Column::text("URL").flexible().sparse().hidden_at(1),
        Column::text("KEY").sparse(),
        Column::text("DECLARED IN").sparse(),
        Column::text("FAULT").flexible().sparse(),
    ]);
    for provider in providers {
        let text = |member: &str| visible(provider, member);
        let is_detailed = provider["managed_by_file"].is_boolean();
        table.row(vec![
            text("name").into(),
            text("type").into(),
            text("base_url").into(),
            (if is_detailed {
                credential(provider)
            } else {
                String::new()
            })
            .into(),
            place(provider).into(),
            fault(provider).into(),
        ]);
    }
    table.render(style)
}
