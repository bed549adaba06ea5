//! `gatekeeper keys rotate` and `delete`.

use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::resolve;
use crate::cli::resource::ResourceArgs;
use crate::cli::values::cell;

#[derive(Clone, Debug, clap::Args)]
pub struct RotateArgs {
    /// Key, by id, name, `team/key` or a prefix that only one has
    key: String,
    /// Time for which the present secret keeps working: 30m, 24h, 7d; 0h ends it at once [default: 24h]
    #[arg(long, value_name = "TIME")]
    grace: Option<String>,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct DeleteArgs {
    /// Key, by id, name, `team/key` or a prefix that only one has
    key: String,
    /// Delete its child keys, too
    #[arg(long)]
    yes: bool,
    /// End the running requests of the key, too
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    server: ResourceArgs,
}

pub(super) async fn rotate(args: RotateArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let key = resolve::key(&admin, &args.key).await?;
    let mut body = json!({});
    if let Some(grace) = &args.grace {
        body["grace"] = json!(grace);
    }
    let path = format!("/v1/keys/{}/rotate", cell(&key["id"]));
    let key = admin.post(&path, &body).await?;
    let before = match &key["previous_until"] {
        Value::Null => "the secret before it has ended".to_owned(),
        until => format!("the secret before it works until {}", cell(until)),
    };
    args.server.show(&key, |_| {
        format!(
            "rotated key {} ({}); {before}\n\n  {}\n\nThe key is shown only now.\n",
            cell(&key["name"]),
            cell(&key["id"]),
            cell(&key["key"])
        )
    })
}

pub(super) async fn delete(args: DeleteArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let key = resolve::key(&admin, &args.key).await?;
    let (id, yes, now) = (cell(&key["id"]), args.yes, args.now);
    admin
        .delete(&format!("/v1/keys/{id}?cascade={yes}&now={now}"))
        .await?;
    let name = cell(&key["name"]);
    args.server
        .show_deleted(&format!("deleted key {name} ({id})\n"))
}
