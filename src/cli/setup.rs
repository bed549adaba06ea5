//! `setup`: one-time link to the dashboard for the first owner, or for a forgotten password. Works over the local admin socket only.

use std::fmt::Write;

use clap::Args as ClapArgs;
use serde_json::json;

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::values::cell;
use crate::domain::network::is_loopback_host;
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
    let url = cell(&link["url"]);
    let mut text =
        format!("Open this link in a browser; it works once, for 15 minutes:\n\n  {url}\n");
    if let Some(port) = loopback_port(&url) {
        // writing to a String cannot fail
        let _ = write!(
            text,
            "\nIt is for a browser on this machine. From another one first: ssh -L {port}:127.0.0.1:{port} HOST\n"
        );
    }
    print(&text)
}

/// Port of a link that only this machine can open.
fn loopback_port(url: &str) -> Option<u16> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest
        .split('/')
        .next()
        .filter(|host| is_loopback_host(host))?;
    authority.rsplit_once(':')?.1.parse().ok()
}
