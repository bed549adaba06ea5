//! `setup`: one-time link to the dashboard for the first owner, or for a forgotten password. Works over the local admin socket only.

use clap::Args as ClapArgs;
use serde_json::json;

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::process;

#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Reset the password of this account instead of creating an owner
    #[arg(long, value_name = "EMAIL")]
    reset: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    process::block_on(link(args))
}

async fn link(args: Args) -> Result<(), Failure> {
    let body = match &args.reset {
        Some(email) => json!({ "email": email }),
        None => json!({}),
    };
    let link = args.server.admin()?.post("/v1/setup", &body).await?;
    if args.server.json {
        return print_json(&link);
    }
    let address = args.server.listen_address()?;
    let path = link["path"].as_str().unwrap_or_default();
    print(&format!(
        "Open this link in a browser on this machine; it works once, for 15 minutes:\n\n  http://{address}{path}\n\n\
         From another machine first: ssh -L {}:{address} HOST\n",
        address.port()
    ))
}
