//! `gatekeeper demo`: the real gateway in front of the built-in simulator, with three teams and commands to paste. It has a
//! data folder of its own and never touches another one.

mod banner;
mod secrets;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::admin::AdminClient;
use super::signals::Signals;
use super::{Failure, serve};
use crate::cli::data_dir;
use crate::cli::table::print;
use crate::config::{self, Config, Overrides};
use crate::process::{self, Platform};
use crate::simulator::Simulator;
use secrets::Secrets;

const LARGE: &str = "simulator-large";
const SMALL: &str = "simulator-small";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The demo's own data folder
    #[arg(long, value_name = "FOLDER", default_value = "gatekeeper-demo")]
    data: PathBuf,
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4000")]
    listen: String,
}

/// A team of the demo, with what it may call and spend.
struct DemoTeam {
    name: &'static str,
    models: &'static [&'static str],
    limit_usd: &'static str,
    period: &'static str,
}

const TEAMS: [DemoTeam; 3] = [
    DemoTeam {
        name: "engineering",
        models: &[LARGE, SMALL],
        limit_usd: "10",
        period: "monthly",
    },
    DemoTeam {
        name: "marketing",
        models: &[SMALL],
        limit_usd: "5",
        period: "monthly",
    },
    // less than any request costs: it is over budget from the start
    DemoTeam {
        name: "support",
        models: &[SMALL],
        limit_usd: "0.000001",
        period: "total",
    },
];

pub fn run(args: Args) -> Result<(), Failure> {
    let listen = config::parse_listen(&args.listen)
        .map_err(|message| Failure::usage(format!("--listen: {message}")))?;
    require_free(listen)?;
    serve::log("warn");
    let secrets = open(&args.data)?;
    process::block_on(demo(args.data, listen, secrets))
}

/// Says so before anything is created or started.
fn require_free(listen: SocketAddr) -> Result<(), Failure> {
    TcpListener::bind(listen).map(drop).map_err(|error| {
        let other = SocketAddr::new(listen.ip(), listen.port().saturating_add(1));
        Failure::refused(format!(
            "{listen} cannot be listened on ({error}); stop what uses it, or choose another address: gatekeeper demo --listen {other}"
        ))
    })
}

/// The secrets of the demo in this folder; on the first start it is created.
fn open(data: &Path) -> Result<Secrets, Failure> {
    if data_dir::is_initialised(data) {
        return Secrets::read(data);
    }
    data_dir::create(data)?;
    let told = Overrides {
        data: Some(data.to_owned()),
        ..Overrides::default()
    };
    let admin_key = process::block_on(process::init(&settings("", &told)?))?;
    let secrets = Secrets::new(data, &admin_key);
    secrets.save()?;
    Ok(secrets)
}

/// The demo's configuration, read as any other would be.
fn settings(text: &str, told: &Overrides) -> Result<Config, Failure> {
    Ok(config::parse(Path::new("demo"), text, told, &|_| None)?)
}

fn simulated(base_url: &str) -> String {
    format!(
        "[providers.simulator]\nbase_url = \"{base_url}\"\nmodels = [\"{LARGE}\", \"{SMALL}\"]\n"
    )
}

async fn demo(data: PathBuf, listen: SocketAddr, mut secrets: Secrets) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let failed = |error| {
        Failure::refused(format!(
            "the simulator cannot listen on the loopback interface: {error}"
        ))
    };
    let simulator = Simulator::default().start().map_err(failed)?;
    let told = Overrides {
        data: Some(data.clone()),
        listen: Some(listen.to_string()),
        config: None,
    };
    let config = settings(&simulated(&simulator.base_url()), &told)?;
    let admin = AdminClient::local(&config);
    let running = process::start(config, Platform::system()).await?;
    let address = running.address;

    let outcome = match populate(&admin, &mut secrets).await {
        Ok(()) => {
            print(&banner::text(address, &data, &secrets))?;
            signals.until_stopped(running).await
        }
        Err(failure) => {
            running.stop().await;
            Err(failure)
        }
    };
    simulator.stop().await;
    outcome?;
    print(&format!(
        "the demo has stopped; everything it booked is kept in {}\n",
        data.display()
    ))
}

/// Creates the teams and keys that are not there yet. Each secret is saved as soon as it is known.
async fn populate(admin: &AdminClient, secrets: &mut Secrets) -> Result<(), Failure> {
    let existing = admin.list("/v1/teams").await?;
    for team in TEAMS
        .iter()
        .filter(|team| existing.iter().all(|known| known["name"] != team.name))
    {
        let budget = json!({"limit": team.limit_usd, "period": team.period, "action": "block"});
        admin
            .post(
                "/v1/teams",
                &json!({"name": team.name, "models": team.models, "budgets": [budget]}),
            )
            .await?;
    }
    for team in &TEAMS {
        if secrets.key(team.name).is_none() {
            let key = admin
                .post("/v1/keys", &json!({"name": team.name, "team": team.name}))
                .await?;
            secrets.keep(team.name, key["key"].as_str().unwrap_or_default())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_runs_on_an_ordinary_configuration() {
        let told = Overrides {
            data: Some("x".into()),
            listen: Some("127.0.0.1:0".to_owned()),
            config: None,
        };
        let config =
            settings(&simulated("http://127.0.0.1:9/v1"), &told).expect("a good configuration");
        assert_eq!(config.providers.len(), 1);
        assert_eq!(config.providers[0].models, [LARGE, SMALL]);
        assert_eq!(config.folder, Path::new("x"));
    }

    #[test]
    fn an_address_in_use_is_told_with_another_to_try() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("its address");
        let failure = require_free(address).expect_err("taken");
        assert!(
            failure
                .to_string()
                .contains("gatekeeper demo --listen 127.0.0.1:"),
            "{failure}"
        );
    }
}
